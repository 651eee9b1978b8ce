"""One timer ends whatever is late in a loop, and nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from altar.later.deadline import Deadlines, Limited

FAR = 1_000_000.0


async def waiting(deadlines: Deadlines, deadline: float, began: asyncio.Event | None = None) -> tuple[str, bool]:
    """Wait for ever under a deadline; say what ended it, and whether it was the deadline alone."""
    limited = Limited()
    deadlines.watch(limited, deadline)
    if began is not None:
        began.set()
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return ("late" if limited.expired else "cancelled"), limited.expired and limited.take_back()
    finally:
        deadlines.forget(limited)
    return "done", False


def timers() -> int:
    loop = cast("Any", asyncio.get_running_loop())
    return len([handle for handle in loop._scheduled if not handle.cancelled()])


async def test_what_is_late_is_cancelled_and_the_cancellation_can_be_taken_back() -> None:
    task = asyncio.create_task(waiting(Deadlines(), time.monotonic()))

    assert ("late", True) == await task
    assert task.cancelling() == 0


async def test_what_has_ended_in_time_is_left_alone() -> None:
    deadlines, limited, later = Deadlines(), Limited(), Limited()
    deadlines.watch(limited, time.monotonic())
    deadlines.forget(limited)
    deadlines.watch(later, FAR + time.monotonic())

    for _ in range(3):
        await asyncio.sleep(0)

    assert not limited.expired
    assert not later.expired


async def test_an_earlier_deadline_that_comes_later_is_kept() -> None:
    deadlines, began = Deadlines(), asyncio.Event()
    patient = asyncio.create_task(waiting(deadlines, FAR + time.monotonic(), began))
    await began.wait()

    assert ("late", True) == await asyncio.create_task(waiting(deadlines, time.monotonic()))

    assert not patient.done()
    patient.cancel()
    assert ("cancelled", False) == await patient


async def test_every_late_one_of_many_is_ended_by_itself() -> None:
    deadlines, now = Deadlines(), time.monotonic()

    ended = await asyncio.gather(*(waiting(deadlines, now + number / 10_000) for number in range(100)))

    assert [("late", True)] * 100 == ended


async def test_who_cancels_as_well_is_heard() -> None:
    deadlines, began = Deadlines(), asyncio.Event()

    async def both() -> tuple[str, bool]:
        return await waiting(deadlines, time.monotonic(), began)

    task = asyncio.create_task(both())
    await began.wait()
    asyncio.get_running_loop().call_soon(task.cancel)

    ended = await task

    assert ended in {("late", False), ("cancelled", False)}
    assert task.cancelling()


async def test_a_thousand_deadlines_need_one_timer() -> None:
    deadlines, before = Deadlines(), timers()
    limited = [Limited() for _ in range(1000)]

    for number, each in enumerate(limited):
        deadlines.watch(each, time.monotonic() + FAR + number)

    assert timers() <= before + 1


async def test_no_deadline_needs_no_timer() -> None:
    before = timers()

    Deadlines().watch(Limited(), float("inf"))

    assert timers() == before


def test_another_loop_can_follow() -> None:
    deadlines = Deadlines()

    for _ in range(2):
        assert ("late", True) == asyncio.run(waiting(deadlines, time.monotonic()))


async def test_outside_of_a_task_there_is_nothing_to_end() -> None:
    raised: asyncio.Future[type[BaseException]] = asyncio.get_running_loop().create_future()

    def watch() -> None:
        try:
            Deadlines().watch(Limited(), time.monotonic())
        except RuntimeError as refused:
            raised.set_result(type(refused))

    asyncio.get_running_loop().call_soon(watch)

    assert RuntimeError is await raised


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_deadline_that_has_passed_ends_what_begins(seconds: float) -> None:
    assert ("late", True) == await asyncio.create_task(waiting(Deadlines(), time.monotonic() + seconds))
