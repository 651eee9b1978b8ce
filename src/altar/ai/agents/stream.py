"""What happens in a run, told while it happens: a run in a task of its own, and somebody who reads.

The run waits for a reader that is slow; when the reader stops, the run is cancelled.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from altar.ai.agents.result import AgentEvent, AgentResult, Finished
from altar.later.portal import portal

__all__ = ["Reading", "pulled"]

_AHEAD = 64
"""Events that a run may be ahead of its reader."""

Running = Callable[[Callable[[AgentEvent], Awaitable[None]]], Awaitable[AgentResult]]


class Reading(AsyncIterator[AgentEvent]):
    """The events of a run for who awaits them, the last of which has its result; raises what the run raises.

    ``run`` is given what to tell, and a function that says whether nobody has this any more: the run is left then.
    """

    def __init__(self, run: Callable[[Callable[[AgentEvent], Awaitable[None]], Callable[[], bool]], Any]) -> None:
        itself = weakref.ref(self)
        self._events = _events(lambda tell: run(tell, lambda: itself() is None))

    async def __anext__(self) -> AgentEvent:
        """The next event."""
        return await anext(self._events)

    async def aclose(self) -> None:
        """Cancel the run where it is, and wait for its end."""
        await self._events.aclose()


def pulled(told: Reading) -> Iterator[AgentEvent]:
    """The same events for who has no event loop."""

    async def taken() -> AgentEvent | None:
        return await anext(told, None)

    try:
        while (event := portal().run(taken())) is not None:
            yield event
    finally:
        portal().run(told.aclose())


async def _events(run: Running) -> AsyncGenerator[AgentEvent, None]:
    """Every event of a run, the last of which has its result; raises what the run raises."""
    heard: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
    room = asyncio.Semaphore(_AHEAD)

    async def tell(event: AgentEvent) -> None:
        await room.acquire()
        heard.put_nowait(event)

    async def running() -> AgentResult:
        return await run(tell)

    # In a task of its own, which ends what it began wherever the reader stops.
    task = asyncio.create_task(running())  # noqa: TID251 (no group can be held over a yield: another task may close it)
    task.add_done_callback(lambda _: heard.put_nowait(None))
    try:
        while (event := await heard.get()) is not None:
            room.release()
            yield event
        yield Finished(await task)
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # which is told by what awaits it, or by nobody who is still there
