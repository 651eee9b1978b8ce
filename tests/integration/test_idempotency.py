"""Calls under idempotency keys, with real processes: what runs once, what is told again, what is recorded."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.adm.call import ToolResult
from altar.later.options import Options
from altar.later.session import Session
from altar.testing import LocalGrid, until
from tests.fault.proxy import Proxy
from tests.integration import idempotency_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([idempotency_tools.__file__], runtimes=2) as running:
        yield running
        stop_and_audit(running)


def runs(place: Path) -> int:
    file = place / "runs"
    return len(file.read_text().splitlines()) if file.exists() else 0


def of_key(grid: LocalGrid, key: str) -> list[dict[str, Any]]:
    """The intents under a key."""
    return [entry for entry in grid.entries() if entry["kind"] == "intent" and entry["call"] == key]


def replays(grid: LocalGrid, invocation: str) -> int:
    entries = [entry for entry in grid.entries() if entry["kind"] == "event" and entry["event"] == "call.replayed"]
    return sum(entry["subject"] == invocation for entry in entries)


def error_of(result: ToolResult) -> tuple[str | None, str | None]:
    assert result.error is not None
    return result.error.type, result.error.ran


async def begun(place: Path) -> None:
    await asyncio.to_thread(until, lambda: runs(place), what="run")


async def restart(grid: LocalGrid, number: signal.Signals) -> None:
    attached = {each: len(process.announced) for each, process in grid.runtimes.items()}
    await asyncio.to_thread(grid.restart_host, number)
    for each, process in grid.runtimes.items():
        await asyncio.to_thread(process.ready, attached[each] + 1)


async def test_the_same_key_twice_runs_once_and_is_answered_twice(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-1")
        first = await once.call("pay", place=str(tmp_path), amount=5)
        second = await once.call("pay", place=str(tmp_path), amount=5)

    assert 1 == runs(tmp_path)
    assert {"amount": 5, "runs": 1} == first.unwrap() == second.unwrap()
    assert (None, {"replayed": True}) == (first.metadata, second.metadata)
    (intent,) = of_key(grid, "order-1")
    assert "once" == intent["key"]
    assert 1 == replays(grid, intent["invocation"])


def test_the_same_key_twice_from_two_sessions_without_a_loop(grid: LocalGrid, tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        with grid.session() as s:
            results.append(s.options(idempotency_key="order-sync").call("pay", place=str(tmp_path), amount=7))

    assert 1 == runs(tmp_path)
    assert [{"amount": 7, "runs": 1}] * 2 == [result.unwrap() for result in results]


async def test_another_call_under_the_key_is_a_conflict(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-2")
        await once.call("pay", place=str(tmp_path), amount=5)
        other_arguments = await once.call("pay", place=str(tmp_path), amount=6)
        other_tool = await once.call("pay_and_fail", place=str(tmp_path))

    assert ("IDEMPOTENCY_CONFLICT", "no") == error_of(other_arguments) == error_of(other_tool)
    assert 1 == runs(tmp_path)


async def test_a_key_belongs_to_a_principal(grid: LocalGrid, tmp_path: Path) -> None:
    files = grid.certificate("client", "client-2")
    other = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    async with grid.session() as s, grid.session(options=other) as t:
        for session in (s, t):
            result = await session.options(idempotency_key="order-3").call("pay", place=str(tmp_path), amount=5)
            assert result.metadata is None

    assert 2 == runs(tmp_path)


async def test_many_clients_with_one_key_share_one_run(grid: LocalGrid, tmp_path: Path) -> None:
    async def ask() -> ToolResult:
        async with grid.session() as s:
            return await s.options(idempotency_key="order-4").call("pay_when_told", place=str(tmp_path))

    asking = [asyncio.create_task(ask()) for _ in range(50)]
    await begun(tmp_path)
    (tmp_path / "go").touch()
    results = await asyncio.gather(*asking)

    assert 1 == runs(tmp_path)
    assert [1] * 50 == [result.unwrap() for result in results]
    (intent,) = of_key(grid, "order-4")
    assert 49 == replays(grid, intent["invocation"])


async def test_a_failure_of_the_tool_is_told_again_and_not_tried_again(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-5")
        first = await once.call("pay_and_fail", place=str(tmp_path))
        second = await once.call("pay_and_fail", place=str(tmp_path))

    assert ("TOOL_EXECUTION_FAILED", "yes") == error_of(first)
    assert first.error == second.error
    assert 1 == runs(tmp_path)


async def test_what_did_not_run_frees_the_key(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-6")
        refused = await once.call("pay", place=str(tmp_path), amount="much")
        taken = await once.call("pay", place=str(tmp_path), amount=5)

    assert ("INVALID_TOOL_ARGS", "no") == error_of(refused)
    assert {"amount": 5, "runs": 1} == taken.unwrap()


async def test_a_result_that_is_too_large_to_be_kept_is_not_made_again(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-7")
        first = await once.call("pay_at_length", place=str(tmp_path), size=100_000)
        second = await once.call("pay_at_length", place=str(tmp_path), size=100_000)

    assert 100_000 == len(first.unwrap())
    assert ("MESSAGE_TOO_LARGE", "yes") == error_of(second)
    assert 1 == runs(tmp_path)


async def test_a_stream_cannot_have_a_key(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        stream = s.options(idempotency_key="order-8").stream("pay_by_and_by", place=str(tmp_path))
        with pytest.raises(Exception, match="cannot have an idempotency key") as refused:
            await stream.take()

    assert "FEATURE_UNAVAILABLE" == getattr(refused.value, "code", "")
    assert 0 == runs(tmp_path)


async def test_who_is_cancelled_leaves_alone_and_the_last_one_ends_the_run(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s, grid.session() as t:
        first = asyncio.create_task(s.options(idempotency_key="order-9").call("pay_when_told", place=str(tmp_path)))
        await begun(tmp_path)
        second = asyncio.create_task(t.options(idempotency_key="order-9").call("pay_when_told", place=str(tmp_path)))
        await t.call("look", n=1)  # the second call has reached the host, on the same stream
        first.cancel()
        await asyncio.wait([first])
        await s.call("look", n=1)
        assert [] == outcomes_of(grid, "order-9")
        (tmp_path / "go").touch()
        assert 1 == (await second).unwrap()

    assert 1 == runs(tmp_path)


async def test_when_all_have_left_the_run_is_cancelled(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s, grid.session() as t:
        both = []
        for session in (s, t):
            call = session.options(idempotency_key="order-10").call("pay_when_told", place=str(tmp_path))
            both.append(asyncio.create_task(call))
            await begun(tmp_path)
            await session.call("look", n=1)
        for asking in both:
            asking.cancel()
        await asyncio.wait(both)
        await asyncio.to_thread(until, lambda: outcomes_of(grid, "order-10"), what="outcome")

    (outcome,) = outcomes_of(grid, "order-10")
    assert "CANCELLED" == outcome["code"]


async def test_a_killed_host_leaves_the_call_unknown_and_never_runs_it_again(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        once = s.options(idempotency_key="order-11")
        asking = asyncio.create_task(once.call("pay_when_told", place=str(tmp_path)))
        await begun(tmp_path)

        await restart(grid, signal.SIGKILL)

        by_itself = await asking  # sent again under its key on the next connection
        again = await once.call("pay_when_told", place=str(tmp_path))

    assert ("OUTCOME_UNKNOWN", "unknown") == error_of(by_itself) == error_of(again)
    assert 1 == runs(tmp_path)
    assert 1 == len(of_key(grid, "order-11"))


async def test_a_call_whose_connection_was_cut_is_sent_again_by_itself(grid: LocalGrid, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Proxy(grid.port) as proxy:
        options = Options(source=f"grid://{proxy.address}", source_options=grid.options)
        async with Session(options) as s:
            plain = asyncio.create_task(s.call("look_long", place=str(elsewhere)))
            keyed = s.options(idempotency_key="order-17").call("pay_when_told", place=str(tmp_path))
            asking = asyncio.create_task(keyed)
            await begun(tmp_path)
            await begun(elsewhere)
            await asyncio.to_thread(proxy.cut)
            assert ("CONNECTION_FAILED", "unknown") == error_of(await plain)
            (tmp_path / "go").touch()
            result = await asking

    assert (1, {"replayed": True}) == (result.unwrap(), result.metadata)
    assert 1 == runs(tmp_path)
    assert 1 == len(of_key(grid, "order-17"))


async def test_a_tool_may_give_the_calls_it_makes_a_key(grid: LocalGrid, tmp_path: Path) -> None:
    async with grid.session() as s:
        results = [(await s.call("pay_around", place=str(tmp_path), key="order-18")).unwrap() for _ in range(2)]

    assert 1 == runs(tmp_path)
    assert [
        {"content": {"amount": 5, "runs": 1}, "metadata": None},
        {"content": {"amount": 5, "runs": 1}, "metadata": {"replayed": True}},
    ] == results
    (inner,) = of_key(grid, "order-18")
    outer = [entry for entry in grid.entries() if entry.get("tool") == "pay_around"]
    assert outer[0]["invocation"] == inner["parent"]


async def test_a_killed_client_may_come_back_for_its_result(grid: LocalGrid, tmp_path: Path) -> None:
    environ = os.environ | {f"ALTAR_TLS_{name.upper()}": str(path) for name, path in grid.options.items()}
    command = ["call", "pay_when_told", f"place={tmp_path}", "--source", grid.source, "--idempotency-key", "order-16"]
    main = "import sys; from altar.cli.main import main; sys.exit(main())"
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", main, *command, env=environ)
    await begun(tmp_path)
    client.kill()
    await client.wait()

    async with grid.session() as s:
        back = asyncio.create_task(s.options(idempotency_key="order-16").call("pay_when_told", place=str(tmp_path)))
        await s.call("look", n=1)
        (tmp_path / "go").touch()
        result = await back

    assert (1, {"replayed": True}) == (result.unwrap(), result.metadata)
    assert ["SUCCESS"] == [entry["status"] for entry in outcomes_of(grid, "order-16")]
    assert 1 == runs(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_after_a_restart_what_had_ended_is_still_answered(
    number: signal.Signals, grid: LocalGrid, tmp_path: Path
) -> None:
    async with grid.session() as s:
        paid = s.options(idempotency_key=f"order-12-{number}")
        failed = s.options(idempotency_key=f"order-13-{number}")
        large = s.options(idempotency_key=f"order-14-{number}")
        before = [
            await paid.call("pay", place=str(tmp_path), amount=5),
            await failed.call("pay_and_fail", place=str(tmp_path)),
        ]
        await large.call("pay_at_length", place=str(tmp_path), size=100_000)

        await restart(grid, number)

        after = [
            await paid.call("pay", place=str(tmp_path), amount=5),
            await failed.call("pay_and_fail", place=str(tmp_path)),
        ]
        conflict = await paid.call("pay", place=str(tmp_path), amount=6)
        too_large = await large.call("pay_at_length", place=str(tmp_path), size=100_000)

    assert [result.content for result in before] == [result.content for result in after]
    assert [result.error for result in before] == [result.error for result in after]
    assert [{"replayed": True}] * 2 == [result.metadata for result in after]
    assert ("IDEMPOTENCY_CONFLICT", "no") == error_of(conflict)
    assert ("MESSAGE_TOO_LARGE", "yes") == error_of(too_large)
    assert 3 == runs(tmp_path)


async def test_a_read_that_was_cut_short_leaves_nothing_in_the_log(grid: LocalGrid, tmp_path: Path) -> None:
    before = intents_of(grid, "look_long")
    async with grid.session() as s:
        asking = asyncio.create_task(s.call("look_long", place=str(tmp_path)))
        await begun(tmp_path)
        await restart(grid, signal.SIGKILL)
        lost = await asking
        assert 1 == (await s.call("look", n=1)).unwrap()

    assert ("CONNECTION_FAILED", "unknown") == error_of(lost)
    assert before == intents_of(grid, "look_long")
    assert intents_of(grid, "look")


async def test_a_read_that_is_cancelled_or_fails_is_recorded(grid: LocalGrid, tmp_path: Path) -> None:
    before = len(ended(grid, "look_long"))
    async with grid.session() as s:
        failed = await s.call("look_and_fail", n=1)
        asking = asyncio.create_task(s.call("look_long", place=str(tmp_path)))
        await begun(tmp_path)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.to_thread(until, lambda: ended(grid, "look_long")[before:], what="outcome")

    assert ("TOOL_EXECUTION_FAILED", "yes") == error_of(failed)
    assert ["TOOL_EXECUTION_FAILED"] == ended(grid, "look_and_fail")
    assert ["CANCELLED"] == ended(grid, "look_long")[before:]


def test_the_command_takes_a_key(grid: LocalGrid, tmp_path: Path) -> None:
    environ = {f"ALTAR_TLS_{name.upper()}": str(path) for name, path in grid.options.items()}
    command = ("call", "pay", f"place={tmp_path}", "amount=5", "--source", grid.source, "--json")
    first, second = (
        json.loads(grid.altar(*command, "--idempotency-key", "order-15", environ=environ)) for _ in range(2)
    )

    assert 1 == runs(tmp_path)
    assert {"amount": 5, "runs": 1} == first["content"] == second["content"]
    assert {"replayed": True} == second["metadata"]


def intents_of(grid: LocalGrid, tool: str) -> set[str]:
    """The invocations of a tool that have an intent in the log."""
    return {entry["invocation"] for entry in grid.entries() if entry["kind"] == "intent" and entry["tool"] == tool}


def ended(grid: LocalGrid, tool: str) -> list[str]:
    """The codes of the calls of a tool, in the order of the log."""
    entries = grid.entries()
    calls = intents_of(grid, tool)
    return [entry["code"] for entry in entries if entry["kind"] == "outcome" and entry["invocation"] in calls]


def outcomes_of(grid: LocalGrid, key: str) -> list[dict[str, Any]]:
    intents = {entry["invocation"] for entry in of_key(grid, key)}
    return [entry for entry in grid.entries() if entry["kind"] == "outcome" and entry["invocation"] in intents]
