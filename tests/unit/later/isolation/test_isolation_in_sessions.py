"""Isolated tools where they are used: streams, contexts, sessions and a grid."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

import altar
from altar.later.context import LogLine, Progress, ToolContext
from altar.later.invocation import Invocation, Outcome
from altar.later.isolation.processes import Processes
from altar.later.registry import REGISTRY
from altar.later.running import Steps
from altar.later.tool import ToolFunction
from tests.unit.later.isolation import isolated_tools as tools
from tests.unit.later.isolation.test_isolation import ended, read_when_written

LONG = 30.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Processes]:
    made = Processes(1)
    yield made
    made.close()


@pytest.fixture
def began(tmp_path: Path) -> Path:
    path = tmp_path / "began"
    os.mkfifo(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The tools, where sessions find them."""
    before = REGISTRY.tools()
    for tool in (tools.process, tools.spin, tools.count, tools.reports, tools.end, tools.here):
        REGISTRY.register(tool)
    yield
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


def steps_of(pool: Processes, tool: ToolFunction[..., Any], *, within: float = LONG, **arguments: Any) -> Steps:
    invocation = Invocation(tool.name, orjson.dumps(arguments), "c1", deadline=time.monotonic() + within)
    return pool.steps(tool, invocation)


def all_of(steps: Steps) -> tuple[list[Any], Outcome]:
    values = []
    try:
        while True:
            values.append(orjson.loads(next(steps)))
    except StopIteration as end:
        return values, end.value


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tool", [tools.count, tools.count_slowly])
def test_the_values_of_a_generator_come_one_by_one(shared: Processes, tool: ToolFunction[..., Any]) -> None:
    assert ([0, 1, 2], Outcome()) == all_of(steps_of(shared, tool, upto=3))


def test_a_generator_that_is_left_is_closed_and_its_process_kept(shared: Processes, began: Path) -> None:
    with ThreadPoolExecutor() as threads:
        closing = threads.submit(read_when_written, began)
        steps = steps_of(shared, tools.count, upto=10_000_000, closed=str(began))
        assert b"0" == next(steps)

        steps.close()

        assert int(shared.run(tools.process, Invocation("process", b"{}")).content) == closing.result()


def test_a_generator_that_does_not_close_is_killed(shared: Processes, began: Path) -> None:
    with ThreadPoolExecutor() as threads:
        beginning = threads.submit(read_when_written, began)
        steps = steps_of(shared, tools.stubborn, began=str(began))
        assert b'"first"' == next(steps)
        process = beginning.result()

        steps.close()

    assert ended(process)


def test_a_stream_that_crashes_on_its_way_says_so_after_its_values(shared: Processes) -> None:
    values, outcome = all_of(steps_of(shared, tools.count_slowly, upto=5, crash_at=2))

    assert [0, 1] == values
    assert outcome.error is not None
    assert ("RUNTIME_CRASH", "yes") == (outcome.error.code, outcome.error.ran)


def test_a_stream_ends_at_its_deadline(shared: Processes, began: Path) -> None:
    with ThreadPoolExecutor() as threads:
        threads.submit(read_when_written, began)
        shared.run(tools.process, Invocation("process", b"{}"))

        values, outcome = all_of(steps_of(shared, tools.stubborn, within=1.5, began=str(began)))

    assert ["first"] == values
    assert outcome.error is not None
    assert ("TIMEOUT", "yes") == (outcome.error.code, outcome.error.ran)


# ── contexts ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_tool_tells_its_context_reaches_the_one_here(shared: Processes) -> None:
    told: list[Progress | LogLine] = []
    invocation = Invocation("reports", b'{"steps":2}', "c7", principal="ann", deadline=time.monotonic() + LONG)

    outcome = shared.run(tools.reports, invocation, context=ToolContext(invocation, tell=told.append))

    assert {"call": "c7", "principal": "ann", "left": "True"} == orjson.loads(outcome.content)
    assert [
        Progress("reports", "c7", 1, 2, "on the way"),
        Progress("reports", "c7", 2, 2, "on the way"),
        LogLine("reports", "c7", "done", {"steps": 2}),
    ] == told


def test_a_context_there_calls_no_other_tools(shared: Processes) -> None:
    invocation = Invocation("calls", b"{}", "c1", deadline=time.monotonic() + LONG)

    assert b'"FEATURE_UNAVAILABLE"' == shared.run(tools.calls, invocation).content


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_synchronous_session_calls_and_kills_an_isolated_tool() -> None:
    with altar.session(source="later:") as session:
        here = session.call("process").unwrap()
        late = session.options(timeout=1.5).call("spin").error
        crashed = session.call("end", how="SIGKILL").error
        again = session.call("process").unwrap()

    assert late is not None
    assert crashed is not None
    assert ("TIMEOUT", "yes") == (late.type, late.ran)
    assert ("RUNTIME_CRASH", "yes") == (crashed.type, crashed.ran)
    assert len({os.getpid(), here, again}) == 3


async def test_a_cancelled_task_kills_its_isolated_tool(began: Path) -> None:
    async with altar.session(source="later:") as session:
        calling = asyncio.create_task(session.call("spin", began=str(began)))
        process = await asyncio.to_thread(read_when_written, began)

        calling.cancel()

        assert await asyncio.to_thread(ended, process)
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_isolated_calls_run_side_by_side_and_late_ones_say_whether_they_ran() -> None:
    async with altar.session(source="later:") as session:
        (await session.call("process")).unwrap()
        results = await asyncio.gather(*(session.options(timeout=1).call("spin") for _ in range(40)))

        assert {"TIMEOUT"} == {result.error.type for result in results if result.error}
        assert {"yes", "no"} == {result.error.ran for result in results if result.error}
        (await session.call("process")).unwrap()


def test_a_generator_is_collected_and_streamed_in_a_synchronous_session() -> None:
    with altar.session(source="later:") as session:
        assert [0, 1, 2] == session.call("count", upto=3).unwrap()
        with session.stream("count", upto=3) as stream:
            assert [0, 1, 2] == list(stream)


async def test_a_stream_that_is_left_early_is_closed_there(began: Path) -> None:
    reading = asyncio.create_task(asyncio.to_thread(read_when_written, began))
    async with altar.session(source="later:") as session:
        async with session.stream("count", upto=10_000_000, closed=str(began)) as stream:
            async for value in stream:
                assert 0 == value
                break

        assert await reading != os.getpid()


def test_progress_of_an_isolated_tool_reaches_the_caller() -> None:
    heard: list[Progress] = []
    with altar.session(source="later:") as session:
        session.options(on_progress=heard.append).call("reports", steps=3).unwrap()

    assert heard[-1].done == 3


async def test_calls_that_wait_for_a_process_hold_up_no_other_tool() -> None:
    async with altar.session(source="later:") as session:
        waiting = [asyncio.create_task(session.call("spin")) for _ in range(40)]
        await asyncio.sleep(0)

        result = await session.options(timeout=20).call(tools.here)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert os.getpid() == result.content
