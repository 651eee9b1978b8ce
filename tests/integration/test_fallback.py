"""Tools that run where they are called because no host can be reached, and only because of that."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import altar
from altar.grid.client.fallback import Fallback
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.fault.proxy import Proxy
from tests.integration import governed_tools
from tests.integration.auditing import stop_and_audit
from tests.integration.test_governed_local import Client, entries_of, events, recorded

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([governed_tools.__file__], runtimes=1, settings={"host.local_dispatch": "client-1"}) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture
def mended(grid: LocalGrid) -> LocalGrid:
    grid.mend()
    return grid


def opened(grid: LocalGrid, place: Path, *, source: str = "", fallback: tuple[str, ...] = ("add_line",)) -> Session:
    given = {"fallback": fallback, "journal": place / "journal"}
    return Session(Options(source=source or grid.source, source_options={**grid.options, **given}))


def lose_host(grid: LocalGrid) -> None:
    assert grid.host is not None
    grid.host.end(signal.SIGKILL)


async def test_with_a_host_in_reach_the_call_runs_on_the_grid(mended: LocalGrid, tmp_path: Path) -> None:
    async with opened(mended, tmp_path) as session:
        result = await session.call("add_line", path=str(tmp_path / "ran"), line="x")

    assert result.unwrap() != os.getpid()
    assert result.metadata is None
    assert not (tmp_path / "journal").exists()


async def test_without_a_host_it_runs_here_is_marked_and_is_recorded_when_the_host_is_back(
    mended: LocalGrid, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    async with opened(mended, tmp_path) as session:
        await asyncio.to_thread(lose_host, mended)
        result = await session.call("add_line", path=str(ran), line="x")
        other = await session.call("pid_here")
        assert len(list((tmp_path / "journal").iterdir())) == 1
        await asyncio.to_thread(mended.mend)
        intent, outcome = await asyncio.to_thread(entries_of, mended, {"call": result.call_id})

    assert (result.unwrap(), result.metadata) == (os.getpid(), {"fallback": True})
    assert ran.read_text() == "x\n"
    assert other.error is not None
    assert (other.error.type, other.error.ran) == ("CONNECTION_FAILED", "no")
    assert (intent["where"], intent["principal"], intent["tool"]) == ("fallback", "client-1", "add_line")
    assert (outcome["intent"], outcome["status"]) == (mended.entries().index(intent), "SUCCESS")
    assert outcome["reported"].endswith(":1")
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_client_that_starts_without_a_host_and_is_killed_is_recorded_later(mended: LocalGrid, tmp_path: Path) -> None:
    lose_host(mended)
    client = Client(mended, tmp_path / "client", mode="remote", fallback=("add_line",))
    with client:
        answer = client.ask("add_line", path=str(tmp_path / "ran"), line="x")
        client.kill()
    mended.mend()
    assert recorded(mended, call=answer["call"]) == []

    with Client(mended, tmp_path / "client", mode="remote", fallback=("add_line",)) as again:
        intent, outcome = entries_of(mended, answer)
        until(lambda: not list(again.journal.iterdir()), what="the journal is deleted")

    assert (answer["content"], answer["metadata"]) == (client.pid, {"fallback": True})
    assert (intent["where"], outcome["status"]) == ("fallback", "SUCCESS")


async def test_a_session_that_began_without_a_host_goes_on_with_it(mended: LocalGrid, tmp_path: Path) -> None:
    await asyncio.to_thread(lose_host, mended)
    async with opened(mended, tmp_path) as session:
        assert session.tools == ["add_line"]
        alone = await session.call("add_line", path=str(tmp_path / "ran"), line="x")
        await asyncio.to_thread(mended.mend)
        await asyncio.to_thread(until, lambda: "pid_here" in session.tools, what="the contracts of the host")
        later = await session.call("add_line", path=str(tmp_path / "ran"), line="y")

    assert alone.unwrap() == os.getpid()
    assert (later.unwrap() != os.getpid(), later.metadata) == (True, None)


def test_what_follows_variables_of_the_session_does_not_run_without_the_host_that_keeps_them() -> None:
    assert ["add_line"] == Fallback(["add_line", "follow_warmth"], REGISTRY).names


async def test_the_arguments_are_checked_here_too(mended: LocalGrid, tmp_path: Path) -> None:
    await asyncio.to_thread(lose_host, mended)
    async with opened(mended, tmp_path) as session:
        error = (await session.call("add_line", path=5)).error

    assert error is not None
    assert (error.type, error.ran) == ("INVALID_TOOL_ARGS", "no")
    assert not (tmp_path / "journal").exists()


async def test_a_tool_that_was_not_named_or_whose_contract_says_no_waits_for_its_host(
    mended: LocalGrid, tmp_path: Path
) -> None:
    async with opened(mended, tmp_path, fallback=("pid_here",)) as session:
        await asyncio.to_thread(lose_host, mended)
        results = [await session.options(timeout=1).call("pid_here"), await session.options(timeout=1).call("add_line")]

    assert [result.error and result.error.ran for result in results] == ["no", "no"]


async def test_a_denial_is_never_followed_by_a_run_here(mended: LocalGrid, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    async with opened(mended, tmp_path) as session:
        denied = await session.call("add_line", path=str(ran), line=5)

    assert denied.error is not None
    assert denied.error.type == "INVALID_TOOL_ARGS"
    assert not ran.exists()


async def test_a_client_whom_the_host_does_not_trust_runs_nothing_here(mended: LocalGrid, tmp_path: Path) -> None:
    files = mended.certificate("runtime", "runtime-9")
    options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    given = {**options, "fallback": ("add_line",), "journal": tmp_path / "journal"}

    with pytest.raises(altar.AltarError) as refused:
        async with Session(Options(source=mended.source, source_options=given)):
            pass

    assert refused.value.code == "PERMISSION_DENIED"


async def test_a_call_that_was_sent_when_the_connection_broke_does_not_run_again_here(
    mended: LocalGrid, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with Proxy(mended.port) as proxy:
        async with opened(mended, tmp_path, source=f"grid://{proxy.address}") as session:
            await session.call("pid_here")
            proxy.stall()
            call = asyncio.create_task(session.options(timeout=5).call("add_line", path=str(ran), line="x"))
            await asyncio.to_thread(until, lambda: _is_sent(session), what="the call is sent")
            proxy.target = 1
            proxy.cut()
            proxy.resume()
            result = await call

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("CONNECTION_FAILED", "unknown")
    assert not ran.exists()
    assert not (tmp_path / "journal").exists()


async def test_what_the_host_did_not_allow_is_kept_and_seen(mended: LocalGrid, tmp_path: Path) -> None:
    files = mended.certificate("client", "client-9")
    options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    given = {**options, "fallback": ("add_line",), "journal": tmp_path / "journal"}
    await asyncio.to_thread(lose_host, mended)
    async with Session(Options(source=mended.source, source_options=given)) as session:
        result = await session.call("add_line", path=str(tmp_path / "ran"), line="x")
        await asyncio.to_thread(mended.mend)
        await asyncio.to_thread(until, lambda: _rejected(mended, result.call_id), what="the report is refused")

    assert recorded(mended, call=result.call_id) == []
    (kept,) = (tmp_path / "journal").iterdir()
    assert kept.suffix == ".disputed"
    assert "client-9 at " in _rejected(mended, result.call_id)[0]["note"]


def _rejected(grid: LocalGrid, call: str) -> list[dict[str, str]]:
    return [event for event in events(grid, "report.rejected") if event["subject"] == call]


def _is_sent(session: Session) -> bool:
    source = session.asker.live.source
    in_flight = getattr(source, "_in_flight", {})
    return any(invocation.attempts for invocation in in_flight.values())
