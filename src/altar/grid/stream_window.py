"""How much of a stream may be on its way, seen by who receives it: what was granted, and whether only that came.

In: grants of chunks and bytes, and what came.
Out: nothing, or PROTOCOL_VIOLATION for a gap, for values out of order and for more than was granted.
Chunks and bytes are granted together by whoever reads, all the way from the application to the function.
While a chunk and a byte are left one more value may come, whatever its size; so a value that is larger than the window
passes alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from altar.adm.errors import AltarError, TransportError

__all__ = ["CHUNKS", "CHUNK_COST", "SIZE", "TURN_BYTES", "Window", "first_of"]

CHUNKS = 256
"""Most chunks of a stream that may be on their way over a grid."""
SIZE = 512 * 1024
"""Bytes of them, from which on no other is sent."""
TURN_BYTES = 64 * 1024
"""Bytes that one stream puts into a frame before it is the turn of the next."""
CHUNK_COST = 34
"""Bytes that a value in memory or in a frame costs beside its own, or thereabouts."""


class Window:
    """What one receiver of a stream has granted, in all, and what has come of it.

    ``granted`` and ``granted_bytes`` only grow; ``came`` is also the index of the value that is due.
    """

    __slots__ = ("came", "came_bytes", "granted", "granted_bytes")

    def __init__(self) -> None:
        self.granted = 0
        self.granted_bytes = 0
        self.came = 0
        self.came_bytes = 0

    @property
    def is_used_up(self) -> bool:
        """Whether nothing more may come until more is granted."""
        return self.came >= self.granted or self.came_bytes >= self.granted_bytes

    def take(self, index: int, chunks: Sequence[bytes]) -> None:
        """Count what came. Raises TransportError PROTOCOL_VIOLATION unless it is what is due, and was granted."""
        if index != self.came:
            raise _violation(f"Value {index} of the stream came when value {self.came} was due")
        size = sum(map(len, chunks))
        self.came += len(chunks)
        self.came_bytes += size
        if self.came > self.granted or (chunks and self.came_bytes - len(chunks[-1]) >= self.granted_bytes):
            raise _violation(
                f"{self.came} values of {self.came_bytes} bytes came, and only {self.granted} of "
                f"{self.granted_bytes} bytes were granted"
            )


def first_of(waiting: deque[bytes], most: int) -> list[bytes]:
    """Take the first values out, about ``most`` bytes of them and at least one."""
    if CHUNK_COST * len(waiting) < most and sum(map(len, waiting)) + CHUNK_COST * len(waiting) <= most:
        taken = list(waiting)
        waiting.clear()
        return taken
    taken, size = [], 0
    while waiting and size < most:
        taken.append(waiting.popleft())
        size += len(taken[-1]) + CHUNK_COST
    return taken


def _violation(what: str) -> AltarError:
    return TransportError(
        "PROTOCOL_VIOLATION", what, ran="yes", hint="check that both sides speak the same protocol, and its rules"
    )
