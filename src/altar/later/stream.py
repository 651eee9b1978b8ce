"""The values of one call, one by one, as whoever called reads them in an event loop: :class:`Stream`.

Reading to the end ends with the call; a call that failed raises its error there, after the values that came before.
Leaving early closes the generator that makes the values.
Either way :attr:`Stream.result` then says what was recorded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import CoroutineType, TracebackType
from typing import Any, Self

import orjson

from altar.adm.call import ToolResult
from altar.adm.errors import AltarError, ConfigurationError
from altar.later.approvals import again, await_decision, is_handle, waits_for_person
from altar.later.asking import Asker, Named, Waiter, name_of, result_of
from altar.later.chunks import Chunks, Feed, account_of
from altar.later.executor import Executor
from altar.later.fingerprint import no_stream
from altar.later.invocation import Invocation, Outcome
from altar.later.live import not_open

__all__ = ["Stream", "not_ended", "stream_invocation", "stream_result", "taken"]


class Stream:
    """The values of a tool, as they come: ``async for value in session.stream(…)``.

    Nothing happens before the first value is asked for.
    Reading in ``async with`` is sure to leave nothing open; a loop that is left by ``break`` lets go by itself.
    It can be read once, by one reader, in the event loop of its session.
    """

    def __init__(self, asker: Asker, name: Named, arguments: Mapping[str, Any]) -> None:
        self._asker = asker
        self._named = name
        self._arguments = arguments
        self._call: _Call | None = None
        self._result: ToolResult | None = None
        self._has_reader = False
        self._over = False
        self.ahead: deque[Any] = deque()

    # ------------------------------------------------------------------------------------------------------- reading

    def __aiter__(self) -> AsyncIterator[Any]:
        """The one reader of this stream."""
        if self._has_reader:
            raise taken(self._named)
        self._has_reader = True
        return _Reader(self)

    async def take(self, most: int = 1) -> list[Any]:
        """The next values, at least one, at most so many; none at the end. Raises what the call failed with."""
        if self._over:
            return []
        call = self._call or await self._begin()
        chunks = await call.take(most)
        while not chunks:
            decided = await self._approved(call)
            if decided is None:
                break
            call = self._call = decided
            chunks = await call.take(most)
        if chunks:
            return [orjson.loads(chunk) for chunk in chunks]
        self._over = True
        self.result.unwrap()
        return []

    async def next(self) -> Any:
        """The next value, for the one reader; raises StopAsyncIteration at the end.

        Of values that came from another process several are taken at once, and kept in ``ahead``.
        """
        if not self.ahead:
            feed = self._call.feed if self._call is not None else None
            self.ahead.extend(await self.take(1 if feed is None else feed.ahead))
            if not self.ahead:
                raise StopAsyncIteration
        return self.ahead.popleft()

    @property
    def begun(self) -> bool:
        """Whether anything has happened yet."""
        return self._call is not None

    def abandon(self) -> None:
        """Leave without waiting, from any thread; nothing in a process that is not the stream's own.

        Never at once: a reader may be collected while this thread holds the lock of its chunks.
        """
        live = self._asker.live
        if self._call is not None and live.is_ours:
            live.carry_soon(self._call.leave)

    # ------------------------------------------------------------------------------------------------------- the end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave, and wait until the generator has run its ``finally`` blocks, for a few seconds at most."""
        self.ahead.clear()
        if self._result is None and self._call is not None:
            await self._call.leave_and_wait()

    @property
    def result(self) -> ToolResult:
        """What came of the call, once it has ended: SUCCESS without content, or ERROR.

        ``metadata`` has the number of ``chunks``, and the ``bytes`` and ``digest`` of the list that a call would give.
        Raises INVALID_SESSION while the stream is being read.
        """
        if self._result is None and self._call is not None:
            self._result = self._call.result()
        if self._result is None:
            raise not_ended(self._named)
        return self._result

    async def _approved(self, call: _Call) -> _Call | None:
        """The same call once more, after a person has decided on it; None for one that waits for nobody, or no more."""
        result, executor = call.result(), self._asker.live.executor
        if result is None or self._asker.options.approval != "wait" or not waits_for_person(result):
            return None
        if result.error is None or executor is None or call.is_again:
            return None
        if not await await_decision(self._asker, call.invocation, result):
            return None
        invocation = again(call.invocation, result.error.handle)
        invocation.chunks = Chunks()
        made = _Call(self._asker, invocation, is_again=True)
        await made.begin(executor)
        return made

    async def _begin(self) -> _Call:
        live = self._asker.live
        if live.executor is None:
            raise not_open("This session is not open", hint="use `async with altar.session(...) as s:`")
        live.require_here()
        invocation = stream_invocation(self._asker, self._named, self._arguments)
        if isinstance(invocation, ToolResult):
            self._result = invocation
            self._over = True
            raise _error_of(invocation)
        self._call = _Call(self._asker, invocation)
        await self._call.begin(live.executor)
        return self._call


class _Reader:
    """Takes one value after the other; a loop that is left drops it, and so lets go of the stream."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        values = self._stream.ahead
        return values.popleft() if values else await self._stream.next()

    def __del__(self) -> None:
        self._stream.abandon()


class _Call:
    """The call behind a stream that has begun."""

    def __init__(self, asker: Asker, invocation: Invocation, *, is_again: bool = False) -> None:
        self.is_again = is_again
        self._live = asker.live
        self._invocation = invocation
        self._chunks: Chunks = invocation.chunks
        self._waiter = Waiter(asker)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._one_value = True
        self._taking = False

    @property
    def invocation(self) -> Invocation:
        """What is called."""
        return self._invocation

    @property
    def feed(self) -> Feed | None:
        """The other process that the values come from; None when there is none."""
        return self._chunks.feed

    async def begin(self, executor: Executor) -> None:
        """Execute it; a coroutine that gives one value is awaited here, by its reader's own task."""
        self._invocation.reply_to = self._waiter
        self._waiter.future = self._ended
        executor.execute((self._invocation,))
        if type(self._invocation.handle) is CoroutineType:
            await self._invocation.handle
        if self._waiter.outcome is None:
            self._live.streams.add(self.leave_and_wait)
            self._ended.add_done_callback(lambda _: self._live.streams.discard(self.leave_and_wait))

    async def take(self, most: int) -> list[bytes]:
        """The next chunks; at the end the one value of a tool that does not stream, then nothing."""
        self._live.require_here()
        if self._taking:
            raise taken(self._invocation.name)
        self._taking = True
        try:
            chunks = await self._chunks.take(most)
            if chunks:
                return chunks
            await asyncio.wait((self._ended,))
        except BaseException:
            self.leave()
            raise
        finally:
            self._taking = False
        outcome = self._waiter.outcome
        if outcome is None or not outcome.content or not self._one_value:
            return []
        self._one_value = False
        return [outcome.text]

    def leave(self) -> None:
        """Read no more: the generator is closed, and the call is recorded as cancelled."""
        if self._waiter.outcome is None and not self._invocation.cancelled and self._live.source is not None:
            self._live.source.cancel(self._invocation)

    async def leave_and_wait(self) -> None:
        """Leave, and wait for the outcome."""
        self._live.require_here()
        self.leave()
        if self._waiter.outcome is None:
            await asyncio.wait((self._ended,))

    def result(self) -> ToolResult | None:
        """What came of it; None as long as it has not ended, or has values that nobody has read."""
        outcome = self._waiter.outcome
        return None if outcome is None else stream_result(self._invocation, outcome)


def stream_invocation(asker: Asker, name: Named, arguments: Mapping[str, Any]) -> Invocation | ToolResult:
    """The invocation for a stream, or the result when its arguments cannot even be written."""
    invocation = asker.invocation(name, arguments)
    if isinstance(invocation, Invocation):
        if asker.key and (asker.tools is not None or not is_handle(asker.key)):
            return result_of(invocation, Outcome(error=no_stream()))
        invocation.chunks = Chunks()
    return invocation


def stream_result(invocation: Invocation, outcome: Outcome) -> ToolResult:
    """The result of a stream; the value of a tool that does not stream counts as its one chunk."""
    if outcome.content:
        outcome = Outcome(streamed=account_of([outcome.text]))
    return result_of(invocation, outcome)


def taken(name: Named) -> AltarError:
    """The error for a second reader."""
    return ConfigurationError(
        "INCOMPATIBLE_MODE",
        f"The stream of {name_of(name)!r} has a reader already, and is read once, by one",
        ran="no",
        hint="call session.stream(…) again for another one, or collect the values in a list",
    )


def not_ended(name: Named) -> AltarError:
    """The error for who asks too early what came of a stream."""
    return not_open(
        f"The stream of {name_of(name)!r} has not ended",
        hint="read it to its end, or close it, before you ask for its result",
    )


def _error_of(result: ToolResult) -> AltarError:
    try:
        result.unwrap()
    except AltarError as error:
        return error
    raise RuntimeError("a result that is an error gave none")
