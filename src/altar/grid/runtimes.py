"""The runtimes of a host, and the source that sends them calls: choose one, spend a credit, send, wait, settle.

Delivery is at most once.
A call is sent again only while it was never put on a wire, or when its contract says it is idempotent.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from altar.adm.errors import AltarError, ExecutionError, Ran, TransportError, ValidationError
from altar.grid.manifest import HostContract, Manifest
from altar.later.invocation import Answer, Invocation, Outcome

__all__ = ["AttachedRuntime", "Note", "RuntimeSource", "RuntimeStream"]

_log = logging.getLogger("altar.grid")

MAX_ATTEMPTS = 3
GRACE = 0.5
"""Seconds a host waits beyond a deadline for the runtime's own word on it, which knows whether the function ran."""
NOBODY = 5.0
"""Seconds a call waits when no runtime fulfils its tool, so that one that restarts is not missed."""
WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of arguments that may wait for a runtime, over all calls."""

Key = tuple[str, str]


class Note(Protocol):
    """Where the source tells that a runtime came or went."""

    def __call__(self, event: Any, subject: str, note: str) -> None:
        """Record an event."""
        ...


class RuntimeStream(Protocol):
    """The stream to one runtime, as the service holds it."""

    def send_call(self, invocation: Invocation) -> None:
        """Queue a call for the next frame. ``invocation.handle`` is the tag it travels under."""
        ...

    def send_cancel(self, tag: int) -> None:
        """Queue a cancellation."""
        ...

    def unsent(self) -> list[Invocation]:
        """Take back the calls that never got into a frame."""
        ...

    def finish(self) -> None:
        """End the stream when everything that is queued has been sent."""
        ...

    def close(self, reason: AltarError) -> None:
        """End the stream, saying why."""
        ...


class AttachedRuntime:
    """One runtime on one connection: what it fulfils, what it may still take, what it is doing."""

    __slots__ = ("connection_epoch", "credits", "draining", "fulfils", "in_flight", "last_heard", "link", "runtime_id")

    def __init__(self, runtime_id: str, link: RuntimeStream, *, connection_epoch: int, now: float) -> None:
        self.runtime_id = runtime_id
        self.link = link
        self.connection_epoch = connection_epoch
        self.credits = 0
        self.fulfils: set[Key] = set()
        self.in_flight: dict[int, Invocation] = {}
        self.draining = False
        self.last_heard = now


@dataclass(slots=True)
class _Waiting:
    """How many calls wait, and how many bytes their arguments have."""

    calls: int = 0
    size: int = 0

    def add(self, invocation: Invocation, sign: int = 1) -> None:
        """Count a call in, or out with ``sign`` -1."""
        self.calls += sign
        self.size += sign * len(invocation.arguments)

    def share(self, limit: int, more: Invocation | None = None) -> float:
        """The part of the queue that is taken, in calls or in bytes, whichever is more; over 1 is too much."""
        calls, size = (self.calls + 1, self.size + len(more.arguments)) if more else (self.calls, self.size)
        return max(calls / limit if limit else math.inf, size / WAITING_BYTES)


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
        self._limit = queue
        self._heartbeat = heartbeat
        self._note = note
        self._clock = clock
        self._settle: Answer = _unsettled
        self._runtimes: dict[str, AttachedRuntime] = {}
        self._waiting: dict[Key, deque[Invocation]] = {}
        self._all_waiting = _Waiting()
        self._waiting_of: dict[str, _Waiting] = {}
        self._tags = itertools.count(1)
        self._epochs = itertools.count(1)

    # ------------------------------------------------------------------------------------------------------- calls

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Send the call to the least busy runtime that fulfils it, or let it wait for one."""
        self._settle = settle
        self._place(invocation)

    def _place(self, invocation: Invocation) -> None:
        runtime = self._choose(invocation)
        if invocation.cancelled:
            self._end(invocation, Outcome(error=_cancelled(invocation)))
        elif runtime is not None:
            self._send(runtime, invocation)
        elif not self._make_room(invocation):
            self._end(invocation, Outcome(error=self._full(invocation)))
        else:
            invocation.handle = None
            self._waiting.setdefault(_key(invocation), deque()).append(invocation)
            self._all_waiting.add(invocation)
            self._waiting_of.setdefault(invocation.principal, _Waiting()).add(invocation)

    def cancel(self, invocation: Invocation) -> None:
        """Take it out of the queue, or tell the runtime; either way the call ends with an outcome."""
        invocation.cancelled = True
        queue = self._waiting.get(_key(invocation)) if invocation.contract is not None else None
        if queue is not None and invocation in queue:
            self._drop(queue, invocation)
            self._settle(invocation, Outcome(error=_cancelled(invocation)))
        runtime = self._runtimes.get(invocation.runtime)
        if runtime is not None and runtime.in_flight.get(invocation.handle) is invocation:
            runtime.link.send_cancel(invocation.handle)

    def _make_room(self, invocation: Invocation) -> bool:
        """In a full queue whoever has most in it gives way, so that one principal cannot shut out the others."""
        own = self._waiting_of.get(invocation.principal, _Waiting())
        while self._all_waiting.share(self._limit, invocation) > 1:
            if not self._all_waiting.calls:
                return self._limit > 0  # one call alone is never too large to wait: that was asked before
            most = max(self._waiting_of, key=lambda name: self._waiting_of[name].share(self._limit))
            if self._waiting_of[most].share(self._limit) <= own.share(self._limit, invocation):
                return False
            theirs = [call for queue in self._waiting.values() for call in queue if call.principal == most]
            newest = max(theirs, key=lambda call: call.intent)
            full = self._full(newest)
            self._drop(self._waiting[_key(newest)], newest)
            self._end(newest, Outcome(error=full))
        return True

    def _full(self, invocation: Invocation) -> AltarError:
        waiting = self._all_waiting
        what = f"{waiting.calls} calls" if waiting.calls >= self._limit else f"Calls of {waiting.size} bytes"
        return ExecutionError(
            "RESOURCE_EXHAUSTED",
            f"{what} are waiting for a runtime already",
            ran=_ran_before(invocation),
            hint="try again, or add runtimes",
            retry_after=timedelta(milliseconds=500),
        )

    def _end(self, invocation: Invocation, outcome: Outcome) -> None:
        """Settle one of several calls; a failure in it must not reach the others."""
        try:
            self._settle(invocation, outcome)
        except Exception:  # noqa: BLE001 - as the docstring says
            _log.exception("settling failed", extra={"invocation": invocation.invocation_id})

    def _choose(self, invocation: Invocation) -> AttachedRuntime | None:
        key = _key(invocation)
        best: AttachedRuntime | None = None
        for runtime in self._runtimes.values():
            if (
                runtime.credits > 0
                and not runtime.draining
                and key in runtime.fulfils
                and (best is None or len(runtime.in_flight) < len(best.in_flight))
            ):
                best = runtime
        return best

    def _send(self, runtime: AttachedRuntime, invocation: Invocation) -> None:
        runtime.credits -= 1
        tag = next(self._tags)
        runtime.in_flight[tag] = invocation
        invocation.runtime = runtime.runtime_id
        invocation.attempts += 1
        invocation.handle = tag
        runtime.link.send_call(invocation)

    # ---------------------------------------------------------------------------------------- what runtimes report

    def result(self, runtime: AttachedRuntime, tag: int, outcome: Outcome) -> None:
        """A runtime answered. An answer nobody waits for any more is dropped."""
        invocation = runtime.in_flight.pop(tag, None)
        if invocation is not None:
            if outcome.error is not None and outcome.error.ran == "no" and invocation.attempts > 1:
                outcome.error.ran = "unknown"  # this runtime knows nothing of the attempt before it
            self._end(invocation, outcome)
        self._let_go(runtime)

    def credit(self, runtime: AttachedRuntime, count: int) -> None:
        """A runtime can take ``count`` more calls; those that wait longest go first."""
        if self._runtimes.get(runtime.runtime_id) is runtime:
            runtime.credits += count
            self._serve(runtime)

    def heard(self, runtime: AttachedRuntime) -> None:
        """A frame came from this runtime, whatever was in it."""
        runtime.last_heard = self._clock()

    def _serve(self, runtime: AttachedRuntime) -> None:
        while runtime.credits > 0 and not runtime.draining:
            queue = self._oldest(runtime.fulfils)
            if queue is None:
                return
            invocation = queue[0]
            self._drop(queue, invocation)
            self._send(runtime, invocation)

    def _oldest(self, keys: Iterable[Key]) -> deque[Invocation] | None:
        if not self._all_waiting.calls:
            return None
        queues = [queue for key in keys if (queue := self._waiting.get(key))]
        return min(queues, key=lambda queue: queue[0].intent, default=None)

    def _drop(self, queue: deque[Invocation], invocation: Invocation) -> None:
        queue.remove(invocation)
        self._all_waiting.add(invocation, -1)
        theirs = self._waiting_of[invocation.principal]
        theirs.add(invocation, -1)
        if not theirs.calls:
            del self._waiting_of[invocation.principal]
        if not queue:
            del self._waiting[_key(invocation)]

    # ------------------------------------------------------------------------------------------- coming and going

    def attach(self, runtime_id: str, link: RuntimeStream) -> AttachedRuntime:
        """A runtime has announced itself. An older connection of the same id is fenced: it can settle nothing."""
        older = self._runtimes.get(runtime_id)
        if older is not None:
            self.detach(older, "fenced by a newer connection")
            older.link.close(
                ExecutionError(
                    "RUNTIME_CRASH",
                    f"Another process has attached as {runtime_id!r}",
                    ran="no",
                    hint="give each runtime process an id and a certificate of its own",
                )
            )
        runtime = AttachedRuntime(runtime_id, link, connection_epoch=next(self._epochs), now=self._clock())
        self._runtimes[runtime_id] = runtime
        self._note("runtime.attached", runtime_id, f"connection {runtime.connection_epoch}")
        return runtime

    def fulfil(self, runtime: AttachedRuntime, name: str, version: str, digest: str) -> HostContract:
        """A runtime says it fulfils this contract. Raises VERSION_MISMATCH unless it means the host's own."""
        contract = self._manifest.get(name, version)
        if contract is None:
            raise _not_in_manifest(name, version)
        if contract.digest != digest:
            raise _mismatch(contract)
        runtime.fulfils.add((name, version))
        return contract

    def drain(self, runtime: AttachedRuntime) -> None:
        """A runtime is leaving: it gets no new calls, finishes those it has, and then its stream ends.

        The host ends it, because only the host knows what was on its way to the runtime when that said so.
        """
        runtime.draining = True
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
        for invocation in lost.values():
            if invocation in unsent:
                invocation.attempts -= 1
                invocation.runtime = ""
                self._place(invocation)
            elif self._may_run_again(invocation):
                self._place(invocation)
            else:
                self._end(invocation, Outcome(error=_crashed(invocation, reason)))

    def _may_run_again(self, invocation: Invocation) -> bool:
        return (
            invocation.contract.idempotent
            and not invocation.cancelled
            and invocation.attempts < MAX_ATTEMPTS
            and self._clock() < invocation.deadline
        )

    # ---------------------------------------------------------------------------------------------------- watching

    def sweep(self) -> None:
        """End what is late, detach what is silent. Called some twenty times a second; there is no timer per call."""
        now = self._clock()
        for runtime in list(self._runtimes.values()):
            late = [tag for tag, call in runtime.in_flight.items() if now >= call.deadline + GRACE]
            for tag in late:
                runtime.link.send_cancel(tag)
                invocation = runtime.in_flight.pop(tag)
                self._end(invocation, Outcome(error=_late(invocation, ran="unknown")))
            if late:
                self._let_go(runtime)
            if now - runtime.last_heard > 3 * self._heartbeat:
                self.detach(runtime, "silent")
                runtime.link.close(
                    TransportError("CONNECTION_FAILED", "The runtime was silent for too long", ran="unknown")
                )
        for queue in list(self._waiting.values()):
            for invocation in [call for call in queue if self._has_waited_enough(call, now)]:
                self._drop(queue, invocation)
                error = _late(invocation, ran="no") if now >= invocation.deadline else _nobody(invocation)
                error.ran = _ran_before(invocation)
                self._end(invocation, Outcome(error=error))

    def _has_waited_enough(self, invocation: Invocation, now: float) -> bool:
        if now >= invocation.deadline:
            return True
        key = _key(invocation)
        if any(key in runtime.fulfils and not runtime.draining for runtime in self._runtimes.values()):
            invocation.handle = None
            return False
        if invocation.handle is None:
            invocation.handle = now
        return bool(now - invocation.handle > NOBODY)

    def status(self) -> list[dict[str, Any]]:
        """The attached runtimes, for people and for probes."""
        return [
            {
                "runtime": runtime.runtime_id,
                "connection": runtime.connection_epoch,
                "tools": len(runtime.fulfils),
                "in_flight": len(runtime.in_flight),
                "credits": runtime.credits,
                "draining": runtime.draining,
            }
            for runtime in self._runtimes.values()
        ]


def _key(invocation: Invocation) -> Key:
    return invocation.name, invocation.version


def _unsettled(invocation: Invocation, _outcome: Outcome) -> None:
    raise RuntimeError(f"{invocation.invocation_id} was settled before it ran")


def _ran_before(invocation: Invocation) -> Ran:
    """Whether an earlier attempt at this call may have run."""
    return "unknown" if invocation.attempts else "no"


def _not_in_manifest(name: str, version: str) -> AltarError:
    return ValidationError(
        "UNSUPPORTED_TOOL",
        f"The host's manifest has no {name!r} at {version}",
        ran="no",
        hint="build the manifest again with this module, or start the runtime without it",
    )


def _mismatch(contract: HostContract) -> AltarError:
    return ValidationError(
        "VERSION_MISMATCH",
        f"The runtime's {contract.name!r} at {contract.version} is not the contract of the host",
        ran="no",
        hint="deploy the same code on both sides, or build the manifest again and give it a new version",
        detail=f"the host holds {contract.digest}",
    )


def _cancelled(invocation: Invocation) -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled while it waited to run", ran=_ran_before(invocation))


def _crashed(invocation: Invocation, reason: str) -> AltarError:
    return ExecutionError(
        "RUNTIME_CRASH",
        f"The runtime that ran {invocation.name!r} was lost",
        ran="unknown",
        hint="a tool that may be run twice can be declared idempotent, and is then tried elsewhere",
        detail=f"runtime {invocation.runtime}: {reason}",
    )


def _late(invocation: Invocation, *, ran: str) -> AltarError:
    if ran == "no":
        return ExecutionError(
            "TIMEOUT", f"No runtime was free for {invocation.name!r} in time", ran="no", hint="add runtimes"
        )
    return ExecutionError(
        "TIMEOUT",
        f"{invocation.name!r} had not ended when its time was up",
        ran="unknown",
        hint="ask for less in one call, or give it more time: @altar.tool(timeout=…), or timeout=… of the session",
    )


def _nobody(invocation: Invocation) -> AltarError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"No runtime fulfils {invocation.name!r} at the moment",
        ran="no",
        hint="start one: `altar runtime --tools MODULE`",
        retry_after=timedelta(seconds=1),
    )
