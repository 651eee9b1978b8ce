"""Frames on their way out: items wait in a queue, and one frame holds whatever is there when its turn comes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["FRAME_BYTES", "FRAME_ITEMS", "MAX_WAITING", "MAX_WAITING_BYTES", "FrameWriter"]

FRAME_BYTES = 256 * 1024
"""A frame is closed when it holds this much; one larger item travels alone."""
FRAME_ITEMS = 64
"""A frame is closed when it holds so many items.

With longer ones client, host and runtime take turns: each waits while another works through one frame of everything.
"""
MAX_WAITING = 8_192
"""Items that may wait to be written before the other side is read on; whoever does not listen is not listened to."""
MAX_WAITING_BYTES = 16 * 1024 * 1024
"""The same in bytes, for items whose size was given."""

F = TypeVar("F", bound="Message")
I = TypeVar("I")  # noqa: E741 - an item of a frame


class FrameWriter(Generic[F, I]):
    """Writes frames that hold whatever is queued, one at a time, in order.

    While one frame is being written the next one fills; with an empty queue an item leaves at once.
    ``is_crowded`` says that more than MAX_WAITING items, or more than MAX_WAITING_BYTES of them, wait.
    Batching is what makes a gRPC stream fast: the cost is per message, not per byte.
    """

    def __init__(
        self,
        write: Callable[[F], Awaitable[None]],
        new: Callable[[], F],
        add: Callable[[F, I], int],
        *,
        on_room: Callable[[], None] | None = None,
        gathers: bool = False,
    ) -> None:
        """Take what writes a frame, makes one and adds an item; ``on_room`` is told when :attr:`is_crowded` ends.

        One that ``gathers`` waits for the end of a turn of the loop: what is put a moment later leaves with the rest.
        """
        self._gathers = gathers
        self._write = write
        self._new = new
        self._add = add
        self._on_room = on_room
        self.is_crowded = False
        self._queue: deque[tuple[I, int]] = deque()
        self._waiting_bytes = 0
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._finishing = False
        self._room = asyncio.Event()
        self._room.set()
        self.last_written = time.monotonic()

    def put(self, item: I, *, size: int = 0) -> None:
        """Queue an item; it leaves with the next frame. ``size`` in bytes counts for :meth:`room` until then."""
        if not self._queue:
            self._ready.set()
            self._idle.clear()
        self._queue.append((item, size))
        self._waiting_bytes += size
        if self._waiting_bytes > MAX_WAITING_BYTES or len(self._queue) > MAX_WAITING:
            self.is_crowded = True
            self._room.clear()

    async def run(self) -> None:
        """Write until stopped, finished or cancelled, or until the stream fails, which raises."""
        while not self._stopping:
            await self._ready.wait()
            self._ready.clear()
            if self._gathers:
                await asyncio.sleep(0)
            while self._queue and not self._stopping:
                await self._write(self._frame())
                self.last_written = time.monotonic()
            self._idle.set()
            if self._finishing and not self._queue:
                return

    def stop(self) -> None:
        """Let :meth:`run` end when the frame that is being written has left; what is queued stays."""
        self._stopping = True
        self._ready.set()

    def finish(self) -> None:
        """Let :meth:`run` end when everything that was put has been written."""
        self._finishing = True
        self._ready.set()

    async def flushed(self) -> None:
        """Wait until everything that was put has been written."""
        await self._idle.wait()

    async def room(self) -> None:
        """Wait until no more than MAX_WAITING items, of no more than MAX_WAITING_BYTES, wait to be written."""
        await self._room.wait()

    def unsent(self) -> list[I]:
        """Take back what has not been put into a frame yet."""
        items = [item for item, _ in self._queue]
        self._queue.clear()
        self._waiting_bytes = 0
        return items

    def _frame(self) -> F:
        frame = self._new()
        size = 0
        queue, add, left = self._queue, self._add, FRAME_ITEMS
        while queue and left and size < FRAME_BYTES:
            item, waiting = queue.popleft()
            self._waiting_bytes -= waiting
            size += add(frame, item)
            left -= 1
        if self.is_crowded and len(queue) <= MAX_WAITING and self._waiting_bytes <= MAX_WAITING_BYTES:
            self.is_crowded = False
            self._room.set()
            if self._on_room is not None:
                self._on_room()
        return frame
