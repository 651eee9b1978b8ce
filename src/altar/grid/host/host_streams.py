"""Streams on their way through a host: values from a runtime, held against the host's contract, to whoever asked.

In: chunks of a runtime, and credit from the asker.
Out: the same chunks in the asker's frames, the credit in the runtime's, and the account of what has passed.
A host grants a runtime no more than the asker granted, and holds at most one window of a stream.
There is no task and no timer for a stream: what nobody moves is found by :meth:`HostStreams.sweep`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import orjson

from altar.adm.canonical import parse_canonical, written_plainly
from altar.adm.errors import AltarError, ExecutionError, TransportError
from altar.grid.manifests.manifest import HostContract
from altar.grid.stream_window import CHUNK_COST, TURN_BYTES, Window, first_of
from altar.later.chunks import Account, at_index, lost_on_its_way
from altar.later.invocation import Invocation, Outcome, late, too_large

__all__ = ["HostStream", "HostStreams"]

MOST_CHUNKS = 4096
"""Chunks of one stream that a host holds, whatever the asker grants."""
MOST_BYTES = 1024 * 1024
"""Bytes of them, from which on no other is let come."""

Put = Callable[[Callable[[Any], int]], None]
"""Queues something that fills its part of the next frame, and says its size in bytes."""
Grant = Callable[[int, int], None]
"""Lets the runtime send so many chunks, and bytes of them, more."""


class HostStreams:
    """The streams that run through a host.

    ``limit`` is the most bytes of one value, ``idle`` how many seconds neither side may do nothing.
    ``end`` ends a call that runs, with an outcome, and cancels it where it runs.
    """

    def __init__(
        self,
        *,
        limit: int,
        idle: float,
        end: Callable[[Invocation, Outcome], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self._idle = idle
        self._end = end
        self._clock = clock
        self._open: set[HostStream] = set()

    def begin(self, invocation: Invocation, chunks: int, size: int, put: Put) -> None:
        """Let a call stream to whoever asked, who lets so many chunks and bytes of them come at first.

        Raises TransportError PROTOCOL_VIOLATION for a window that nothing fits in.
        """
        if not chunks or not size:
            raise TransportError(
                "PROTOCOL_VIOLATION",
                f"The window of the stream is {chunks} chunks and {size} bytes",
                ran="no",
                hint="let at least one chunk and one byte come",
            )
        invocation.chunks = HostStream(self, invocation, put)
        invocation.chunks.grant(chunks, size)
        invocation.needs = (*invocation.needs, "streaming")

    def arrived(self, invocation: Invocation, index: int, chunks: Sequence[bytes]) -> None:
        """A runtime sent values of a call that it runs; a call whose values must not pass is ended."""
        try:
            if invocation.chunks is None:
                raise TransportError(
                    "PROTOCOL_VIOLATION",
                    f"The runtime sent values of {invocation.name!r} one by one, and nobody asked for that",
                    ran="yes",
                )
            invocation.chunks.arrived(index, chunks)
        except AltarError as broken:
            self._end(invocation, Outcome(error=broken))

    def sweep(self) -> None:
        """End the streams on which nothing has moved for too long. Called some twenty times a second."""
        now = self._clock()
        for stream in list(self._open):
            if stream.moved or not stream.runs:
                stream.moved = False
                stream.since = now
            elif now - stream.since >= self._idle:
                self._end(stream.invocation, Outcome(error=_stood_still(stream, now - stream.since)))

    def opened(self, stream: HostStream) -> None:
        """The intent of its call is durable."""
        stream.since = self._clock()
        self._open.add(stream)

    def closed(self, stream: HostStream) -> None:
        """Its call has its outcome."""
        self._open.discard(stream)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all values that wait to be read."""
        return sum(stream.waiting_bytes for stream in self._open)

    def __iter__(self) -> Iterator[HostStream]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)


class HostStream:
    """One stream: what an executor calls the chunks of its invocation.

    ``came`` values are in the account: they were, or will be, passed on.
    ``moved`` says that something came or was granted since the last sweep, ``since`` when that last was so.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_asked_bytes",
        "_contract",
        "_grant",
        "_left",
        "_link",
        "_put",
        "_queued",
        "_sent",
        "_sent_bytes",
        "_streams",
        "_waiting",
        "_window",
        "invocation",
        "moved",
        "since",
        "waiting_bytes",
    )

    def __init__(self, streams: HostStreams, invocation: Invocation, put: Put) -> None:
        self.invocation = invocation
        self.waiting_bytes = 0
        self.moved = False
        self.since = 0.0
        self._streams = streams
        self._put = put
        self._asked = self._asked_bytes = 0
        self._sent = self._sent_bytes = 0
        self._waiting: deque[bytes] = deque()
        self._queued = False
        self._window = Window()
        self._grant: Grant | None = None
        self._link: Grant | None = None
        self._contract: HostContract | None = None
        self._account = Account()
        self._left = False

    # ------------------------------------------------------------------------------------------------- the executor

    def open(self, contract: HostContract) -> None:
        """Take values from here on, and hold each against this contract of the host."""
        self._contract = contract
        self._streams.opened(self)

    def close(self, outcome: Outcome) -> Outcome:
        """Take no more: the call has this outcome. Gives it back with the account of what was passed on.

        A runtime that says it passed on something else has broken the protocol.
        """
        self._streams.closed(self)
        self._contract = self._grant = None
        total = self._account.total()
        error = outcome.error
        if outcome.content and not self.came:
            outcome.streamed = None  # one value in place of a stream is held against the contract as a whole
            return outcome
        if outcome.content:
            error = TransportError("PROTOCOL_VIOLATION", "The runtime sent values and then one result", ran="yes")
        elif error is None and outcome.streamed != total:
            error = _cancelled() if self._left else lost_on_its_way(outcome.streamed, total)
        elif error is not None and self.came:
            error.ran = "yes"
        return Outcome(error=error, streamed=total)

    # -------------------------------------------------------------------------------------------------- the asker

    def grant(self, chunks: int, size: int) -> None:
        """The asker has read, and lets so much more come."""
        self._asked += chunks
        self._asked_bytes += size
        self.moved = True
        self._pass_credit_on()

    def leave(self) -> None:
        """The asker reads no more: drop what waits."""
        self._left = True
        self._waiting.clear()
        self.waiting_bytes = 0

    @property
    def waits(self) -> bool:
        """Whether values wait for a frame; the result of the call comes after them."""
        return bool(self._waiting)

    def drain(self, frame: Any) -> int:
        """Put values that wait into a frame of the asker, as many as are its turn; returns their size."""
        if not self._waiting:
            return 0
        taken = first_of(self._waiting, TURN_BYTES)
        size = sum(map(len, taken))
        frame.stream_chunks.add(tag=self.invocation.tag, index=self._sent, payloads=taken)
        self._sent += len(taken)
        self._sent_bytes += size
        self.waiting_bytes -= size
        if self._window.granted < self._asked or self._window.granted_bytes < self._asked_bytes:
            self._pass_credit_on()
        return size + CHUNK_COST * len(taken)

    # ------------------------------------------------------------------------------------------------ the runtime

    @property
    def feed(self) -> HostStream:
        """Where the values come from is asked of the stream itself."""
        return self

    def sent_to(self, grant: Grant) -> None:
        """The call is queued for a runtime, or for another one; ``grant`` lets that send more."""
        self._window = Window()
        self._grant, self._link = None, grant

    def window(self) -> tuple[int, int]:
        """The call leaves for its runtime: how many chunks, and bytes of them, that may send at first."""
        self._grant = self._link
        self._window.granted = min(self._asked, MOST_CHUNKS)
        self._window.granted_bytes = min(self._asked_bytes, MOST_BYTES)
        self.moved = True
        return self._window.granted, self._window.granted_bytes

    @property
    def runs(self) -> bool:
        """Whether a runtime has the call."""
        return self._grant is not None

    @property
    def came(self) -> int:
        """Values that came from the runtime and may pass."""
        return self._account.chunks

    @property
    def waits_for_its_reader(self) -> bool:
        """Whether nothing more may come until somebody reads."""
        return bool(self._waiting) or self._window.is_used_up

    def arrived(self, index: int, chunks: Sequence[bytes]) -> None:
        """Take values of the runtime: check, count, and queue them for the asker.

        Raises PROTOCOL_VIOLATION for what is not due or was not granted, and SCHEMA_VIOLATION, MESSAGE_TOO_LARGE or
        SERIALIZATION_ERROR, ``ran`` yes, for a value that must not pass; those before it have been taken.
        """
        self._window.take(index, chunks)
        self.moved = True
        if self._contract is None or self._left:
            return
        good, broken = self._checked(self._contract, chunks)
        self._account.add_all(good)
        self._waiting.extend(good)
        self.waiting_bytes += sum(map(len, good))
        self._queue()
        if broken is not None:
            raise broken

    # --------------------------------------------------------------------------------------------------- the rest

    def _pass_credit_on(self) -> None:
        """Let the runtime send what the asker will take, as far as there is room for it here."""
        if self._grant is None:
            return
        chunks = max(0, min(self._asked, self._sent + MOST_CHUNKS) - self._window.granted)
        size = max(0, min(self._asked_bytes, self._sent_bytes + MOST_BYTES) - self._window.granted_bytes)
        if chunks or size:
            self._window.granted += chunks
            self._window.granted_bytes += size
            self._grant(chunks, size)

    def _queue(self) -> None:
        if self._waiting and not self._queued:
            self._queued = True
            self._put(self._fill)

    def _fill(self, frame: Any) -> int:
        self._queued = False
        size = self.drain(frame)
        self._queue()
        return size

    def _checked(self, contract: HostContract, chunks: Sequence[bytes]) -> tuple[Sequence[bytes], AltarError | None]:
        """The values that may pass, up to the first that must not, and what is wrong with that."""
        if max(map(len, chunks), default=0) <= self._streams.limit and _fit_together(contract, chunks):
            return chunks, None
        for place, chunk in enumerate(chunks):
            try:
                self._check(contract, chunk)
            except AltarError as broken:
                broken.ran = "yes"
                return chunks[:place], at_index(broken, self.came + place)
        return chunks, None

    def _check(self, contract: HostContract, chunk: bytes) -> None:
        if len(chunk) > self._streams.limit:
            raise too_large("contents of one value of the stream", len(chunk), self._streams.limit, ran="yes")
        parse_canonical(chunk)  # by itself: several texts that are none can be one list
        contract.check_result(b"[" + chunk + b"]")


def _fit_together(contract: HostContract, chunks: Sequence[bytes]) -> bool:
    """Whether all of them fit, found out at once; false says nothing yet."""
    if not _is_of_items_alone(contract):
        return False
    try:
        values = [orjson.loads(chunk) for chunk in chunks]
        if written_plainly(values) != b"[" + b",".join(chunks) + b"]":
            return False
        contract.declaration.check_result(values)
    except (orjson.JSONDecodeError, AltarError):
        return False
    return True


@lru_cache(maxsize=512)
def _is_of_items_alone(contract: HostContract) -> bool:
    """Whether its result is a list of which only the items are said, so that many fit when each does."""
    returns = contract.declaration.returns
    return returns is None or returns.to_adm().keys() <= {"type", "items", "description", "title"}


def _stood_still(stream: HostStream, seconds: float) -> AltarError:
    if stream.waits_for_its_reader:
        return ExecutionError(
            "CANCELLED",
            f"Nobody has read the values of {stream.invocation.name!r} for {seconds:.0f} seconds",
            ran="yes" if stream.came else "unknown",
            hint="read on, or leave the stream; the host's setting host.stream_idle is how long it waits",
        )
    error = late(stream.invocation, ran="yes" if stream.came else "unknown")
    error.detail = f"no value came for {seconds:.1f} seconds"
    error.hint = "let the tool yield more often; the host's setting host.stream_idle is how long it waits"
    return error


def _cancelled() -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled", ran="yes")
