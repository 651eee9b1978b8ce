"""Work that is done at the same time, and work that is done to its end whoever is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from altar.ai.pipelines.stops import StepFailedError

__all__ = ["to_the_end", "together"]


async def together(work: Iterable[Callable[[], Coroutine[Any, Any, Any]]], concurrency: int | None) -> list[Any]:
    """What each gives, in their order, at most so many at a time; the first that fails cancels the others.

    Of several failures the one counts that leaves the least to be done: first what is no failure of a step, then one
    that nothing may stand in for.
    """
    waiting = list(work)
    if len(waiting) <= 1 or concurrency == 1:
        return [await one() for one in waiting]
    results: list[Any] = [None] * len(waiting)
    left = iter(enumerate(waiting))

    async def carry_out() -> None:
        for place, one in left:
            results[place] = await one()

    count = min(concurrency or len(waiting), len(waiting))
    workers = [asyncio.get_running_loop().create_task(carry_out()) for _ in range(count)]
    try:
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await to_the_end(_ended(workers))
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


async def _ended(workers: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait(workers)


def _rank(failed: BaseException) -> int:
    if not isinstance(failed, StepFailedError):
        return 0
    return 1 if failed.final else 2
