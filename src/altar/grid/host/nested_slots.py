"""Where nested calls run: on slots of their own, so that calls that wait for others cannot starve them.

A credit of a runtime is a slot for a call that a client made, of depth 0.
For each greater depth the host lets as many calls run on a runtime as it announced as its concurrency.
A call waits only for deeper ones, and the depth has an end, so that there is always one that does not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from altar.grid.capabilities import lacking
from altar.grid.host.routing import key_of

if TYPE_CHECKING:
    from altar.grid.host.routing import AttachedRuntime
    from altar.later.invocation import Invocation

__all__ = ["NestedSlots"]

WAITING = 4096
"""Nested calls that may wait for a slot, over all runtimes."""
WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of their arguments."""

Key = tuple[str, str]
Send = Callable[["AttachedRuntime", "Invocation"], None]


class NestedSlots:
    """Nested calls that wait, oldest first at each depth, and the choice of a runtime for one.

    ``runtimes`` are those that are attached, ``send`` puts a call on the stream of one.
    """

    __slots__ = ("_runtimes", "_send", "_size", "_waiting", "calls")

    def __init__(self, runtimes: Callable[[], Iterable[AttachedRuntime]], send: Send) -> None:
        self._runtimes = runtimes
        self._send = send
        self._waiting: dict[int, dict[Key, deque[Invocation]]] = {}
        self._size = 0
        self.calls = 0

    def choose(self, invocation: Invocation) -> AttachedRuntime | None:
        """The least busy runtime that fulfils the tool, can do what the call needs and has a slot at its depth.

        One that is leaving finishes what it has, and so takes what that needs, when no other can.
        """
        key = key_of(invocation)
        best: AttachedRuntime | None = None
        for runtime in self._runtimes():
            if (
                key in runtime.fulfils
                and _takes(runtime, invocation)
                and (best is None or _rank(runtime) < _rank(best))
            ):
                best = runtime
        return best

    def wait(self, invocation: Invocation) -> bool:
        """Let it wait for a slot; false when too many calls, or bytes, wait already."""
        size = len(invocation.arguments)
        if self.calls >= WAITING or self._size + size > WAITING_BYTES:
            return False
        self._waiting.setdefault(invocation.depth, {}).setdefault(key_of(invocation), deque()).append(invocation)
        self.calls += 1
        self._size += size
        return True

    def freed(self, runtime: AttachedRuntime, depth: int) -> None:
        """A nested call of that depth has been answered: its slot can take the one that waits longest."""
        runtime.nested[depth] -= 1
        if self.calls:
            self._serve(runtime, depth)

    def serve(self, runtime: AttachedRuntime) -> None:
        """A runtime came, or says that it can take more."""
        if self.calls:
            for depth in list(self._waiting):
                while self._serve(runtime, depth):
                    pass

    def drop(self, invocation: Invocation) -> bool:
        """Take a call out that waits; false when it does not."""
        queues = self._waiting.get(invocation.depth, {})
        queue = queues.get(key_of(invocation))
        if queue is None or invocation not in queue:
            return False
        queue.remove(invocation)
        self.calls -= 1
        self._size -= len(invocation.arguments)
        if not queue:
            del queues[key_of(invocation)]
        if not queues:
            del self._waiting[invocation.depth]
        return True

    def enough(self, has_waited: Callable[[Invocation], bool]) -> list[Invocation]:
        """Take out the calls that have waited enough."""
        if not self.calls:
            return []
        waiting = (call for queues in self._waiting.values() for queue in queues.values() for call in queue)
        over = [call for call in waiting if has_waited(call)]
        for invocation in over:
            self.drop(invocation)
        return over

    def _serve(self, runtime: AttachedRuntime, depth: int) -> bool:
        """Send the call of that depth that waits longest for this runtime; false when there is none."""
        oldest: Invocation | None = None
        for key, queue in self._waiting.get(depth, {}).items():
            if key in runtime.fulfils:
                first = next((call for call in queue if _takes(runtime, call)), None)
                if first is not None and (oldest is None or first.intent < oldest.intent):
                    oldest = first
        if oldest is None or not self.drop(oldest):
            return False
        self._send(runtime, oldest)
        return True


def _takes(runtime: AttachedRuntime, invocation: Invocation) -> bool:
    return (
        runtime.has_room(invocation.depth)
        and (not runtime.draining or bool(runtime.in_flight))
        and not lacking(invocation.needs, runtime.capabilities)
        and runtime.admits(invocation)
    )


def _rank(runtime: AttachedRuntime) -> tuple[bool, int]:
    return runtime.draining, len(runtime.in_flight)
