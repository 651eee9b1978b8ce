"""Many calls at once: bounded, in order, each with its own result; cancelled together."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

import altar
from altar.adm.call import FunctionCall, ToolResult
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.testing import PATIENCE


@dataclass
class Load:
    """How many calls run, and ran, at a time."""

    now: int = 0
    most: int = 0
    began: int = 0
    cancelled: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture(autouse=True)
def load() -> Iterator[Load]:
    load = Load()
    before = REGISTRY.tools()
    REGISTRY.clear()

    @altar.tool
    async def square(number: int) -> int:
        """Square, and let others have their turn."""
        load.now += 1
        load.most = max(load.most, load.now)
        for _ in range(10 - number % 10):
            await asyncio.sleep(0)
        load.now -= 1
        if number == 13:
            raise ValueError("unlucky")
        return number**2

    @altar.tool
    def plain(number: int) -> int:
        """Square."""
        return number**2

    @altar.tool
    async def held() -> None:
        """Wait for ever."""
        load.began += 1
        if load.began >= 3:
            load.full.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            load.cancelled += 1
            raise

    yield load
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


async def test_results_come_in_the_order_of_the_calls_and_a_failure_is_one_of_them(load: Load) -> None:
    async with Session(Options()) as session:
        results = await session.batch([("square", {"number": number}) for number in range(40)], concurrency=7)

    assert [result.content for result in results] == [None if n == 13 else n**2 for n in range(40)]
    assert results[13].error is not None
    assert results[13].error.type == "TOOL_EXECUTION_FAILED"
    assert load.most == 7


@pytest.mark.parametrize("tool", ["square", "plain"])
def test_the_same_without_a_loop(tool: str) -> None:
    with Session(Options()) as session:
        results = session.batch([(tool, {"number": number}) for number in range(12)], concurrency=5)

    assert [result.content for result in results] == [number**2 for number in range(12)]


async def test_a_call_is_a_pair_or_an_adm_call_and_its_tool_a_name_or_itself() -> None:
    plain = REGISTRY.get("plain")
    assert plain is not None
    call = FunctionCall("mine", "plain", {"number": 3})
    async with Session(Options()) as session:
        results = await session.batch([(plain, {"number": 2}), call, ("plain", {"number": "four"}), ("plian", {})])

    assert [result.content for result in results[:2]] == [4, 9]
    assert results[1].call_id == "mine"
    assert [result.error.type for result in results[2:] if result.error] == ["INVALID_TOOL_ARGS", "UNSUPPORTED_TOOL"]


async def test_a_batch_of_nothing_is_nothing() -> None:
    async with Session(Options()) as session:
        assert await session.batch([]) == []


@pytest.mark.parametrize(
    "item", ["plain", ("plain",), ("plain", 3), ("plain", {3: 4}), (3, {}), (len, {}), None, {"name": "plain"}]
)
async def test_what_is_no_call_is_refused_before_anything_runs(item: object, load: Load) -> None:
    async with Session(Options()) as session:
        with pytest.raises(altar.ValidationError, match="Item 1 of the batch") as refused:
            await session.batch([("square", {"number": 1}), item])  # type: ignore[list-item]  # the mistake tested

    assert refused.value.code == "MALFORMED_REQUEST"
    assert load.most == 0


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_of_nothing_is_refused(concurrency: int) -> None:
    with Session(Options()) as session, pytest.raises(altar.ConfigurationError, match="at least 1 call") as refused:
        session.batch([("plain", {"number": 1})], concurrency=concurrency)

    assert refused.value.code == "INVALID_CONFIG"


async def test_each_result_is_told_as_it_comes() -> None:
    told: list[tuple[int, object]] = []

    def note(place: int, result: ToolResult) -> None:
        told.append((place, result.content))

    async with Session(Options()) as session:
        calls = [("square", {"number": number}) for number in range(10)]
        await session.batch(calls, on_result=note)

    assert sorted(told) == [(number, number**2) for number in range(10)]
    assert told[0] != (0, 0)  # the first call takes longest


@pytest.mark.parametrize("tool", ["square", "plain"])
def test_without_a_loop_it_is_told_in_the_thread_that_waits(tool: str) -> None:
    threads = []
    with Session(Options()) as session:
        calls = [(tool, {"number": number}) for number in range(10)]
        session.batch(calls, on_result=lambda place, result: threads.append(threading.get_ident()))

    assert threads == [threading.get_ident()] * 10


async def test_cancelling_a_batch_cancels_what_runs_and_the_rest_never_begins(load: Load) -> None:
    async with Session(Options()) as session:
        running = asyncio.create_task(session.batch([("held", {})] * 10, concurrency=3))
        await load.full.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert (load.began, load.cancelled) == (3, 3)


async def test_a_listener_that_raises_ends_the_batch_with_what_it_raised(load: Load) -> None:
    def fail(place: int, result: ToolResult) -> None:
        raise OSError("enough")

    async with Session(Options()) as session:
        with pytest.raises(OSError, match="enough"):
            await session.batch([("held", {}), ("square", {"number": 1}), ("held", {})], on_result=fail)

    assert load.cancelled == load.began


def test_without_a_loop_a_listener_that_raises_ends_the_batch_too() -> None:
    def fail(place: int, result: ToolResult) -> None:
        raise OSError("enough")

    with Session(Options()) as session, pytest.raises(OSError, match="enough"):
        session.batch([("held", {}), ("square", {"number": 1}), ("held", {})], on_result=fail)


async def test_a_batch_in_a_session_that_is_not_open_is_refused() -> None:
    with pytest.raises(altar.ValidationError, match="not open"):
        await Session(Options()).batch([("plain", {"number": 1})])


INTERRUPTED = """
import asyncio, threading
import altar

both_ended = threading.Barrier(3)

@altar.tool
async def held() -> None:
    "Wait for ever."
    print("began", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("ended", flush=True)
        threading.Thread(target=both_ended.wait, daemon=True).start()

with altar.session(source="later:", timeout=3600) as session:  # also where the machine stands still for a while
    try:
        session.batch([("held", {})] * 5, concurrency=2)
    except KeyboardInterrupt:
        both_ended.wait(60)
        print("interrupted", flush=True)
"""


def test_a_person_at_the_keyboard_ends_a_batch() -> None:
    program = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    began = [program.stdout.readline(), program.stdout.readline()]
    program.send_signal(signal.SIGINT)
    rest, _ = program.communicate(timeout=PATIENCE)

    assert began == ["began\n", "began\n"]
    assert rest.split() == ["ended", "ended", "interrupted"]
    assert program.returncode == 0
