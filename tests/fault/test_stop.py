"""Processes stand still and go on; the wall clock jumps: calls go on, and each has one outcome."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from altar.adm.errors import AltarError
from altar.testing import LocalGrid, until
from altar.verify import verify
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


def grid_in(directory: Path, *, runtimes: int = 1, heartbeat: float = 10) -> LocalGrid:
    (directory / "ran").touch()
    return LocalGrid(
        [TOOLS],
        runtimes=runtimes,
        directory=directory,
        settings={"host.heartbeat": heartbeat},
        environ={"FAULT_RAN": str(directory / "ran")},
    )


async def test_calls_during_two_seconds_in_which_the_host_stands_still_succeed(tmp_path: Path) -> None:
    with grid_in(tmp_path) as grid:
        assert grid.host is not None
        async with grid.session() as session:
            before = await start(session, "held_once", tmp_path, "a")

            grid.host.send(signal.SIGSTOP)
            during = asyncio.create_task(session.call("once", key="during", attempt=1))
            (tmp_path / "a.go").touch()
            await asyncio.wait([before, during], timeout=2)
            answered = before.done() or during.done()
            grid.host.send(signal.SIGCONT)

            assert not answered
            assert "a" == (await before).unwrap()
            assert "during" == told_key(await during)
        assert [] == unanswered(grid)


async def test_a_host_that_stood_still_longer_than_heartbeats_gets_its_runtimes_back(tmp_path: Path) -> None:
    with grid_in(tmp_path, heartbeat=0.2) as grid:
        assert grid.host is not None
        async with grid.session() as session:
            call = await start(session, "held_once", tmp_path, "a")
            runtime = grid.runtimes[1]

            grid.host.send(signal.SIGSTOP)
            await when(lambda: "silent" in runtime.log, what="the runtime's word that the host is silent")
            grid.host.send(signal.SIGCONT)
            (tmp_path / "a.go").touch()
            ended = await asyncio.wait_for(call, 10)
            later = await session.options(timeout=20).call("once", key="later", attempt=1)

            assert told(ended) in {("RUNTIME_CRASH", "unknown"), ("CONNECTION_FAILED", "unknown")}
            assert "later" == told_key(later)
        assert [] == unanswered(grid)


async def test_a_runtime_that_stood_still_longer_than_heartbeats_can_settle_nothing_afterwards(
    tmp_path: Path,
) -> None:
    with grid_in(tmp_path, heartbeat=0.2) as grid:
        async with grid.session() as session:
            once = await start(session, "held_once", tmp_path, "a")
            again = await start(session, "held", tmp_path, "b")
            stopped = grid.runtimes[1]

            stopped.send(signal.SIGSTOP)
            ended = await asyncio.wait_for(once, 10)
            await asyncio.to_thread(grid.start_runtime, 2)
            await when(lambda: len(list(tmp_path.glob("b.[0-9]*"))) == 2, what="the second attempt")
            (tmp_path / "a.go").touch()
            (tmp_path / "b.go").touch()
            stopped.send(signal.SIGCONT)
            await when(lambda: len(stopped.announced) == 2, what="the runtime's second connection")

            assert ("RUNTIME_CRASH", "unknown") == told(ended)
            assert "b" == (await asyncio.wait_for(again, 10)).unwrap()
        assert [] == unanswered(grid)
        assert ["RUNTIME_CRASH", ""] == [entry["code"] for entry in grid.entries() if entry["kind"] == "outcome"]


async def test_nothing_depends_on_the_wall_clock(tmp_path: Path) -> None:
    day = 86_400_000
    jumps = itertools.cycle([0, 4000 * day, -4000 * day, 1, -1, 30_000])
    with grid_in(tmp_path, runtimes=0) as grid:
        grid.stop()
        async with _host_with_clock(grid, lambda: 1_790_000_000_000 + next(jumps)):
            await asyncio.to_thread(grid.start_runtime, 1)
            async with grid.session(timeout=10) as session:
                results = [await session.call("once", key=f"k{number}", attempt=1) for number in range(20)]
            await asyncio.to_thread(grid.stop)

        assert [(None, None)] * 20 == [told(result) for result in results]
        assert [] == unanswered(grid)
        assert () == verify(grid.export(), vkey=grid.vkey).findings


@asynccontextmanager
async def _host_with_clock(grid: LocalGrid, wall_ms: Callable[[], int]) -> AsyncIterator[None]:
    """The grid's host, in this process, on the same port and ledger, with another wall clock."""
    from altar.grid.trust.tls import require_tls13, server_credentials

    require_tls13()
    from altar.grid.host.host import Host
    from altar.grid.host.service import serve
    from altar.grid.manifests.manifest import Manifest
    from altar.ledger import FileSigner, Ledger

    failures: list[AltarError] = []
    loop = asyncio.get_running_loop()

    def deliver(answers: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answers)

    ledger = Ledger.open(
        grid.directory / "data/ledger.db",
        signer=FileSigner.open(grid.directory / "keys/ledger.pem", name="altar.local/host-1"),
        origin="altar.local/host-1",
        host="host-1",
        software="altar",
        wall_ms=wall_ms,
        on_failure=failures.append,
        deliver=deliver,
    )
    host = Host(name="host-1", manifest=Manifest.load(grid.manifest), ledger=ledger)
    credentials = server_credentials(grid.certificate("host", "host-1"))
    try:
        async with serve(host, listen=f"127.0.0.1:{grid.port}", credentials=credentials, trust_domain="altar.local"):
            yield
    finally:
        await asyncio.to_thread(ledger.close)
    assert [] == failures


@pytest.mark.parametrize("victim", ["host", "runtime", "workers", "client"])
def test_the_whole_load_goes_on_after_who_stood_still_longer_than_heartbeats(busy: Busy, victim: str) -> None:
    grid, acked, caller = busy
    choices: dict[str, Callable[[], list[int]]] = {
        "host": lambda: [grid.host.pid if grid.host else 0],
        "runtime": lambda: [grid.runtimes[1].pid],
        "workers": lambda: [each.pid for each in psutil.Process(grid.runtimes[2].pid).children()],
        "client": lambda: [caller.process.pid],
    }
    processes = choices[victim]()
    before = successes(acked)
    until(lambda: successes(acked) >= before + 5, what="calls before the fault")

    for process in processes:
        os.kill(process, signal.SIGSTOP)
    threading.Event().wait(1.5)  # longer than seven heartbeats
    for process in processes:
        os.kill(process, signal.SIGCONT)
    during = successes(acked)

    until(lambda: successes(acked) >= during + 20, what="calls after the fault")
    assert caller.process.poll() is None


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """A grid under the whole load; in the end it is judged."""
    place = tmp_path_factory.mktemp("busy")
    with judged(place, runtimes=1, settings={"host.heartbeat": 0.2}) as (grid, acked):
        grid.start_runtime(2, settings={"runtime.workers": 2})
        with calling(grid, acked, flight=16, kinds=EVERY_KIND, timeout=5) as caller:
            yield grid, acked, caller


Busy = tuple[LocalGrid, Path, Caller]
