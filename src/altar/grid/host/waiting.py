"""Calls that wait for a runtime: in lanes, oldest first, bounded in number and bytes, fair between principals.

A lane holds calls that the same runtimes can take.
Adding, taking out, finding the oldest that a runtime can take and the newest of whoever has most: none of them looks
at all that wait.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from altar.later.invocation import Invocation

__all__ = ["WAITING_BYTES", "Backlog", "Lane", "Place", "Waiting"]

WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of arguments that may wait for a runtime, over all calls."""
SOONEST = 0.05
LATEST = 30.0
"""Seconds: the bounds of what a refused caller is told to wait."""
UNKNOWN = 0.5
"""Seconds it is told at least while there is nothing to judge by."""

_RECENT = 10.0
"""Seconds of draining that an estimate is made from, and at most twice as many."""
_SPARE = 64
"""Outdated items of a heap that are not worth making it anew."""


class Takers(Protocol):
    """The runtimes that can take a kind of call: a ``Pool`` of :mod:`routing`.

    ``demand`` begins with the name and the version of its key; ``groups`` are empty while there is nobody.
    """

    @property
    def demand(self) -> Any:
        """What a call asks of them."""
        ...

    @property
    def groups(self) -> Mapping[Any, None]:
        """Those that could take it."""
        ...


class Lane:
    """Calls that the same runtimes can take, by the number of their place, which rises.

    ``pool`` are the runtimes that can.
    ``away`` are the backlogs that are to be told when a call comes, because they have forgotten the lane since it was
    empty; ``alone_since`` is since when (monotonic seconds) nobody can take its calls, None while somebody can.
    """

    __slots__ = ("alone_since", "away", "calls", "pool")

    def __init__(self, pool: Takers) -> None:
        self.pool = pool
        self.calls: OrderedDict[int, Place] = OrderedDict()
        self.away: set[Backlog] = set()
        self.alone_since: float | None = None

    def oldest(self) -> Place:
        """The place that has waited longest; there is one only in a lane that is not empty."""
        return next(iter(self.calls.values()))


@dataclass(slots=True, eq=False)
class Place:
    """Where one call waits: its lane, its number in the whole queue, since when (monotonic seconds), and if still."""

    invocation: Invocation
    lane: Lane
    number: int
    since: float
    waits: bool = True


class Backlog:
    """The lanes that one runtime, or several alike, can serve, by their oldest call.

    What it holds of a lane is the number of a call that was the oldest once: never more than that of the oldest now,
    because numbers rise.
    """

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[int, Lane]] = []

    def join(self, lane: Lane) -> None:
        """Serve a lane from now on."""
        if lane.calls:
            heappush(self._heap, (next(iter(lane.calls)), lane))
        else:
            lane.away.add(self)

    def oldest(self) -> Place | None:
        """The place that has waited longest over all its lanes; None when nothing waits."""
        heap = self._heap
        while heap:
            number, lane = heap[0]
            if not lane.calls:
                heappop(heap)
                lane.away.add(self)
                continue
            first = lane.oldest()
            if first.number == number:
                return first
            heapreplace(heap, (first.number, lane))
        return None


@dataclass(slots=True, eq=False)
class _Share:
    """What one principal has in the queue: places by number, and bytes of arguments."""

    places: OrderedDict[int, Place] = field(default_factory=OrderedDict)
    size: int = 0

    def part(self, limit: int, more: Invocation | None = None) -> float:
        """The part of the queue that is taken, with one call more if given."""
        more_calls, more_bytes = (1, len(more.arguments)) if more is not None else (0, 0)
        return _part(len(self.places) + more_calls, self.size + more_bytes, limit)


class Waiting:
    """All calls that wait: ``count`` of them, with ``size`` bytes of arguments, in ``lanes`` that are not empty.

    ``limit`` is how many may; ``clock`` gives monotonic seconds.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._clock = clock
        self._of: dict[str, _Share] = {}
        # since the queue was full: the parts as they were, negative, and so never less than they are
        self._largest: list[tuple[float, str]] | None = None
        self._late: list[tuple[float, int, Place]] = []
        self._number = 0
        self._since = 0.0
        self._served = 0.0
        self.lanes: dict[Lane, None] = {}
        self.count = 0
        self.size = 0

    def add(self, invocation: Invocation, lane: Lane) -> Place:
        """Let a call wait at the end of a lane."""
        now = self._clock()
        if not self.count:
            self._since, self._served = now, 0.0
        self.count += 1
        self.size += (size := len(invocation.arguments))
        self._number = number = self._number + 1
        place = Place(invocation, lane, number, now)
        if not lane.calls:
            self.lanes[lane] = None
        lane.calls[number] = place
        if lane.away:
            away, lane.away = lane.away, set()
            for backlog in away:
                backlog.join(lane)
        share = self._of.get(invocation.principal)
        if share is None:
            share = self._of[invocation.principal] = _Share()
        share.places[number] = place
        share.size += size
        if invocation.deadline != math.inf:
            self._remember_deadline(place)
        if self._largest is not None:
            self._remember_share(share, invocation.principal)
        return place

    def take(self, place: Place, *, served: bool = False) -> None:
        """Take a call out; ``served`` when a runtime has room for it, which is what the queue is measured by."""
        number, invocation, lane = place.number, place.invocation, place.lane
        invocation.handle = None
        place.waits = False
        size = len(invocation.arguments)
        share = self._of[invocation.principal]
        del share.places[number]
        share.size -= size
        if not share.places:
            del self._of[invocation.principal]
        del lane.calls[number]
        if not lane.calls:
            del self.lanes[lane]
            lane.alone_since = None
        self.count -= 1
        self.size -= size
        self._served += served
        if self._largest is not None and not self.count:
            self._largest = None

    def make_room(self, invocation: Invocation, give_way: Callable[[Place], None]) -> bool:
        """In a full queue whoever has most in it gives way, so that one principal cannot shut out the others.

        ``give_way`` is given the newest call of whoever has most, and must take it out.
        Returns whether there is room now.
        """
        while _part(self.count + 1, self.size + len(invocation.arguments), self.limit) > 1:
            if not self.count:
                return self.limit > 0  # one call alone is never too large to wait: that was asked before
            own = self._of.get(invocation.principal) or _Share()
            most = self._most()
            if most.part(self.limit) <= own.part(self.limit, invocation):
                return False
            give_way(next(reversed(most.places.values())))
        return True

    def late(self, now: float) -> list[Place]:
        """The places of calls whose deadline has passed."""
        found = []
        while self._late and self._late[0][0] <= now:
            place = heappop(self._late)[2]
            if place.waits:
                found.append(place)
        return found

    def retry_after(self) -> timedelta:
        """When what waits will have been served, at the pace of the last seconds; between 50 ms and 30 s.

        While nothing has been served yet: as long again as it has been so, and at least half a second.
        """
        elapsed = self._clock() - self._since
        seconds = self.count * elapsed / self._served if self._served else max(UNKNOWN, elapsed)
        if elapsed > 2 * _RECENT:
            self._since, self._served = self._since + elapsed - _RECENT, self._served * _RECENT / elapsed
        return timedelta(seconds=min(LATEST, max(SOONEST, seconds)))

    def status(self) -> dict[str, Any]:
        """How many calls wait and may wait, the bytes of their arguments, and the calls by ``name@version``."""
        tools: Counter[str] = Counter()
        for lane in self.lanes:
            tools["@".join(lane.pool.demand[:2])] += len(lane.calls)
        return {"calls": self.count, "limit": self.limit, "bytes": self.size, "tools": dict(tools)}

    def _remember_deadline(self, place: Place) -> None:
        heappush(self._late, (place.invocation.deadline, place.number, place))
        if len(self._late) > 2 * self.count + _SPARE:
            self._late = [each for each in self._late if each[2].waits]
            heapify(self._late)

    def _remember_share(self, share: _Share, principal: str) -> None:
        if self._largest is not None and len(self._largest) < 2 * len(self._of) + _SPARE:
            heappush(self._largest, (-share.part(self.limit), principal))
        else:
            self._largest = self._all_shares()

    def _most(self) -> _Share:
        """The share of whoever has most in the queue, which is not empty."""
        if self._largest is None:
            self._largest = self._all_shares()
        while True:
            part, name = self._largest[0]
            share = self._of.get(name)
            if share is None:
                heappop(self._largest)
                continue
            now = -share.part(self.limit)
            if now == part:
                return share
            heapreplace(self._largest, (now, name))

    def _all_shares(self) -> list[tuple[float, str]]:
        shares = [(-one.part(self.limit), name) for name, one in self._of.items()]
        heapify(shares)
        return shares


def _part(calls: int, size: int, limit: int) -> float:
    """The part of the queue that is taken, in calls or in bytes, whichever is more; over 1 is too much."""
    return max(calls / limit if limit else math.inf, size / WAITING_BYTES)
