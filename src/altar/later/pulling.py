"""The values of one call, one by one, for code without an event loop: :class:`SyncStream`.

A plain generator of a local session is stepped through in its reader's own thread: nothing runs ahead.
Everything else is read from a :class:`~altar.later.stream.Stream` in another thread's loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import orjson

from altar.adm.call import ToolResult
from altar.later.asking import Asker, Named, Waiter
from altar.later.chunks import WINDOW_CHUNKS
from altar.later.executor import Executor
from altar.later.invocation import Invocation
from altar.later.live import not_open
from altar.later.stream import Stream, not_ended, stream_invocation, stream_result, taken
from altar.later.workplace import StepsHere

__all__ = ["PulledHere", "PulledThere", "SyncStream", "Waits"]

T = TypeVar("T")


class Waits(Protocol):
    """Runs a coroutine in another thread's loop, where its session is open, and waits for it here."""

    def __call__(self, made: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        """What the coroutine returns."""
        ...


class Pulled(Protocol):
    """Where the values of a :class:`SyncStream` come from."""

    def take(self) -> list[Any]:
        """The next values, at least one; none at the end. Raises what the call failed with."""
        ...

    def leave(self) -> None:
        """Read no more, and do not wait."""
        ...

    def close(self) -> None:
        """Read no more, and wait until the generator has run its ``finally`` blocks, for a few seconds at most."""
        ...

    @property
    def result(self) -> ToolResult:
        """What came of the call; raises INVALID_SESSION before its end."""
        ...


class SyncStream:
    """The values of a tool, as they come: ``for value in session.stream(…)``.

    Nothing happens before the first value is asked for.
    Reading in ``with`` is sure to leave nothing open; a loop that is left by ``break`` lets go by itself.
    It can be read once, by one reader.
    """

    def __init__(self, name: Named, pulled: Pulled) -> None:
        self._name = name
        self._pulled = pulled
        self._has_reader = False

    def __iter__(self) -> Iterator[Any]:
        """The one reader of this stream."""
        if self._has_reader:
            raise taken(self._name)
        self._has_reader = True
        return _Reader(self._pulled)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, and wait until the generator has run its ``finally`` blocks, for a few seconds at most."""
        self._pulled.close()

    @property
    def result(self) -> ToolResult:
        """What came of the call, as :attr:`altar.later.stream.Stream.result` says it."""
        return self._pulled.result


class _Reader:
    """Takes one value after the other; a loop that is left drops it, and so lets go of the stream."""

    __slots__ = ("_pulled", "_values")

    def __init__(self, pulled: Pulled) -> None:
        self._pulled = pulled
        self._values: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._values:
            self._values.extend(self._pulled.take())
        if not self._values:
            raise StopIteration
        return self._values.popleft()

    def __del__(self) -> None:
        self._pulled.leave()


class PulledThere:
    """Values that come from a stream in another thread's loop, as many at a time as there are."""

    def __init__(self, stream: Stream, waits: Waits) -> None:
        self._stream = stream
        self._waits = waits

    def take(self) -> list[Any]:
        """The next values."""
        return self._waits(lambda: self._stream.take(WINDOW_CHUNKS))

    def leave(self) -> None:
        """Let go."""
        self._stream.abandon()

    def close(self) -> None:
        """Let go, and wait for the end."""
        if self._stream.begun:
            self._waits(self._stream.aclose)

    @property
    def result(self) -> ToolResult:
        """What came of it."""
        return self._stream.result


class PulledHere:
    """Values of a plain function, made in the reader's own thread when they are asked for."""

    def __init__(self, asker: Asker, executor: Executor, name: Named, arguments: Mapping[str, Any]) -> None:
        self._asker = asker
        self._executor = executor
        self._named = name
        self._arguments = arguments
        self._invocation: Invocation | None = None
        self._waiter = Waiter(asker)
        self._result: ToolResult | None = None
        self._taking = False
        self._over = False

    def take(self) -> list[Any]:
        """The next value."""
        live = self._asker.live
        live.require_process()
        if live.closed and self._invocation is None:
            raise not_open("This session is not open", hint="read a stream before its session is closed")
        if self._taking:
            raise taken(self._named)
        if self._over:
            return []
        self._taking = True
        try:
            chunk = self._next()
        finally:
            self._taking = False
        if chunk is not None:
            return [orjson.loads(chunk)]
        self._over = True
        live.pulled.discard(self.leave)
        self.result.unwrap()
        return []

    def leave(self) -> None:
        """Close the generator, here and now, unless it is being stepped through this moment."""
        steps = None if self._invocation is None else self._invocation.handle
        if isinstance(steps, StepsHere) and not self._taking and self._waiter.outcome is None:
            if not self._asker.live.is_ours:
                return
            self._invocation_of().cancelled = True
            self._asker.live.pulled.discard(self.leave)
            steps.leave()

    def close(self) -> None:
        """The same: whoever closes it has waited when this returns."""
        self.leave()

    @property
    def result(self) -> ToolResult:
        """What came of it."""
        if self._result is None and self._waiter.outcome is not None:
            self._result = stream_result(self._invocation_of(), self._waiter.outcome)
        if self._result is None:
            raise not_ended(self._named)
        return self._result

    def _next(self) -> bytes | None:
        """The next chunk, which for a tool that does not stream is its value; None at the end."""
        if self._invocation is None:
            self._begin()
            outcome = self._waiter.outcome
            if outcome is not None and outcome.content:
                return outcome.text
        steps = None if self._invocation is None else self._invocation.handle
        return steps.step() if isinstance(steps, StepsHere) and self._waiter.outcome is None else None

    def _begin(self) -> None:
        made = stream_invocation(self._asker, self._named, self._arguments)
        if isinstance(made, ToolResult):
            self._result = made
            return
        self._invocation = made
        made.reply_to = self._waiter
        self._executor.execute((made,))
        if self._waiter.outcome is None:
            self._asker.live.pulled.add(self.leave)

    def _invocation_of(self) -> Invocation:
        if self._invocation is None:
            raise not_ended(self._named)
        return self._invocation
