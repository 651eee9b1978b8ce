"""Streams at a runtime: the values that running functions make, on their way into its frames.

In: calls that say a window, credit of the host, values from threads and tasks.
Out: one message for all values of a stream that wait when a frame is made; whoever makes them waits for credit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from altar.grid.stream_window import CHUNK_COST, TURN_BYTES, first_of
from altar.later.chunks import Chunks
from altar.later.invocation import Outcome

__all__ = ["SentChunks"]


class SentChunks(Chunks):
    """The values of one call, for its host: there is room for what the host has granted.

    ``tag`` is that of the call, ``limit`` the most bytes of one value; ``put`` queues what fills its part of the next
    frame, in the thread of the loop.
    """

    def __init__(
        self, tag: int, chunks: int, size: int, put: Callable[[Callable[[Any], int]], None], *, limit: int
    ) -> None:
        super().__init__(limit=limit)
        self._tag = tag
        self._credit = chunks
        self._credit_bytes = size
        self._sent = 0
        self._made = 0
        self._is_counted = False
        self._queued = False
        self._put_item = put
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def close(self, outcome: Outcome) -> Outcome:
        """Take no more: the call has this outcome, which follows the last value."""
        with self._lock:
            self._account.add_all(self._waiting)
            self._is_counted = True
        return super().close(outcome)

    def grant(self, chunks: int, size: int) -> None:
        """The host lets so many chunks, and bytes of them, more come."""
        with self._lock:
            self._credit += chunks
            self._credit_bytes += size
            self._make_room()

    def drain(self, frame: Any) -> int:
        """Put values that wait into a frame, as many as are their turn; returns their size."""
        with self._lock:
            taken = first_of(self._waiting, TURN_BYTES)
            if not self._is_counted:
                self._account.add_all(taken)  # not one by one as they are made, which costs more
        if not taken:
            return 0
        frame.stream_chunks.add(tag=self._tag, index=self._sent, payloads=taken)
        self._sent += len(taken)
        return sum(map(len, taken)) + CHUNK_COST * len(taken)

    @property
    def waits(self) -> bool:
        """Whether values wait for a frame; the result of the call comes after them."""
        return bool(self._waiting)

    def _has_room(self) -> bool:
        return self._contract is None or (self._credit > 0 and self._credit_bytes > 0)

    def _place(self) -> int:
        return self._made

    def _put(self, chunk: bytes) -> None:
        if self._contract is None:
            raise self._gone()
        self._made += 1
        self._credit -= 1
        self._credit_bytes -= len(chunk)
        self._waiting.append(chunk)
        if not self._queued:
            self._queued = True
            self._queue()

    def _queue(self) -> None:
        if threading.get_ident() == self._thread:
            self._put_item(self._fill)
        else:
            with suppress(RuntimeError):  # the loop is closed: there is no host to send to
                self._loop.call_soon_threadsafe(self._put_item, self._fill)

    def _fill(self, frame: Any) -> int:
        size = self.drain(frame)
        with self._lock:
            self._queued = bool(self._waiting)
            if self._queued:
                self._queue()
        return size
