"""Streams at a client: values from its host, and credit for it as the application reads.

In: chunks of calls, in frames of the host.
Out: the same values for the reader of each stream, and more credit whenever half of a window has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.errors import AltarError, ExecutionError, Ran
from altar.grid.stream_window import CHUNKS, SIZE, Window
from altar.later.chunks import Chunks
from altar.later.invocation import Invocation

__all__ = ["ReceivedStream", "left", "no_answer", "receive", "take_in"]

Send = Callable[[host_pb2.ConnectRequest], None]
"""Queues a message for the host, or drops it while there is no connection."""


class ReceivedStream:
    """One stream of a host; ``grant`` lets the host send so many chunks, and bytes of them, more."""

    ahead = CHUNKS // 4

    __slots__ = ("_chunks", "_grant", "_read", "_read_bytes", "_window")

    def __init__(self, chunks: Chunks, grant: Callable[[int, int], None]) -> None:
        self._chunks = chunks
        self._grant = grant
        self._window = Window()
        self._read = self._read_bytes = 0
        chunks.feed = self

    def window(self) -> tuple[int, int]:
        """How much may come before more is granted, now that the call is sent."""
        self._window.granted, self._window.granted_bytes = CHUNKS, SIZE
        return CHUNKS, SIZE

    def arrived(self, index: int, chunks: Sequence[bytes]) -> None:
        """Take values for the reader. Raises PROTOCOL_VIOLATION for what is not due or was not granted."""
        self._window.take(index, chunks)
        self._chunks.arrive(chunks)

    def more(self, chunks: int, size: int) -> None:
        """The application has read so much; the host hears of it when that is half of a window."""
        self._read += chunks
        self._read_bytes += size
        if 2 * self._read >= CHUNKS or 2 * self._read_bytes >= SIZE:
            self._window.granted += self._read
            self._window.granted_bytes += self._read_bytes
            self._grant(self._read, self._read_bytes)
            self._read = self._read_bytes = 0


def receive(invocation: Invocation, send: Send) -> None:
    """Make ready for the values of a call that is about to be sent."""

    def grant(chunks: int, size: int) -> None:
        more = call_pb2.StreamCredit(tag=invocation.tag, more=call_pb2.Window(chunks=chunks, bytes=size))
        send(host_pb2.ConnectRequest(stream_credits=[more]))

    ReceivedStream(invocation.chunks, grant)


def take_in(invocation: Invocation, chunk: call_pb2.StreamChunk, send: Send) -> AltarError | None:
    """Take values of a call that is in flight; an error ends it, and the host has been told so."""
    if invocation.chunks is not None:
        try:
            invocation.chunks.feed.arrived(chunk.index, list(chunk.payloads))
        except AltarError as broken:
            send(host_pb2.ConnectRequest(cancels=[call_pb2.CancelCall(tag=chunk.tag)]))
            return broken
    return None


def left(invocation: Invocation, *, until: float) -> None:
    """Nobody reads on: the host says how it ended, once its generator has closed, but is not waited for for ever."""
    invocation.cancelled = True
    invocation.chunks.leave()
    invocation.deadline = min(invocation.deadline, until)


def no_answer(invocation: Invocation) -> AltarError:
    """The outcome of a call on which the host has said nothing in time; of a stream that was left, too."""
    ran: Ran = "unknown" if invocation.attempts else "no"
    if invocation.cancelled:
        return ExecutionError("CANCELLED", "The call was cancelled", ran=ran)
    return ExecutionError(
        "TIMEOUT",
        f"The host did not answer for {invocation.name!r} in time",
        ran=ran,
        hint="look at the host's log for what became of the call",
    )
