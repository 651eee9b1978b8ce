"""The runtimes of a host, and the source that sends them calls: choose one, spend a credit, send, wait, settle.

Delivery is at most once.
A call is sent again only while it was never put on a wire, or when its contract says it is idempotent.
Which runtime is chosen is the business of :mod:`routing`, where a call waits of :mod:`waiting`.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from altar.adm.errors import AltarError, TransportError
from altar.grid.host import refusals as why
from altar.grid.host.affinity import Homes
from altar.grid.host.breaker_desk import BreakerDesk, Note, verdict_on
from altar.grid.host.fitness import can_run, may_run_again, unfit
from altar.grid.host.nested_slots import NestedSlots
from altar.grid.host.newest import Newest
from altar.grid.host.routing import AttachedRuntime, Pool, Router, RuntimeStream, key_of
from altar.grid.host.waiting import Lane, Place, Waiting
from altar.grid.manifests.manifest import HostContract, Manifest
from altar.later.invocation import Answer, Invocation, Outcome, call_facts

__all__ = ["AttachedRuntime", "RuntimeSource", "RuntimeStream"]

_log = logging.getLogger("altar.grid")

MOST_AT_ONCE = 10_000
"""Calls of clients that one runtime may have at once, whatever it grants; and as many nested ones at each depth."""
GRACE = 0.5
"""Seconds a host waits beyond a deadline for the runtime's own word on it, which knows whether the function ran."""
NOBODY = 5.0
"""Seconds a call waits when no runtime fulfils its tool, so that one that restarts is not missed."""


class RuntimeSource:
    """Sends admitted calls to runtimes. A credit is the right to send one call; none is sent without it."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        queue: int,
        heartbeat: float,
        note: Note,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manifest = manifest
        self._heartbeat = heartbeat
        self._note = note
        self._clock = clock
        self._now = clock()  # as of the last frame or sweep, for what need not be exact
        self._settle: Answer = _unsettled
        self._runtimes: dict[str, AttachedRuntime] = {}
        self._newest = Newest()
        self._stale: dict[AttachedRuntime, None] = {}
        self._router = Router()
        self._homes = Homes()
        self.waiting = Waiting(queue, clock=clock)
        self.breakers = BreakerDesk(note, changed=self._changed)
        self._tags = itertools.count(1)
        self._epochs = itertools.count(1)
        self._nested = NestedSlots(self._runtimes.values, self._send)
        self._bound: set[str] = set()  # tenants that have had runtimes of their own

    # ------------------------------------------------------------------------------------------------------- calls

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Send the call to the least busy runtime that fulfils it, or let it wait for one."""
        self._settle = settle
        self._place(invocation)

    def _place(self, invocation: Invocation) -> None:
        if self._stale:
            self._refresh()
        if invocation.cancelled:
            self._end(invocation, Outcome(error=why.cancelled(invocation)))
        elif invocation.depth:
            self._place_nested(invocation)
        else:
            contract = invocation.contract
            pool = self._router.pool(contract.key, contract.requires, invocation.needs, self._bound_to(invocation))
            if contract.stateful:
                self._place_at_home(invocation, pool)
                return
            plain = not (invocation.prefers or self.breakers.blocked)
            runtime = pool.least() if plain else self._choose(invocation, pool)
            if runtime is not None:
                self._send(runtime, invocation)
            else:
                self._wait(invocation, pool, pool.lane)

    def _choose(self, invocation: Invocation, pool: Pool) -> AttachedRuntime | None:
        if self.breakers.blocked:
            trial = self.breakers.trial(invocation, self._clock())
            if trial is not None:
                return trial
        if invocation.prefers:
            for nearer in self._router.nearer(pool.demand, invocation.prefers):
                runtime = nearer.least()
                if runtime is not None:
                    return runtime
        return pool.least()

    def _place_at_home(self, invocation: Invocation, pool: Pool) -> None:
        """Send a stateful call where the state of its session is, or let it wait for that runtime and no other."""
        home = self._home(invocation, pool)
        if home is None:
            self._wait(invocation, pool, pool.lane)
        elif pool.demand[:2] in home.blocked and not self.breakers.takes(home, invocation, self._clock()):
            self._end(invocation, Outcome(error=self._failing(invocation)))
        elif home.credits > 0:
            self._send(home, invocation)
        else:
            lane = home.pinned.get(pool.demand)
            if lane is None:
                lane = home.pinned[pool.demand] = Lane(pool)
                home.backlog.join(lane)
            self._wait(invocation, pool, lane)

    def _home(self, invocation: Invocation, pool: Pool) -> AttachedRuntime | None:
        """The runtime that holds the state of the call's session; None while nobody fulfils its tool."""
        who = invocation.session_id or invocation.principal
        for runtime_id in self._homes.known(who):
            runtime = self._runtimes.get(runtime_id)
            if runtime is not None and not runtime.draining and runtime.meets(pool.demand):
                return runtime
        near = next((one for one in self._router.nearer(pool.demand, invocation.prefers) if one.groups), pool)
        ids = [runtime.runtime_id for runtime in near.runtimes()] or [
            runtime.runtime_id
            for runtime in self._runtimes.values()  # those whose breaker is not closed
            if not runtime.draining and runtime.meets(pool.demand)
        ]
        return self._runtimes[self._homes.choose(who, ids, lives=self._runtimes.__contains__)] if ids else None

    def _place_nested(self, invocation: Invocation) -> None:
        """Calls that running functions make have slots of their own, so that those who wait cannot starve them."""
        if invocation.contract.stateful:
            key, requires = key_of(invocation), invocation.contract.requires
            home = self._home(invocation, self._router.pool(key, requires, (), self._bound_to(invocation)))
            invocation.pinned = home.runtime_id if home is not None else ""
        runtime = self.breakers.trial(invocation, self._clock()) if self.breakers.blocked else None
        runtime = runtime or self._nested.choose(invocation)
        invocation.handle = None
        if runtime is not None:
            self._send(runtime, invocation)
        elif (unfit := self._unfit(invocation)) is not None:
            self._end(invocation, Outcome(error=unfit))
        elif not self._nested.wait(invocation):
            self._end(invocation, Outcome(error=why.full_of_nested(invocation, self._nested.calls)))

    def _wait(self, invocation: Invocation, pool: Pool, lane: Lane) -> None:
        if not pool.groups and (unfit := self._unfit(invocation)) is not None:
            self._end(invocation, Outcome(error=unfit))
        elif not self.waiting.make_room(invocation, self._give_way):
            self._end(invocation, Outcome(error=why.full(invocation, self.waiting)))
        else:
            invocation.handle = self.waiting.add(invocation, lane)

    def _give_way(self, place: Place) -> None:
        error = why.full(place.invocation, self.waiting)
        self.waiting.take(place)
        self._end(place.invocation, Outcome(error=error))

    def _unfit(self, invocation: Invocation) -> AltarError | None:
        found = unfit(invocation, self._runtimes.values())
        return self._failing(invocation) if found == "failing" else found

    def _failing(self, invocation: Invocation) -> AltarError:
        return why.failing(invocation, after=self.breakers.wait(key_of(invocation), self._clock()))

    def cancel(self, invocation: Invocation) -> None:
        """Take it out of the queue, or tell the runtime; either way the call ends with an outcome."""
        invocation.cancelled = True
        handle = invocation.handle
        if type(handle) is Place:
            self.waiting.take(handle)
            self._settle(invocation, Outcome(error=why.cancelled(invocation)))
            return
        if invocation.depth and self._nested.drop(invocation):
            self._settle(invocation, Outcome(error=why.cancelled(invocation)))
            return
        runtime = self._runtimes.get(invocation.runtime)
        if runtime is not None and runtime.in_flight.get(handle) is invocation:
            runtime.link.send_cancel(handle)

    def calls(self) -> Iterator[Invocation]:
        """Every call that a runtime has."""
        return itertools.chain.from_iterable(runtime.in_flight.values() for runtime in self._runtimes.values())

    def cut(self, invocation: Invocation, outcome: Outcome) -> None:
        """End a call that runs, and tell its runtime that nobody waits for it any more."""
        runtime = self._runtimes.get(invocation.runtime)
        if runtime is not None and runtime.in_flight.get(invocation.handle) is invocation:
            runtime.link.send_cancel(invocation.handle)
            self._ended(runtime, invocation.handle, outcome)

    def _send(self, runtime: AttachedRuntime, invocation: Invocation) -> None:
        if invocation.depth:
            runtime.nested[invocation.depth] += 1
        else:
            runtime.credits -= 1
        tag = next(self._tags)
        runtime.in_flight[tag] = invocation
        invocation.runtime = runtime.runtime_id
        invocation.attempts += 1
        invocation.handle = tag
        invocation.sent = self._now
        runtime.link.send_call(invocation)
        if runtime.link.is_crowded:  # it does not read: what it may be sent is held back, and no more than that waits
            runtime.withheld, runtime.credits = runtime.withheld + runtime.credits, 0
        self._router.refile(runtime)

    def _end(self, invocation: Invocation, outcome: Outcome) -> None:
        """Settle one of several calls; a failure in it must not reach the others."""
        try:
            self._settle(invocation, outcome)
        except Exception:  # noqa: BLE001 - as the docstring says
            _log.exception("settling failed", extra=call_facts(invocation))

    # ---------------------------------------------------------------------------------------- what runtimes report

    def result(self, runtime: AttachedRuntime, tag: int, outcome: Outcome) -> None:
        """A runtime answered. An answer nobody waits for any more is dropped."""
        invocation = runtime.in_flight.get(tag)
        if invocation is None:
            self._let_go(runtime)
            return
        if outcome.streamed is not None and invocation.chunks is None:
            outcome.streamed = None  # nobody asked for a stream: what there is of content is checked like any other
        if outcome.error is not None and outcome.error.ran == "no" and invocation.attempts > 1:
            outcome.error.ran = "unknown"  # this runtime knows nothing of the attempt before it
        self._ended(runtime, tag, outcome)

    def _ended(self, runtime: AttachedRuntime, tag: int, outcome: Outcome) -> None:
        """A call that a runtime had is over, whoever says so."""
        invocation = runtime.in_flight.pop(tag)
        self._router.refile(runtime)
        if outcome.error is not None or self.breakers.all:
            verdict = verdict_on(invocation, outcome)
            self.breakers.judge(runtime, invocation, verdict=verdict, now=self._clock())
        self._end(invocation, outcome)
        if invocation.depth:
            self._nested.freed(runtime, invocation.depth)
        self._let_go(runtime)

    def credit(self, runtime: AttachedRuntime, count: int) -> None:
        """A runtime can take ``count`` more calls; those that wait longest go first."""
        if runtime.link.is_crowded:
            runtime.withheld = min(runtime.withheld + count, MOST_AT_ONCE)
        elif self._runtimes.get(runtime.runtime_id) is runtime:
            runtime.credits += count
            if runtime.credits + len(runtime.in_flight) > MOST_AT_ONCE:
                runtime.credits = min(runtime.credits, MOST_AT_ONCE - len(runtime.in_flight) + runtime.nested.total())
            if self._stale:
                self._refresh()
            self._router.refile(runtime)
            self._serve(runtime)
            self._nested.serve(runtime)

    def room(self, runtime: AttachedRuntime) -> None:
        """A runtime has read so much of what was sent to it that it may have more calls."""
        count, runtime.withheld = runtime.withheld, 0
        self.credit(runtime, count)

    def heard(self, runtime: AttachedRuntime) -> None:
        """A frame came from this runtime, whatever was in it."""
        runtime.last_heard = self._now = self._clock()

    def _serve(self, runtime: AttachedRuntime) -> None:
        while self.waiting.count and runtime.credits > 0 and runtime.group is not None:
            place = self._router.oldest(runtime)
            if place is None:
                return
            self.waiting.take(place, served=True)
            invocation = place.invocation
            if invocation.contract.stateful and runtime.pinned.get(place.lane.pool.demand) is not place.lane:
                self._place(invocation)  # it came before anybody could hold its state
            else:
                self._send(runtime, invocation)

    # ------------------------------------------------------------------------------------------- coming and going

    def attach(self, runtime_id: str, link: RuntimeStream, *, tenant: str = "", instance: str = "") -> AttachedRuntime:
        """A runtime has announced itself, of one tenant or for all. An older connection of its id settles nothing.

        Raises RUNTIME_CRASH for a process, known by ``instance``, that a newer one of its id has replaced.
        """
        if not self._newest.admits(runtime_id, instance):
            raise why.fenced(runtime_id)
        older = self._runtimes.get(runtime_id)
        if older is not None:
            self.detach(older, "fenced by a newer connection")
            older.link.close(why.fenced(runtime_id))
        epoch, now = next(self._epochs), self._clock()
        runtime = AttachedRuntime(
            runtime_id, link, connection_epoch=epoch, now=now, changed=self._changed, tenant=tenant
        )
        if tenant:
            self._bind(tenant)
        self._runtimes[runtime_id] = runtime
        self.breakers.attached(runtime)
        self._note("runtime.attached", runtime_id, f"connection {runtime.connection_epoch}")
        return runtime

    def _bind(self, tenant: str) -> None:
        """From now on calls of this tenant may go to runtimes of its own, also those that wait already."""
        if tenant in self._bound:
            return
        self._bound.add(tenant)
        for lane in list(self.waiting.lanes):
            for place in [place for place in lane.calls.values() if place.invocation.tenant == tenant]:
                self.waiting.take(place)
                self._place(place.invocation)

    def _bound_to(self, invocation: Invocation) -> str:
        return invocation.tenant if invocation.tenant in self._bound else ""

    def fulfil(self, runtime: AttachedRuntime, name: str, version: str, digest: str) -> HostContract:
        """A runtime says it fulfils this contract. Raises VERSION_MISMATCH unless it means the host's own."""
        contract = self.meant(name, version, digest)
        self.grant(runtime, contract)
        return contract

    def meant(self, name: str, version: str, digest: str) -> HostContract:
        """The contract that a runtime means. Raises VERSION_MISMATCH unless it is the host's own."""
        contract = self._manifest.get(name, version)
        if contract is None:
            raise why.not_in_manifest(name, version)
        if contract.digest != digest:
            raise why.mismatch(contract)
        return contract

    def grant(self, runtime: AttachedRuntime, contract: HostContract) -> None:
        """Let a runtime have the calls of a contract that is known to be the one it means."""
        runtime.fulfils.add(contract.key)

    def revoke(self, keys: Collection[tuple[str, str]]) -> None:
        """Nobody fulfils these any more; the calls that wait for them end with VERSION_MISMATCH."""
        for runtime in self._runtimes.values():
            for key in runtime.fulfils.intersection(keys):
                runtime.fulfils.discard(key)
        for lane in [lane for lane in self.waiting.lanes if lane.pool.demand[:2] in keys]:
            for place in list(lane.calls.values()):
                self._give_up(place, why.changed(place.invocation))
        for invocation in self._nested.enough(lambda call: key_of(call) in keys):
            self._end(invocation, Outcome(error=why.changed(invocation)))

    def replace(self, manifest: Manifest) -> None:
        """Take new contracts into use. What a runtime fulfils in another form now, it has to say again."""
        older, self._manifest = self._manifest, manifest
        newer = ((one, manifest.get(one.name, one.version)) for one in older)
        changed = {one.key for one, other in newer if other is not None and other.digest != one.digest}
        if changed:
            self.revoke(changed)

    def drain(self, runtime: AttachedRuntime) -> None:
        """A runtime is leaving: it gets no new calls, finishes those it has, and then its stream ends.

        The host ends it, because only the host knows what was on its way to the runtime when that said so.
        """
        runtime.draining = True
        self._leave(runtime)
        self._let_go(runtime)

    def _let_go(self, runtime: AttachedRuntime) -> None:
        if runtime.draining and not runtime.in_flight:
            runtime.link.finish()

    def detach(self, runtime: AttachedRuntime, reason: str) -> None:
        """A runtime is gone. What it never got, and what is idempotent, goes elsewhere; the rest is unknown."""
        if self._runtimes.get(runtime.runtime_id) is not runtime:
            return
        del self._runtimes[runtime.runtime_id]
        self._note("runtime.detached", runtime.runtime_id, reason)
        unsent = set(runtime.link.unsent())
        lost, runtime.in_flight = runtime.in_flight, {}
        self.breakers.lost(runtime, lost.values(), unsent, self._clock())
        self._leave(runtime)
        for invocation in lost.values():
            if invocation in unsent:
                invocation.attempts -= 1
                invocation.runtime = ""
                self._place(invocation)
            elif may_run_again(invocation, now=self._clock()):
                self._place(invocation)
            else:
                self._end(invocation, Outcome(error=why.crashed(invocation, reason)))

    def _leave(self, runtime: AttachedRuntime) -> None:
        """Send nothing more to a runtime; the calls that waited for it and no other go elsewhere."""
        self._stale.pop(runtime, None)
        self._router.remove(runtime)
        self.breakers.left(runtime)
        pinned, runtime.pinned = runtime.pinned, {}
        for lane in pinned.values():
            self._place_again(lane)
        for invocation in self._nested.enough(lambda call: call.pinned == runtime.runtime_id):
            self._place(invocation)

    def _place_again(self, lane: Lane) -> None:
        for place in list(lane.calls.values()):
            self.waiting.take(place)
            self._place(place.invocation)

    def _changed(self, runtime: AttachedRuntime) -> None:
        """What may be sent to a runtime is not what the router knows."""
        if self._runtimes.get(runtime.runtime_id) is runtime:
            self._stale[runtime] = None

    def _refresh(self) -> None:
        stale, self._stale = self._stale, {}
        for runtime in stale:
            if not runtime.draining:
                self._router.place(runtime)
        for runtime in stale:
            for demand, lane in list(runtime.pinned.items()):
                if lane.calls and (demand[:2] in runtime.blocked or not runtime.meets(demand)):
                    self._place_again(lane)
            self._serve(runtime)

    # ---------------------------------------------------------------------------------------------------- watching

    def sweep(self) -> None:
        """End what is late, detach what is silent. Called some twenty times a second; there is no timer per call."""
        self._now = now = self._clock()
        if self._stale:
            self._refresh()
        for runtime in list(self._runtimes.values()):
            calls = runtime.in_flight
            for tag in [tag for tag, call in calls.items() if now >= call.deadline + GRACE] if calls else ():
                runtime.link.send_cancel(tag)
                self._ended(runtime, tag, Outcome(error=why.late(runtime.in_flight[tag], ran="unknown")))
            if now - runtime.last_heard > 3 * self._heartbeat:
                self.detach(runtime, "silent")
                runtime.link.close(
                    TransportError("CONNECTION_FAILED", "The runtime was silent for too long", ran="unknown")
                )
        for place in self.waiting.late(now):
            self._give_up(place, why.late(place.invocation, ran="no"))
        for lane in list(self.waiting.lanes):
            self._watch_lane(lane, now)
        for invocation in self._nested.enough(lambda call: self._has_waited_enough(call, now)):
            error = why.late(invocation, ran="no") if now >= invocation.deadline else why.nobody(invocation)
            error.ran = why.ran_before(invocation)
            self._end(invocation, Outcome(error=error))
        self.breakers.sweep(now, self._runtimes)

    def _watch_lane(self, lane: Lane, now: float) -> None:
        """Give up the calls that nobody has been able to take for too long, and those that nobody will."""
        if lane.pool.groups:
            lane.alone_since = None
            return
        if lane.alone_since is None:
            lane.alone_since = now
        if self._unfit(lane.oldest().invocation) is not None:
            self._place_again(lane)  # each is told, or is the one that a breaker tries
            return
        for place in list(lane.calls.values()):
            if now - max(lane.alone_since, place.since) > NOBODY:
                self._give_up(place, why.nobody(place.invocation))
            else:
                return

    def _give_up(self, place: Place, error: AltarError) -> None:
        self.waiting.take(place)
        error.ran = why.ran_before(place.invocation)
        self._end(place.invocation, Outcome(error=error))

    def _has_waited_enough(self, invocation: Invocation, now: float) -> bool:
        """Whether a nested call has; ``handle`` is since when nobody can run it."""
        if now >= invocation.deadline:
            return True
        if can_run(invocation, self._runtimes.values()):
            invocation.handle = None
            return False
        if invocation.handle is None:
            invocation.handle = now
        return bool(now - invocation.handle > NOBODY)

    def status(self) -> list[dict[str, Any]]:
        """The attached runtimes, for people and for probes."""
        return [
            runtime.status() | {"breakers": self.breakers.states(runtime.runtime_id)}
            for runtime in self._runtimes.values()
        ]

    def queue_status(self) -> dict[str, Any]:
        """What waits for a runtime; ``nested`` are calls that functions make, which wait by themselves."""
        return self.waiting.status() | {"nested": self._nested.calls}


def _unsettled(invocation: Invocation, _outcome: Outcome) -> None:
    raise RuntimeError(f"{invocation.invocation_id} was settled before it ran")
