"""Work that is done at the same time, and work that is done to its end whoever is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from altar.ai.pipelines.stops import StepFailedError

if TYPE_CHECKING:
    from altar.ai.pipelines.replay import Replay

__all__ = ["answered", "to_the_end", "together"]

T = TypeVar("T")
_SOON = 1.0
"""Seconds that a call goes on whose caller leaves, so that its answer is heard."""


async def together(
    work: Iterable[Callable[[], Coroutine[Any, Any, Any]]], count: int, concurrency: int | None, replay: Replay | None
) -> list[Any]:
    """What each of these ``count`` gives, in their order, at most so many at a time; one that fails cancels the others.

    It does so when the others have gone over what they did before, in the ``replay`` of a run that goes on.

    Of several failures the one counts that leaves the least to be done: first what is no failure of a step, then one
    that nothing may stand in for.
    """
    most = min(concurrency or count, count)
    if most <= 1:
        return [await one() for one in work]
    results: list[Any] = [None] * count
    left = iter(enumerate(work))

    going = most

    async def carry_out() -> None:
        nonlocal going
        try:
            for place, one in left:
                results[place] = await one()
        except StepFailedError:
            if replay is not None:
                await replay.failed()
            raise
        if replay is not None and going > 1:
            going -= 1
            replay.left()

    if replay is not None:
        replay.parted(most)
    workers = [asyncio.get_running_loop().create_task(carry_out()) for _ in range(most)]
    try:
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await to_the_end(_ended(workers))
        if replay is not None:
            replay.joined(going)
    failed = [error for worker in workers if not worker.cancelled() and (error := worker.exception()) is not None]
    if failed:
        raise min(failed, key=_rank)
    if any(worker.cancelled() for worker in workers):
        raise asyncio.CancelledError
    return results


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work that must be done also by who is cancelled; raises CancelledError after it, if that happened."""
    task = asyncio.get_running_loop().create_task(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            is_cancelled = True
    task.result()
    if is_cancelled:
        raise asyncio.CancelledError


async def answered(work: Coroutine[Any, Any, T]) -> tuple[asyncio.Task[T], bool]:
    """A call that has ended, and whether its caller was cancelled meanwhile, who has then to raise CancelledError.

    The call goes on for a second then, so that an answer on its way is heard, and is cancelled after that.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        with suppress(asyncio.CancelledError):
            await to_the_end(_soon(task))
        return task, True
    return task, False


async def _soon(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task, and cancel it when that does not come soon."""
    _, running = await asyncio.wait((task,), timeout=_SOON)
    if running:
        task.cancel()
        await asyncio.wait((task,))


async def _ended(workers: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(workers)


def _rank(failed: BaseException) -> int:
    if not isinstance(failed, StepFailedError):
        return 0
    return 1 if failed.final else 2
