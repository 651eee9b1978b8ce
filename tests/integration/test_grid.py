"""A grid of real processes: runtimes that die, stall, drain and come back, and hosts that are started again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.integration import tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

CONCURRENCY, QUEUE = 4, 6


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    settings = {"runtime.concurrency": CONCURRENCY, "host.queue": QUEUE}
    with LocalGrid([tools.__file__], settings=settings) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture
def both(grid: LocalGrid) -> LocalGrid:
    """The grid with both runtimes attached, whatever an earlier test did to them."""
    for number in (1, 2):
        process = grid.runtimes.get(number)
        if process is None or not process.alive:
            grid.start_runtime(number)
    return grid


def runs_in(grid: LocalGrid, directory: Path, name: str) -> int:
    """Wait until a call says where it runs; the number of its runtime."""
    (file,) = until(lambda: list(directory.glob(f"{name}.*")), what=f"{name} began")
    pid = int(file.suffix[1:])
    return next(number for number, process in grid.runtimes.items() if process.pid == pid)


def outcome_of(grid: LocalGrid, call_id: str) -> dict[str, Any]:
    """What the log says of how a call ended."""
    entries = grid.entries()
    (intent,) = (entry for entry in entries if entry["kind"] == "intent" and entry["call"] == call_id)
    (outcome,) = (
        entry for entry in entries if entry["kind"] == "outcome" and entry["invocation"] == intent["invocation"]
    )
    return outcome


async def begun(grid: LocalGrid, directory: Path, name: str) -> int:
    return await asyncio.to_thread(runs_in, grid, directory, name)


# --------------------------------------------------------------------------------------------------- runtimes that die


async def test_a_call_that_may_run_twice_is_tried_elsewhere_when_its_runtime_is_killed(
    both: LocalGrid, tmp_path: Path
) -> None:
    async with both.session() as session:
        call = asyncio.create_task(session.call("held", directory=str(tmp_path), name="x"))
        first = await begun(both, tmp_path, "x")
        both.kill_runtime(first)
        await asyncio.to_thread(until, lambda: len(list(tmp_path.glob("x.*"))) == 2, what="second attempt")
        (tmp_path / "go").touch()
        result = await call

    assert result.unwrap() == "x"
    outcome = outcome_of(both, result.call_id)
    assert (outcome["status"], outcome["attempts"]) == ("SUCCESS", 2)
    assert outcome["runtime"] == f"runtime-{3 - first}"


async def test_a_call_that_must_not_run_twice_is_unknown_when_its_runtime_is_killed(
    both: LocalGrid, tmp_path: Path
) -> None:
    async with both.session() as session:
        call = asyncio.create_task(session.call("held_once", directory=str(tmp_path), name="x"))
        both.kill_runtime(await begun(both, tmp_path, "x"))
        result = await call

    assert result.error is not None
    assert (result.error.type, result.error.message, result.error.ran) == (
        "RUNTIME_CRASH",
        "The runtime that ran 'held_once' was lost",
        "unknown",
    )
    outcome = outcome_of(both, result.call_id)
    assert (outcome["code"], outcome["ran"], outcome["attempts"]) == ("RUNTIME_CRASH", "unknown", 1)


async def test_a_tool_that_ends_its_process_takes_nothing_else_down(both: LocalGrid) -> None:
    async with both.session() as session:
        result = await session.call("die")
        assert result.error is not None
        assert (result.error.type, result.error.ran) == ("RUNTIME_CRASH", "unknown")
        assert (await session.call("add", a=1)).unwrap() == 2


# ------------------------------------------------------------------------------------------------ credits and queues


async def test_a_runtime_never_runs_more_than_it_said_and_calls_spread_over_both(
    both: LocalGrid, tmp_path: Path
) -> None:
    def started() -> list[str]:
        return [file.name for file in tmp_path.glob("c.*")]

    async with both.session() as session:
        calls = [
            asyncio.create_task(session.call("at_once", directory=str(tmp_path), name="c"))
            for _ in range(2 * CONCURRENCY)
        ]
        await asyncio.to_thread(until, lambda: len(started()) == 2 * CONCURRENCY, what="all slots are taken")
        waiting = [
            asyncio.create_task(session.call("at_once", directory=str(tmp_path), name="c")) for _ in range(QUEUE + 1)
        ]
        done, queued = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (tmp_path / "go").touch()
        results = await asyncio.gather(*calls, *queued)

    assert len(done) == 1
    error = done.pop().result().error
    assert error is not None
    assert (error.type, error.ran, error.retry_after_ms) == ("RESOURCE_EXHAUSTED", "no", 500)
    assert error.message == f"{QUEUE} calls are waiting for a runtime already"
    pids = {both.runtimes[1].pid, both.runtimes[2].pid}
    assert {result.unwrap() for result in results} == pids
    most = {pid: max(int(name.split(".")[2]) for name in started() if f".{pid}." in name) for pid in pids}
    assert most == dict.fromkeys(pids, CONCURRENCY)


async def test_calls_go_to_the_runtime_that_is_least_busy(both: LocalGrid, tmp_path: Path) -> None:
    async with both.session() as session:
        calls = [
            asyncio.create_task(session.call("at_once", directory=str(tmp_path), name=f"s{number}"))
            for number in range(4)
        ]
        await asyncio.to_thread(until, lambda: len(list(tmp_path.glob("s*"))) == 4, what="all four began")
        (tmp_path / "go").touch()
        ran_in = [(await call).unwrap() for call in calls]

    assert sorted(ran_in.count(process.pid) for process in both.runtimes.values()) == [2, 2]


# ---------------------------------------------------------------------------------------------------- coming and going


async def test_a_runtime_that_is_told_to_leave_finishes_its_calls_and_gets_no_new_ones(
    both: LocalGrid, tmp_path: Path
) -> None:
    async with both.session() as session:
        call = asyncio.create_task(session.call("held_once", directory=str(tmp_path), name="x"))
        number = await begun(both, tmp_path, "x")
        leaving = both.runtimes.pop(number)
        leaving.send(signal.SIGTERM)
        for _ in range(5):
            assert (await session.call("add", a=1)).unwrap() == 2
        assert leaving.alive
        (tmp_path / "go").touch()
        assert (await call).unwrap() == "x"
        assert await asyncio.to_thread(leaving.wait) == 0


async def test_a_runtime_that_is_told_to_leave_while_calls_are_on_their_way_loses_none(both: LocalGrid) -> None:
    leaving = both.runtimes.pop(1)
    async with both.session() as session:

        async def call_until_it_left() -> set[object]:
            results = [await session.call("echo", value=1)]
            while leaving.alive:
                results.append(await session.call("echo", value=1))
            return {result.content if result.error is None else result.error.type for result in results}

        callers = [asyncio.create_task(call_until_it_left()) for _ in range(CONCURRENCY)]
        await session.call("echo", value=1)
        leaving.send(signal.SIGTERM)

        assert [{1}] * CONCURRENCY == await asyncio.gather(*callers)
    assert await asyncio.to_thread(leaving.wait) == 0


async def test_a_second_runtime_of_the_same_name_takes_the_place_of_the_first(both: LocalGrid) -> None:
    older = both.runtimes[1]

    await asyncio.to_thread(both.start_runtime, 1)

    assert await asyncio.to_thread(older.wait) == 5
    assert "Another process has attached as 'runtime-1'" in older.log
    async with both.session() as session:
        results = await asyncio.gather(*(session.call("add", a=n) for n in range(10)))
        assert [result.unwrap() for result in results] == [n + 1 for n in range(10)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            (
                "import altar\n@altar.tool(read_only=True)\n"
                "def add(a: int, b: int = 2) -> int:\n    'Add.'\n    return a\n"
            ),
            "The runtime's 'add' at 1.0.0 is not the contract of the host",
        ),
        (
            "import altar\n@altar.tool\ndef brand_new() -> int:\n    'New.'\n    return 1\n",
            "The host's manifest has no 'brand_new' at 1.0.0",
        ),
    ],
)
def test_a_runtime_with_another_contract_is_refused_by_name_and_ends(
    grid: LocalGrid, source: str, words: str, tmp_path: Path
) -> None:
    module = tmp_path / "other_tools.py"
    module.write_text(source)

    process = grid.start_runtime(9, modules=[str(module)], wait=False)
    grid.runtimes.pop(9)

    with pytest.raises(RuntimeError, match="before it was ready"):
        process.ready()
    assert process.wait() == 2
    assert words in process.log
    assert "Traceback" not in process.log


# -------------------------------------------------------------------------------------------------------- the host


async def test_when_the_host_is_lost_calls_in_flight_are_unknown_and_the_next_call_just_works(
    both: LocalGrid, tmp_path: Path
) -> None:
    async with both.session() as session:
        call = asyncio.create_task(session.call("held_once", directory=str(tmp_path), name="x"))
        await begun(both, tmp_path, "x")
        attached = {number: len(process.announced) for number, process in both.runtimes.items()}
        await asyncio.to_thread(both.restart_host, signal.SIGKILL)
        lost = await call
        (tmp_path / "go").touch()
        for number, process in both.runtimes.items():
            await asyncio.to_thread(process.ready, attached[number] + 1)
        assert (await session.call("add", a=1)).unwrap() == 2

    assert lost.error is not None
    assert (lost.error.type, lost.error.ran) == ("CONNECTION_FAILED", "unknown")
    outcome = outcome_of(both, lost.call_id)
    assert (outcome["code"], outcome["ran"]) == ("OUTCOME_UNKNOWN", "unknown")


async def test_a_host_that_is_told_to_stop_lets_calls_in_flight_finish(both: LocalGrid, tmp_path: Path) -> None:
    assert both.host is not None
    async with both.session() as session:
        call = asyncio.create_task(session.call("held_once", directory=str(tmp_path), name="x"))
        await begun(both, tmp_path, "x")
        stopping = asyncio.create_task(asyncio.to_thread(both.restart_host, signal.SIGTERM))
        (tmp_path / "go").touch()
        result = await call
        await stopping

    assert result.unwrap() == "x"
    assert outcome_of(both, result.call_id)["status"] == "SUCCESS"


def test_without_a_host_a_session_says_what_does_not_answer(grid: LocalGrid) -> None:
    session = Session(Options(source="grid://127.0.0.1:9", source_options=grid.options))

    with pytest.raises(altar.TransportError, match=r"nothing listens at '127\.0\.0\.1:9'") as raised, session:
        pass

    assert (raised.value.code, raised.value.ran) == ("CONNECTION_FAILED", "no")
