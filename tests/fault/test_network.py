"""The network between client, host and runtime is cut, falls silent, comes back, or is open on one side only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from altar.adm.call import ToolResult
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.fault.proxy import Proxy
from tests.fault.scene import (
    EVERY_KIND,
    TOOLS,
    Caller,
    calling,
    judged,
    start,
    successes,
    told,
    told_key,
    unanswered,
    when,
)

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(120)]

PATIENCE = 1.5
"""Seconds beyond a deadline within which a client has its answer, whatever the network does."""


@contextmanager
def behind_a_proxy(directory: Path, *, runtime: bool, runtimes: int = 1) -> Iterator[tuple[LocalGrid, Proxy]]:
    """A grid with a proxy before its host: for its first runtime, or else for clients."""
    (directory / "ran").touch()
    settings = {"host.heartbeat": 0.4}
    environ = {"FAULT_RAN": str(directory / "ran")}
    with (
        Proxy() as proxy,
        LocalGrid([TOOLS], runtimes=0, directory=directory, settings=settings, environ=environ) as grid,
    ):
        proxy.target = grid.port
        if runtime:
            grid.port = proxy.port
        grid.start_runtime(1)
        grid.port = proxy.target
        for number in range(2, runtimes + 1):
            grid.start_runtime(number)
        yield grid, proxy
        until(lambda: unanswered(grid) == [], what="an outcome for each intent")


def session_at(grid: LocalGrid, address: str) -> Session:
    return Session(Options(source=f"grid://{address}", source_options=grid.options))


async def test_a_client_that_is_cut_off_learns_that_its_call_is_unknown_and_goes_on(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, runtime=False) as (grid, proxy):
        async with session_at(grid, proxy.address) as session:
            call = await start(session, "held_once", tmp_path, "a")

            proxy.cut()
            result = await asyncio.wait_for(call, 5)
            (tmp_path / "a.go").touch()
            later = await session.call("once", key="later", attempt=1)

            assert ("CONNECTION_FAILED", "unknown") == told(result)
            assert "later" == later.unwrap()["key"]


async def test_a_client_in_a_silent_network_has_its_answer_in_time_and_goes_on_after_it(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, runtime=False) as (grid, proxy):
        async with session_at(grid, proxy.address) as session:
            call = await start(session, "held_once", tmp_path, "a", seconds=1)

            proxy.stall()
            result = await asyncio.wait_for(call, 1 + PATIENCE)
            proxy.resume()
            (tmp_path / "a.go").touch()
            later = await session.call("once", key="later", attempt=1)

            assert ("TIMEOUT", "unknown") == told(result)
            assert "later" == later.unwrap()["key"]


async def test_a_call_that_was_only_held_up_by_the_network_succeeds(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, runtime=False) as (grid, proxy):
        async with session_at(grid, proxy.address) as session:
            call = await start(session, "held_once", tmp_path, "a")

            proxy.stall()
            (tmp_path / "a.go").touch()
            await when(lambda: unanswered(grid) == [], what="the outcome, which the client cannot hear")
            assert not call.done()
            proxy.resume()

            assert "a" == (await call).unwrap()


async def test_a_client_on_a_half_open_connection_has_its_answers_in_time_and_finds_back(tmp_path: Path) -> None:
    with behind_a_proxy(tmp_path, runtime=False) as (grid, proxy):
        async with session_at(grid, proxy.address) as session:
            call = await start(session, "held_once", tmp_path, "a", seconds=1)

            proxy.lose_the_far_side()
            result = await asyncio.wait_for(call, 1 + PATIENCE)
            (tmp_path / "a.go").touch()
            later = [await _within(session, f"later-{number}") for number in range(12)]

            assert ("TIMEOUT", "unknown") == told(result)
            assert {("TIMEOUT", "unknown"), ("CONNECTION_FAILED", "unknown"), (None, None)} >= set(map(told, later))
            assert (None, None) == told(later[-1])


async def _within(session: Session, key: str) -> ToolResult:
    return await asyncio.wait_for(session.options(timeout=0.3).call("once", key=key, attempt=1), 0.3 + PATIENCE)


@pytest.mark.parametrize("fault", ["cut", "stall", "lose_the_far_side"])
async def test_a_runtime_that_is_cut_off_is_lost_and_attaches_again(tmp_path: Path, fault: str) -> None:
    with behind_a_proxy(tmp_path, runtime=True) as (grid, proxy):
        async with session_at(grid, f"127.0.0.1:{grid.port}") as session:
            once = await start(session, "held_once", tmp_path, "a")

            getattr(proxy, fault)()
            result = await asyncio.wait_for(once, 5)
            (tmp_path / "a.go").touch()
            proxy.resume()
            later = await session.options(timeout=15).call("once", key="later", attempt=1)

            assert ("RUNTIME_CRASH", "unknown") == told(result)
            assert "later" == told_key(later)


@pytest.mark.parametrize("fault", ["cut", "stall", "lose_the_far_side"])
async def test_an_idempotent_call_on_a_runtime_that_is_cut_off_goes_to_another(tmp_path: Path, fault: str) -> None:
    with behind_a_proxy(tmp_path, runtime=True) as (grid, proxy):
        async with session_at(grid, f"127.0.0.1:{grid.port}") as session:
            call = await start(session, "held", tmp_path, "a")
            await asyncio.to_thread(grid.start_runtime, 2)

            getattr(proxy, fault)()
            await when(lambda: len(list(tmp_path.glob("a.[0-9]*"))) == 2, what="the second attempt")
            (tmp_path / "a.go").touch()

            assert "a" == (await asyncio.wait_for(call, 10)).unwrap()
            (outcome,) = [entry for entry in grid.entries() if entry["kind"] == "outcome"]
            assert (2, "SUCCESS") == (outcome["attempts"], outcome["status"])


# --------------------------------------------------------------------------------------------- the whole load, judged


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalGrid, Path, Proxy, Caller]]:
    """A grid under the whole load, whose client and first runtime are behind one proxy; in the end it is judged."""
    place = tmp_path_factory.mktemp("busy")
    with Proxy() as proxy, judged(place, runtimes=0, settings={"host.heartbeat": 0.4}) as (grid, acked):
        proxy.target = grid.port
        grid.start_runtime(2)
        grid.port = proxy.port
        grid.start_runtime(1)
        grid.port = proxy.target
        with calling(grid, acked, flight=16, kinds=EVERY_KIND, address=proxy.address, timeout=3) as caller:
            yield grid, acked, proxy, caller
            proxy.resume()


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "cut": Proxy.cut,
    "silence": Proxy.stall,
    "half-open": Proxy.lose_the_far_side,
    "nothing reaches the host": lambda proxy: proxy.lose_one_direction(towards="target"),
    "nothing comes from the host": lambda proxy: proxy.lose_one_direction(towards="dialler"),
    "a delay of 150 ms each way": lambda proxy: proxy.slow(delay=0.15),
    "16 KiB in a second": lambda proxy: proxy.slow(bytes_per_second=16 * 1024),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_whole_load_goes_on_after(busy: tuple[LocalGrid, Path, Proxy, Caller], fault: str) -> None:
    grid, acked, proxy, caller = busy
    before = successes(acked)
    until(lambda: successes(acked) >= before + 5, what="calls before the fault")

    FAULTS[fault](proxy)
    threading.Event().wait(1.5)  # longer than three heartbeats
    proxy.resume()
    during = successes(acked)
    until(lambda: successes(acked) >= during + 20, what="calls after the fault")

    assert grid.host is not None
    assert psutil.pid_exists(grid.host.pid)
    assert caller.process.poll() is None
