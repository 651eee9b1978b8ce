"""The values of a streamed call on their way from where they are made to who reads them, a window at a time.

In: each value as canonical JSON bytes, from a thread or from a task, or many at a time from another process.
Out: the same bytes, in order, to one reader in an event loop, or in the thread that makes them.
Whoever makes values waits while the window is full, so that a reader who does not read costs no memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from altar.adm.errors import AltarError, ExecutionError, TransportError, error_of
from altar.later.invocation import MAX_MESSAGE_BYTES, Contract, Outcome, Streamed, too_large

__all__ = ["WINDOW_BYTES", "WINDOW_CHUNKS", "Account", "Chunks", "Feed", "account_of", "at_index", "lost_on_its_way"]

WINDOW_CHUNKS = 16
"""Most chunks that wait for their reader."""
WINDOW_BYTES = 1024 * 1024
"""Bytes of chunks that wait for their reader, from which on nothing is added."""


class Feed(Protocol):
    """Another process that the values come from; it lets so many come as it was told to.

    ``ahead`` is how many of them its reader takes at once: they have come already.
    """

    ahead: int

    def window(self) -> tuple[int, int]:
        """How many chunks, and bytes of them, may come at first."""
        ...

    def more(self, chunks: int, size: int) -> None:
        """So many chunks, and bytes of them, were read: as many may come in their place."""
        ...


class Chunks:
    """A bounded way for chunks, and the account of what has passed.

    It takes nothing until it is opened, which the executor does when the intent of the call is durable.
    Every chunk is held against the contract before its reader can have it.
    Once it is closed, or its reader has left, whoever gives a chunk is told CANCELLED, and must end.
    ``limit`` is the most bytes of one value.
    ``feed`` is set when the values come from another process, which has checked them and keeps the window.
    """

    def __init__(self, *, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._contract: Contract | None = None
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._account = Account()
        self._reader: _Sleeper | None = None
        self._maker: _Sleeper | None = None
        self._left = False
        self._taken = self._taken_size = 0
        self.feed: Feed | None = None
        self.was_heard = False

    # ------------------------------------------------------------------------------------------------- the executor

    def open(self, contract: Contract) -> None:
        """Take chunks from here on, and hold each against this contract."""
        self._contract = contract

    def close(self, outcome: Outcome) -> Outcome:
        """Take no more: the call has this outcome. Gives it back with the account of what has passed.

        The outcome of a tool that does not stream is its one value, and stays as it is.
        Where the values come from another process its account is the one that counts; a reader who has not left must
        have got exactly these, else the outcome is PROTOCOL_VIOLATION.
        """
        with self._lock:
            self._shut()
            total = self._account.total()
        if outcome.content:
            return outcome
        if outcome.streamed is not None and (self._left or outcome.streamed == total):
            return outcome
        if self.feed is not None and outcome.error is None:
            return Outcome(error=lost_on_its_way(outcome.streamed, total), streamed=total)
        return replace(outcome, streamed=total)

    # -------------------------------------------------------------------------------------------- who makes chunks

    def note(self, chunk: bytes) -> None:
        """Check a chunk and count it, for a reader in the same thread, who takes it at once.

        Raises SCHEMA_VIOLATION or MESSAGE_TOO_LARGE, ``ran`` yes, for one that must not pass, and CANCELLED when
        nobody reads on.
        """
        self._check(chunk)
        with self._lock:
            self._count(chunk)

    def give(self, chunk: bytes) -> None:
        """Pass a chunk on from a thread, and wait there for room. Raises as :meth:`note` does."""
        self._check(chunk)
        with self._room:
            self._room.wait_for(self._has_room)
            self._put(chunk)

    async def pass_on(self, chunk: bytes) -> None:
        """Pass a chunk on from a task of the reader's loop, and wait for room. Raises as :meth:`note` does."""
        self._check(chunk)
        while True:
            with self._lock:
                if self._has_room():
                    self._put(chunk)
                    return
                self._maker = _Sleeper()
            await self._maker.sleep()

    def arrive(self, chunks: Sequence[bytes]) -> None:
        """Take chunks that another process has made, checked and counted; nothing when nobody reads on."""
        with self._lock:
            if self._contract is not None:
                self._account.add_all(chunks)
                self._waiting.extend(chunks)
                self._size += sum(map(len, chunks))
                self._wake_reader()

    # ---------------------------------------------------------------------------------------------- who reads them

    async def take(self, most: int = 1) -> list[bytes]:
        """The next chunks, as soon as there is one; none when nothing will come any more.

        Who asks for more has read what was taken before.
        """
        if self._taken and self.feed is not None and self._contract is not None:
            self.feed.more(self._taken, self._taken_size)
            self._taken = self._taken_size = 0
        while True:
            with self._lock:
                if self._waiting:
                    return self._pop(most)
                if self._contract is None:
                    return []
                self._reader = _Sleeper()
            await self._reader.sleep()

    def leave(self) -> None:
        """Take no more, and drop what waits: nobody reads on.

        Who waits for room hears of it now, others with their next chunk; then `was_heard` says so.
        """
        with self._lock:
            self._left = True
            self._waiting.clear()
            self._shut()

    # ----------------------------------------------------------------------------------------------- under the lock

    def _has_room(self) -> bool:
        return self._contract is None or (len(self._waiting) < WINDOW_CHUNKS and self._size < WINDOW_BYTES)

    def _put(self, chunk: bytes) -> None:
        self._count(chunk)
        self._waiting.append(chunk)
        self._size += len(chunk)
        self._wake_reader()

    def _count(self, chunk: bytes) -> None:
        if self._contract is None:
            raise self._gone()
        self._account.add(chunk)

    def _pop(self, most: int) -> list[bytes]:
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        size = sum(map(len, taken))
        self._size -= size
        if self.feed is None:
            self._make_room()
        else:
            self._taken += len(taken)
            self._taken_size += size
        return taken

    def _shut(self) -> None:
        self._contract = None
        self._wake_reader()
        self._make_room()

    def _make_room(self) -> None:
        maker, self._maker = self._maker, None
        if maker is not None:
            maker.wake()
        self._room.notify_all()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.wake()

    # ------------------------------------------------------------------------------------------------------- checks

    def _check(self, chunk: bytes) -> None:
        """Hold one value against the contract, as the list of one that a call would have given."""
        contract = self._contract
        if contract is None:
            raise self._gone()
        if len(chunk) > self._limit:
            raise too_large("contents of one value of the stream", len(chunk), self._limit, ran="yes")
        try:
            contract.check_result(b"[" + chunk + b"]")
        except AltarError as broken:
            raise at_index(broken, self._place()) from broken

    def _place(self) -> int:
        """The number of the value that is due, from 0."""
        return self._account.chunks

    def _gone(self) -> AltarError:
        self.was_heard = True
        return ExecutionError("CANCELLED", "The call was cancelled", ran="yes")


def at_index(broken: AltarError, index: int) -> AltarError:
    """The error for a value by its place in the whole stream and not in a list of one, as a call would say it."""
    path = broken.path or ""
    return error_of(
        broken.code,
        broken.message.replace("`[0]", f"`[{index}]", 1),
        hint=broken.hint,
        detail=broken.detail,
        path=f"/{index}{path.removeprefix('/0')}",
        ran="yes",
    )


def lost_on_its_way(said: Streamed | None, got: Streamed) -> AltarError:
    """The error for a stream whose values are not those that were sent: ``got`` them, ``said`` to have sent others."""
    sent = "nothing of the values it passed on" if said is None else f"that it passed on {said.chunks} values"
    return TransportError(
        "PROTOCOL_VIOLATION",
        f"The other side said {sent}, and {got.chunks} came",
        ran="yes",
        hint="check that both sides speak the same protocol; do not use the values that came",
    )


class Account:
    """How many chunks have passed, and the digest of the list that a call would have given for them."""

    __slots__ = ("_digest", "_size", "chunks")

    def __init__(self) -> None:
        self.chunks = 0
        self._size = 2
        self._digest = hashlib.sha256(b"[")

    def add(self, chunk: bytes) -> None:
        """Count one chunk."""
        if self.chunks:
            self._digest.update(b",")
            self._size += 1
        self._digest.update(chunk)
        self._size += len(chunk)
        self.chunks += 1

    def add_all(self, chunks: Collection[bytes]) -> None:
        """Count several; costs little more than one."""
        if chunks:
            self.add(b",".join(chunks))
            self.chunks += len(chunks) - 1

    def total(self) -> Streamed:
        """What has passed so far."""
        whole = self._digest.copy()
        whole.update(b"]")
        return Streamed(self.chunks, self._size, f"sha256:{whole.hexdigest()}")


def account_of(chunks: Iterable[bytes]) -> Streamed:
    """The account of a stream that has passed these chunks on."""
    account = Account()
    for chunk in chunks:
        account.add(chunk)
    return account.total()


class _Sleeper:
    """Somebody in an event loop who waits to be woken, from any thread."""

    __slots__ = ("_future", "_loop", "_thread")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._future: asyncio.Future[None] = self._loop.create_future()

    async def sleep(self) -> None:
        await self._future

    def wake(self) -> None:
        if threading.get_ident() == self._thread:
            self._awake()
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody sleeps there any more
                self._loop.call_soon_threadsafe(self._awake)

    def _awake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)
