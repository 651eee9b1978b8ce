"""The event loop in a thread of its own, for synchronous code."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

import altar
from altar.later.portal import Portal, portal


async def where() -> threading.Thread:
    return threading.current_thread()


def test_a_coroutine_runs_in_another_thread_and_its_value_comes_back() -> None:
    assert portal().run(where()) is not threading.current_thread()


def test_there_is_one_portal_in_a_process() -> None:
    assert portal() is portal()


def test_what_a_coroutine_raises_is_raised_here() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        portal().run(fails())


async def test_it_works_while_a_loop_runs_here() -> None:
    assert portal().run(where()) is not threading.current_thread()


def test_many_threads_may_wait_at_once() -> None:
    async def slowly(number: int) -> int:
        await asyncio.sleep(0)
        return number

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda number=number: found.append(portal().run(slowly(number))))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(20))


def test_waiting_for_itself_is_refused_and_not_for_ever() -> None:
    here = Portal()

    async def nested() -> None:
        here.run(where())

    with pytest.raises(altar.ConfigurationError) as refused:
        here.run(nested())
    assert refused.value.code == "INCOMPATIBLE_MODE"


def test_a_forked_child_has_a_portal_of_its_own() -> None:
    program = """
import os
from altar.later.portal import portal

async def one():
    return 1

portal().run(one())
child = os.fork()
if not child:
    import signal
    signal.alarm(20)  # ends a child that waits for a thread it does not have
    os._exit(portal().run(one()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "1\n"


@pytest.mark.parametrize("raised", [None, SystemExit, KeyboardInterrupt])
def test_who_stops_the_loop_stops_nobody_else(raised: type[BaseException] | None) -> None:
    made = Portal()

    async def stop() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)

    async def end() -> None:
        async def background() -> None:
            raise raised or RuntimeError

        task = asyncio.create_task(background())
        await asyncio.wait([task])
        task.exception()

    async def answer() -> int:
        return 42

    made.run(stop() if raised is None else end())

    assert made.run(answer()) == 42
