"""Which runtime gets a call: those that can take it, and of them the one with least in flight.

A :class:`Demand` is what a call asks of a runtime; the :class:`Pool` of a demand knows who meets it.
Runtimes that fulfil the same contracts, with the same labels and capabilities, are a :class:`Group`.
In it they stand by how much they have in flight.
So the least busy one is found without looking at the others, and a call that begins or ends moves one runtime and
nothing else.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from altar.grid.host.waiting import Backlog, Lane, Place
from altar.later.labels import Labels

if TYPE_CHECKING:
    from altar.adm.errors import AltarError
    from altar.later.invocation import Invocation

__all__ = [
    "AttachedRuntime",
    "Demand",
    "Group",
    "Key",
    "Pool",
    "Router",
    "RuntimeStream",
    "key_of",
]

Key = tuple[str, str]
"""Name and version of a contract."""

EXACT = 8
"""Up to so many groups are all looked at for a call.

Beyond that two are drawn and the less busy one is taken: with a thousand runtimes of which no two are alike, looking
at all would cost 100 µs, and drawing two keeps the busiest within a few calls of the mean (the power of two choices).
"""
MAX_POOLS = 8192
"""Most demands that are remembered; those nobody waits for are made again when they are asked for."""


class RuntimeStream(Protocol):
    """The stream to one runtime, as the service holds it."""

    def send_call(self, invocation: Invocation) -> None:
        """Queue a call for the next frame. ``invocation.handle`` is the tag it travels under."""
        ...

    def send_cancel(self, tag: int) -> None:
        """Queue a cancellation."""
        ...

    @property
    def is_crowded(self) -> bool:
        """Whether more waits to be written than the runtime reads; then it gets no calls."""
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


class _Fulfilled(set[Key]):
    """The contracts that a runtime fulfils; tells its router when they change, whoever changes them."""

    __slots__ = ("changed",)

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.changed = changed

    def add(self, key: Key, /) -> None:
        super().add(key)
        self.changed()

    def discard(self, key: object, /) -> None:
        super().discard(key)
        self.changed()


class AttachedRuntime:
    """One runtime on one connection: what it is and can do, what it fulfils, what it may still take, what it is doing.

    ``nested`` counts the calls that tools made, by their depth, of which ``concurrency`` each may run.
    ``tenant`` is the only one whose calls it gets, empty for all.
    ``withheld`` are credits that do not count before it has read what it was sent.
    ``blocked`` are contracts whose breaker is not closed.
    ``pinned`` are the lanes of calls that wait for this very runtime, ``backlog`` what is oldest in them.
    ``filed`` is how much it has in flight as its group knows it, -1 when it can take nothing.
    """

    __slots__ = (
        "backlog",
        "blocked",
        "capabilities",
        "concurrency",
        "connection_epoch",
        "credits",
        "draining",
        "filed",
        "fulfils",
        "group",
        "in_flight",
        "kind",
        "labels",
        "last_heard",
        "link",
        "nested",
        "pinned",
        "runtime_id",
        "tenant",
        "withheld",
    )

    def __init__(
        self,
        runtime_id: str,
        link: RuntimeStream,
        *,
        connection_epoch: int,
        now: float,
        changed: Callable[[AttachedRuntime], None],
        tenant: str = "",
    ) -> None:
        self.runtime_id = runtime_id
        self.tenant = tenant
        self.link = link
        self.connection_epoch = connection_epoch
        self.credits = 0
        self.withheld = 0
        self.fulfils: set[Key] = _Fulfilled(lambda: changed(self))
        self.in_flight: dict[int, Invocation] = {}
        self.draining = False
        self.last_heard = now
        self.capabilities: frozenset[str] = frozenset()
        self.kind = ""
        self.concurrency = 0
        self.nested: Counter[int] = Counter()
        self.labels: Labels = ()
        self.blocked: set[Key] = set()
        self.group: Group | None = None
        self.filed = -1
        self.pinned: dict[Demand, Lane] = {}
        self.backlog = Backlog()

    def meets(self, demand: Demand) -> bool:
        """Whether it could run such a call, now or when it has room; also while a breaker keeps calls from it."""
        return demand[:2] in self.fulfils and self.suits(demand)

    def suits(self, demand: Demand) -> bool:
        """Whether it has the labels and capabilities that a call asks for, and serves its tenant."""
        return (
            self.tenant in {"", demand.tenant}
            and set(demand.requires).issubset(self.labels)
            and self.capabilities.issuperset(demand.needs)
        )

    def status(self) -> dict[str, Any]:
        """What it is and does, for people and for probes."""
        return {
            "runtime": self.runtime_id,
            "kind": self.kind,
            "connection": self.connection_epoch,
            "tools": len(self.fulfils),
            "in_flight": len(self.in_flight),
            "credits": self.credits,
            "concurrency": self.concurrency,
            "draining": self.draining,
            "labels": dict(self.labels),
            "capabilities": sorted(self.capabilities),
            **({"tenant": self.tenant} if self.tenant else {}),
        }

    def has_room(self, depth: int) -> bool:
        """Whether it may be sent one more call: of a client at depth 0, else of a function that is running."""
        if depth:
            return self.nested[depth] < self.concurrency and not self.link.is_crowded
        return self.credits > 0

    def admits(self, invocation: Invocation) -> bool:
        """Whether a nested call may run here as far as labels, breakers and the state of its session are concerned."""
        return (
            (not invocation.pinned or invocation.pinned == self.runtime_id)
            and self.tenant in {"", invocation.tenant}
            and key_of(invocation) not in self.blocked
            and set(invocation.contract.requires).issubset(self.labels)
        )


class Demand(NamedTuple):
    """What a call asks of a runtime: a contract by the name and version of its key, labels, capabilities.

    ``tenant`` is that of the call, where runtimes of that tenant alone are attached; else empty.
    """

    name: str
    version: str
    requires: Labels = ()
    needs: tuple[str, ...] = ()
    tenant: str = ""


class _Signature(NamedTuple):
    """What runtimes of one group have in common."""

    fulfils: frozenset[Key]
    labels: Labels
    capabilities: frozenset[str]
    tenant: str

    def suits(self, demand: Demand) -> bool:
        return (
            self.tenant in {"", demand.tenant}
            and set(demand.requires).issubset(self.labels)
            and self.capabilities.issuperset(demand.needs)
        )


class Group:
    """Runtimes alike, by how much they have in flight.

    Bit n of ``mask`` says that somebody with room stands in ``buckets[n]``, where the one that has stood longest is
    next.
    A runtime that is ``alone`` need not be moved: while it has room it stands in the first one.
    """

    __slots__ = ("alone", "backlog", "buckets", "mask", "pools", "runtimes", "signature")

    def __init__(self, signature: _Signature) -> None:
        self.signature = signature
        self.runtimes: dict[AttachedRuntime, None] = {}
        self.buckets: dict[int, OrderedDict[AttachedRuntime, None]] = {}
        self.mask = 0
        self.alone: AttachedRuntime | None = None
        self.backlog = Backlog()
        self.pools: list[Pool] = []

    def add(self, runtime: AttachedRuntime) -> None:
        """Take a runtime in."""
        self.runtimes[runtime] = None
        first, self.alone = self.alone, runtime if len(self.runtimes) == 1 else None
        if first is not None and first.filed >= 0:
            self.move(first, len(first.in_flight))

    def discard(self, runtime: AttachedRuntime) -> None:
        """Let a runtime go."""
        self.move(runtime, -1)
        del self.runtimes[runtime]

    def move(self, runtime: AttachedRuntime, new: int) -> None:
        """Put a runtime where it stands with so much in flight; -1 when it can take nothing."""
        before, old = self.mask, runtime.filed
        runtime.filed = new
        if old >= 0:
            bucket = self.buckets[old]
            del bucket[runtime]
            if not bucket:
                self.mask &= ~(1 << old)
        if new >= 0:
            there = self.buckets.get(new)
            if there is None:
                there = self.buckets[new] = OrderedDict()
            there[runtime] = None
            self.mask |= 1 << new
        if before and self.mask:
            return
        for pool in self.pools if before or self.mask else ():
            if before:
                pool.closed(self)
            else:
                pool.opened(self)

    def first(self) -> AttachedRuntime:
        """The least busy runtime; there is one only while ``mask`` is not 0."""
        return self.alone or next(iter(self.buckets[(self.mask & -self.mask).bit_length() - 1]))


class Pool:
    """Who meets a demand, and the lane where its calls wait.

    ``groups`` meet it; ``open`` are those of them in which somebody has room.
    """

    __slots__ = ("_draw", "_places", "_turn", "demand", "groups", "lane", "open")

    def __init__(self, demand: Demand, *, draw: Callable[[], float]) -> None:
        self.demand = demand
        self.groups: dict[Group, None] = {}
        self.open: list[Group] = []
        self.lane = Lane(self)
        self._places: dict[Group, int] = {}
        self._turn = 0
        self._draw = draw

    def least(self) -> AttachedRuntime | None:
        """The runtime with room that has least in flight; None when nobody has room."""
        groups = self.open
        count = len(groups)
        if count == 1:
            return groups[0].first()
        if not count:
            return None
        if count <= EXACT:
            self._turn = turn = (self._turn + 1) % count
            best = min((*groups[turn:], *groups[:turn]), key=_lowest)  # who is equal takes turns
        else:
            draw = self._draw
            best = min(groups[int(draw() * count)], groups[int(draw() * count)], key=_lowest)
        return best.first()

    def runtimes(self) -> Iterator[AttachedRuntime]:
        """All that meet the demand, with room or without."""
        for group in self.groups:
            yield from group.runtimes

    def link(self, group: Group) -> None:
        """A group meets the demand from now on."""
        self.groups[group] = None
        group.pools.append(self)
        group.backlog.join(self.lane)
        if group.mask:
            self.opened(group)

    def unlink(self, group: Group) -> None:
        """A group is gone; nobody in it has room."""
        del self.groups[group]
        self.lane.away.discard(group.backlog)

    def opened(self, group: Group) -> None:
        """Somebody in a group has room now."""
        self._places[group] = len(self.open)
        self.open.append(group)

    def closed(self, group: Group) -> None:
        """Nobody in a group has room any more."""
        place, last = self._places.pop(group), self.open.pop()
        if last is not group:
            self.open[place] = last
            self._places[last] = place


class Router:
    """Keeps runtimes in groups and groups in pools. ``draw`` gives a number from 0 up to 1, by chance."""

    def __init__(self, *, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._groups: dict[_Signature, Group] = {}
        self._pools: dict[tuple[object, ...], Pool] = {}
        self._pools_of: dict[Key, list[Pool]] = {}
        self._labels: Counter[tuple[str, str]] = Counter()

    def pool(self, key: Key, requires: Labels = (), needs: tuple[str, ...] = (), tenant: str = "") -> Pool:
        """The pool of a demand."""
        demand = (*key, requires, needs, tenant)
        return self._pools.get(demand) or self._make_pool(Demand(*demand))

    def nearer(self, demand: Demand, prefers: Labels) -> Iterator[Pool]:
        """The pools of those that have all of the preferred labels, then of those that lack only the last, and so on.

        Those that have not even the first are not told.
        """
        known = 0
        while known < len(prefers) and prefers[known] in self._labels:
            known += 1
        for count in range(known, 0, -1):
            labels = tuple(sorted({*demand.requires, *prefers[:count]}))
            yield self.pool(demand[:2], labels, demand.needs, demand.tenant)

    def place(self, runtime: AttachedRuntime) -> None:
        """Put a runtime into the group where it belongs: it has come, or what it fulfils has changed."""
        if runtime.draining:
            self.remove(runtime)
            return
        fulfils = frozenset(runtime.fulfils - runtime.blocked)
        signature = _Signature(fulfils, runtime.labels, runtime.capabilities, runtime.tenant)
        if runtime.group is not None and runtime.group.signature == signature:
            return
        self.remove(runtime)
        group = self._groups.get(signature)
        if group is None:
            group = self._groups[signature] = Group(signature)
            for key in fulfils:
                for pool in self._pools_of.get(key, ()):
                    if signature.suits(pool.demand):
                        pool.link(group)
        group.add(runtime)
        runtime.group = group
        self._labels.update(signature.labels)
        self.refile(runtime)

    def remove(self, runtime: AttachedRuntime) -> None:
        """Take a runtime out of its group: nothing is sent to it any more."""
        group = runtime.group
        if group is None:
            return
        group.discard(runtime)
        runtime.group = None
        for label in group.signature.labels:
            self._labels[label] -= 1
            if not self._labels[label]:
                del self._labels[label]
        if not group.runtimes:
            del self._groups[group.signature]
            for pool in group.pools:
                pool.unlink(group)

    def refile(self, runtime: AttachedRuntime) -> None:
        """Put a runtime where it stands after a call began or ended, or after it was given room."""
        group = runtime.group
        if group is not None:
            load = (0 if group.alone is runtime else len(runtime.in_flight)) if runtime.credits > 0 else -1
            if load != runtime.filed:
                group.move(runtime, load)

    def oldest(self, runtime: AttachedRuntime) -> Place | None:
        """What has waited longest of all that a runtime can take, or None."""
        own = runtime.backlog.oldest()
        shared = runtime.group.backlog.oldest() if runtime.group is not None else None
        return shared if own is None or (shared is not None and shared.number < own.number) else own

    def _make_pool(self, demand: Demand) -> Pool:
        if len(self._pools) >= MAX_POOLS:
            self._forget_pools()
        pool = self._pools[demand] = Pool(demand, draw=self._draw)
        self._pools_of.setdefault(demand[:2], []).append(pool)
        for group in self._groups.values():
            if demand[:2] in group.signature.fulfils and group.signature.suits(demand):
                pool.link(group)
        return pool

    def _forget_pools(self) -> None:
        """Forget every pool that nobody waits for."""
        kept = [pool for pool in self._pools.values() if pool.lane.calls]
        self._pools = {pool.demand: pool for pool in kept}
        self._pools_of = {}
        for pool in kept:
            self._pools_of.setdefault(pool.demand[:2], []).append(pool)
        for group in self._groups.values():
            group.pools = [pool for pool in group.pools if pool.lane.calls]


def key_of(invocation: Invocation) -> Key:
    """What a runtime must fulfil to run a call whose contract has been found."""
    key: Key = invocation.contract.key
    return key


def _lowest(group: Group) -> int:
    return len(group.alone.in_flight) if group.alone is not None else (group.mask & -group.mask).bit_length() - 1
