"""A run that is read as a stream of its events, in an event loop or without one.

A stream is read once, by one reader; who leaves it early cancels the run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self

from altar.adm.errors import ConfigurationError
from altar.ai.pipelines.running import RunElsewhere, Wanted, run_in
from altar.later.live import not_open

if TYPE_CHECKING:
    from altar.ai.pipelines.events import PipelineEvent
    from altar.ai.pipelines.result import PipelineResult
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["PipelineStream", "SyncPipelineStream"]


class PipelineStream:
    """The events of a run in an event loop: ``async for event in pipeline.stream(session, …)``.

    Nothing happens before the first event is asked for.
    Reading in ``async with`` is sure to leave nothing running; a loop that is left by ``break`` cancels by itself.
    """

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session = session
        self._wanted = wanted
        self._waiting: deque[PipelineEvent] = deque()
        self._task: asyncio.Task[PipelineResult] | None = None
        self._more = asyncio.Event()
        self._has_reader = False

    def __aiter__(self) -> AsyncIterator[PipelineEvent]:
        """The one reader of this stream."""
        if self._has_reader:
            raise _taken(self._wanted.pipeline.name)
        self._has_reader = True
        return _Reader(self)

    async def next(self) -> PipelineEvent:
        """The next event, for the one reader; raises StopAsyncIteration after the last one, or what the run raised."""
        if self._task is None:
            running = run_in(self._session, self._wanted, tell=self._tell)
            self._task = asyncio.get_running_loop().create_task(running)
            self._task.add_done_callback(lambda _: self._more.set())
        while not self._waiting:
            if self._task.done():
                if not self._task.cancelled():
                    self._task.result()
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._waiting.popleft()

    def abandon(self) -> None:
        """Cancel the run without waiting, from any thread."""
        task = self._task
        if task is not None and not task.done():
            with suppress(RuntimeError):  # the loop is closed, and the run with it
                task.get_loop().call_soon_threadsafe(task.cancel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the run if it has not ended, and wait until it has."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    @property
    def result(self) -> PipelineResult:
        """What came of the run, once it has ended; raises INVALID_SESSION before, and for one that was cancelled."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            raise _not_ended(self._wanted.pipeline.name)
        return self._task.result()

    def _tell(self, event: PipelineEvent) -> None:
        self._waiting.append(event)
        self._more.set()


class _Reader:
    """Takes one event after the other; a loop that is left drops it, and so cancels the run."""

    __slots__ = ("_stream",)

    def __init__(self, stream: PipelineStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[PipelineEvent]:
        return self

    async def __anext__(self) -> PipelineEvent:
        return await self._stream.next()

    def __del__(self) -> None:
        self._stream.abandon()


class SyncPipelineStream:
    """The events of a run for code without an event loop: ``for event in pipeline.stream(session, …)``.

    Reading in ``with`` is sure to leave nothing running; a loop that is left by ``break`` cancels by itself.
    """

    def __init__(self, session: SyncSession, wanted: Wanted) -> None:
        self._session = session
        self._wanted = wanted
        self._events: SimpleQueue[PipelineEvent | None] = SimpleQueue()
        self._begun: RunElsewhere | None = None
        self._has_reader = False

    def __iter__(self) -> Iterator[PipelineEvent]:
        """The one reader of this stream."""
        if self._has_reader:
            raise _taken(self._wanted.pipeline.name)
        self._has_reader = True
        return _SyncReader(self)

    def next(self) -> PipelineEvent:
        """The next event, for the one reader; raises StopIteration after the last one, or what the run raised."""
        if self._begun is None:
            self._begun = RunElsewhere(self._session, self._wanted, tell=self._events.put)
            self._begun.future.add_done_callback(lambda _: self._events.put(None))
        event = self._events.get()
        if event is None:
            self._events.put(None)  # whoever asks again is told again
            if not self._begun.future.cancelled():
                self._begun.future.result()
            raise StopIteration
        return event

    def abandon(self) -> None:
        """Cancel the run without waiting."""
        if self._begun is not None:
            self._begun.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the run if it has not ended, and wait until it has, for a minute at most."""
        if self._begun is not None:
            self._begun.end()

    @property
    def result(self) -> PipelineResult:
        """What came of the run, once it has ended; raises INVALID_SESSION before, and for one that was cancelled."""
        if self._begun is None or not self._begun.future.done() or self._begun.future.cancelled():
            raise _not_ended(self._wanted.pipeline.name)
        return self._begun.future.result()


class _SyncReader:
    """Takes one event after the other; a loop that is left drops it, and so cancels the run."""

    __slots__ = ("_stream",)

    def __init__(self, stream: SyncPipelineStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[PipelineEvent]:
        return self

    def __next__(self) -> PipelineEvent:
        return self._stream.next()

    def __del__(self) -> None:
        self._stream.abandon()


def _taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        "INCOMPATIBLE_MODE",
        f"The stream of {name!r} has a reader already, and is read once, by one",
        ran="no",
        hint="call pipeline.stream(…) again for another run",
    )


def _not_ended(name: str) -> Exception:
    hint = "read its stream to the end before you ask for its result"
    return not_open(f"The run of {name!r} has not ended", hint=hint)
