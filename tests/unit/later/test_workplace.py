"""Where functions run: each invocation is settled once, and a slot is freed when its function has really ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from altar.adm.errors import ExecutionError
from altar.later.invocation import Answer, Invocation, Outcome
from altar.later.workplace import CallerThread, LoopTasks, LoopThreads
from altar.testing import PATIENCE
from tests.unit.later.doubles import Answers, call

DONE = Outcome(b"1")


def noting(threads: list[threading.Thread]) -> Callable[[], Outcome]:
    """A function that notes the thread that runs it."""

    def job() -> Outcome:
        threads.append(threading.current_thread())
        return DONE

    return job


class Place:
    """A place with one thread, and what it told."""

    def __init__(self, kind: type[LoopThreads]) -> None:
        self.answers = Answers()
        self.freed: list[Invocation] = []
        self.place = kind(threads=1, freed=self.freed.append)
        self.go = threading.Event()
        self.began = threading.Event()

    def held(self) -> Outcome:
        self.began.set()
        assert self.go.wait(PATIENCE)
        return DONE

    async def told(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - told from another thread
                await asyncio.sleep(0.001)


@pytest.fixture(params=[LoopThreads, LoopTasks])
async def at(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    made = Place(request.param)
    yield made
    made.go.set()
    made.place.close()


def test_the_callers_thread_runs_a_function_here_and_now() -> None:
    answers = Answers()
    threads: list[threading.Thread] = []

    CallerThread().run_plain(call(), noting(threads), answers)

    assert threads == [threading.current_thread()]
    assert answers.outcomes == [DONE]


def test_a_person_at_the_keyboard_ends_a_call_that_is_settled_all_the_same() -> None:
    def interrupted() -> Outcome:
        raise KeyboardInterrupt

    answers = Answers()

    with pytest.raises(KeyboardInterrupt):
        CallerThread().run_plain(call(), interrupted, answers)

    assert (answers.error.code, answers.error.ran) == ("CANCELLED", "yes")


def test_the_callers_thread_has_no_place_for_coroutines() -> None:
    async def work() -> None:
        """Never runs."""

    with pytest.raises(ExecutionError, match="needs an event loop"):
        CallerThread().run_async(call(), work())
    CallerThread().cancel(call())


async def test_a_plain_function_runs_in_another_thread_and_is_answered_in_the_loop(at: Place) -> None:
    threads: list[threading.Thread] = []
    at.place.run_plain(call(), noting(threads), at.answers)

    await at.told(lambda: len(at.freed) == 1)

    assert threads != [threading.current_thread()]
    assert at.answers.outcomes == [DONE]


async def test_a_function_that_is_late_is_answered_in_time_and_keeps_its_slot(at: Place) -> None:
    at.place.run_plain(call(deadline=time.monotonic() + 0.02), at.held, at.answers)

    await at.told(lambda: bool(at.answers.given))

    assert (at.answers.error.code, at.answers.error.ran) == ("TIMEOUT", "yes")
    assert at.freed == []
    at.go.set()
    await at.told(lambda: len(at.freed) == 1)
    assert len(at.answers.given) == 1


async def test_a_function_that_got_no_thread_in_time_did_not_run_and_never_will(at: Place) -> None:
    ran: list[threading.Thread] = []
    at.place.run_plain(call(), at.held, Answers())
    waiting = call(deadline=time.monotonic() + 0.02)
    at.place.run_plain(waiting, noting(ran), at.answers)

    await at.told(lambda: bool(at.answers.given))

    assert (at.answers.error.code, at.answers.error.ran) == ("TIMEOUT", "no")
    assert at.freed == [waiting]
    at.go.set()
    await at.told(lambda: len(at.freed) == 2)
    assert ran == []


async def test_a_function_that_runs_is_answered_as_cancelled_and_keeps_its_slot(at: Place) -> None:
    invocation = call()
    at.place.run_plain(invocation, at.held, at.answers)
    await at.told(at.began.is_set)

    at.place.cancel(invocation)
    at.place.cancel(invocation)

    assert (at.answers.error.code, at.answers.error.ran) == ("CANCELLED", "yes")
    assert at.freed == []
    at.go.set()
    await at.told(lambda: at.freed == [invocation])


async def test_a_function_that_waits_for_a_thread_is_cancelled_without_running(at: Place) -> None:
    at.place.run_plain(call(), at.held, Answers())
    waiting = call()
    at.place.run_plain(waiting, lambda: DONE, at.answers)

    at.place.cancel(waiting)

    assert (at.answers.error.code, at.answers.error.ran) == ("CANCELLED", "no")


async def test_a_place_that_closes_answers_the_calls_that_wait_for_a_thread(at: Place) -> None:
    running, waiting, ran = call(), call(), list[threading.Thread]()
    at.place.run_plain(running, at.held, at.answers)
    await at.told(at.began.is_set)
    at.place.run_plain(waiting, noting(ran), at.answers)

    at.place.close()

    assert [waiting] == [answered for answered, _ in at.answers.given]
    assert (at.answers.error.code, at.answers.error.ran) == ("CANCELLED", "no")
    assert at.freed == [waiting]
    at.go.set()
    await at.told(lambda: at.freed == [waiting, running])
    assert at.answers.outcomes[1:] == [DONE]
    assert ran == []


async def test_a_place_that_is_closed_takes_no_more_calls(at: Place) -> None:
    at.place.close()

    with pytest.raises(ExecutionError, match="cancelled") as refused:
        at.place.run_plain(call(), lambda: DONE, at.answers)

    assert (refused.value.code, refused.value.ran) == ("CANCELLED", "no")
    assert at.answers.given == []


async def test_as_many_functions_run_at_once_as_there_are_threads_and_threads_are_used_again() -> None:
    together, threads = threading.Barrier(3), set[str]()
    answers = Answers()
    place = LoopThreads(threads=3)

    def meet() -> Outcome:
        threads.add(threading.current_thread().name)
        together.wait(PATIENCE)
        return DONE

    for turn in (1, 2, 3):
        for _ in range(3):
            place.run_plain(call(), meet, answers)
        async with asyncio.timeout(PATIENCE):
            while len(answers.given) < 3 * turn:  # noqa: ASYNC110 - told from another thread
                await asyncio.sleep(0.001)
    place.close()

    assert len(threads) == 3
    assert answers.outcomes == [DONE] * 9


def test_a_function_that_hangs_does_not_keep_its_process_alive() -> None:
    done = subprocess.run([sys.executable, "-c", _HANGS], capture_output=True, text=True, check=True, timeout=PATIENCE)

    assert done.stdout == "TIMEOUT\n"
    assert done.stderr == ""


_HANGS = """
import asyncio, threading, time
from altar.later.invocation import Invocation
from altar.later.workplace import LoopThreads

async def main():
    answered = asyncio.get_running_loop().create_future()
    place = LoopThreads()
    place.run_plain(
        Invocation("hang", b"{}", deadline=time.monotonic() + 0.02),
        threading.Event().wait,
        lambda _, outcome: answered.set_result(outcome.error.code),
    )
    print(await answered)
    place.close()

asyncio.run(main())
"""


async def test_a_coroutine_is_left_to_whoever_awaits_the_call() -> None:
    place, invocation, ran = LoopThreads(), call(), []

    async def work() -> None:
        ran.append(asyncio.current_task())

    place.run_async(invocation, work())
    assert ran == []
    await invocation.handle
    place.close()

    assert ran == [asyncio.current_task()]


async def test_a_runtime_runs_a_coroutine_as_a_task_that_can_be_cancelled() -> None:
    freed: list[Invocation] = []
    place, invocation, ended = LoopTasks(freed=freed.append), call(), []
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    place.run_async(invocation, work())
    await began.wait()
    place.cancel(invocation)
    await asyncio.wait([invocation.handle])
    await asyncio.sleep(0)
    place.close()

    assert (ended, freed) == (["cancelled"], [invocation])


async def test_an_urgent_job_gets_a_thread_when_all_are_taken_and_the_thread_is_given_back() -> None:
    place = LoopThreads(threads=1)
    answers = Answers()
    go, began = threading.Event(), threading.Event()

    def held() -> Outcome:
        began.set()
        assert go.wait(PATIENCE)
        return DONE

    outer, queued = call(), call()
    place.run_plain(outer, held, answers)
    place.run_plain(queued, lambda: DONE, answers)
    await asyncio.to_thread(began.wait, PATIENCE)
    place.run_plain(call(parent=outer), lambda: DONE, answers)  # its parent holds the only thread, and waits for it
    async with asyncio.timeout(PATIENCE):
        while not answers.given:  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(0.001)
    first = answers.given[0][0]
    go.set()
    async with asyncio.timeout(PATIENCE):
        while len(answers.given) < 3:  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(0.001)
        while place._threads._started > 1:  # noqa: ASYNC110 - ends by itself
            await asyncio.sleep(0.001)
    place.close()

    assert first.parent is outer
    assert [outcome for _, outcome in answers.given] == [DONE] * 3


async def test_a_thread_that_could_not_start_leaves_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    place = LoopThreads(threads=1)
    answers = Answers()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            place.run_plain(call(), lambda: DONE, answers)
    place.run_plain(call(), lambda: DONE, answers)
    async with asyncio.timeout(PATIENCE):
        while not answers.given:  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(0.001)
    place.close()

    assert [outcome for _, outcome in answers.given] == [DONE]


if sys.version_info >= (3, 12):  # before, no task begins while it is made

    async def test_a_stream_that_ends_as_it_begins_leaves_nothing_behind() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        place = LoopThreads()
        answers = Answers()
        invocation = call(deadline=time.monotonic() + PATIENCE)

        async def done(answer: Answer) -> None:
            answer(invocation, DONE)

        place.run_stream(invocation, done, answers)
        loop.set_task_factory(None)
        unanswered = list(place._unanswered)
        place.close()

        assert answers.given == [(invocation, DONE)]
        assert unanswered == []
        assert invocation.handle._timer is None
