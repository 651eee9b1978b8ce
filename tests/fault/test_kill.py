"""Everybody is killed at random moments; what was acknowledged stands, and nothing ran twice that must not.

The load is all there is: plain calls, streams, nested calls, idempotency keys, governed local calls.
``ALTAR_FAULT_KILLS`` says how many kills (28), ``ALTAR_FAULT_SEED`` repeats the choices of an earlier run.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from altar.testing import LocalGrid, until
from altar.testing.local_grid import GridProcess
from tests.fault.scene import EVERY_KIND, Caller, calling, judged, successes

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

IN_FLIGHT = 24
WORKERS = 2
"""The number of the runtime that is a supervisor with two workers."""


def test_kills_at_random_moments_lose_nothing_acknowledged_and_run_nothing_twice(tmp_path: Path) -> None:
    kills = int(os.environ.get("ALTAR_FAULT_KILLS", "28"))
    seed = int(os.environ.get("ALTAR_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ALTAR_FAULT_SEED={seed}")

    with judged(tmp_path, runtimes=1) as (grid, acked):
        start_workers(grid)
        with calling(grid, acked, flight=IN_FLIGHT, kinds=EVERY_KIND) as caller:
            killed = kill_at_random(grid, caller, acked, random.Random(seed), kills)
        assert 0 == caller.process.returncode
        journals = list((tmp_path / "journal").glob("*.jsonl"))
    print(dict(killed))
    assert [] == journals, "the host has recorded what ran in the client"
    assert successes(acked) > kills


def kill_at_random(grid: LocalGrid, caller: Caller, acked: Path, chance: random.Random, kills: int) -> Counter[str]:
    """Kill and start again, each time some moments after calls were seen to succeed; count what was killed."""
    victims: dict[str, Callable[[LocalGrid, Caller], None]] = {
        "host": lambda grid, _: _restart_host(grid),
        "runtime": lambda grid, _: _restart_runtime(grid),
        "both": lambda grid, _: _restart_both(grid),
        "client": lambda _, caller: caller.start_again(),
        "supervisor": lambda grid, _: _restart_supervisor(grid),
        "worker": lambda grid, _: _kill_a_worker(grid, chance),
        "a second of the same name": lambda grid, _: _duplicate(grid),
    }
    killed: Counter[str] = Counter()
    moment = threading.Event()
    for number in range(kills):
        see_calls_succeed(grid, caller, acked)
        moment.wait(chance.uniform(0, 0.3))
        victim = list(victims)[number] if number < len(victims) else chance.choice(list(victims))
        killed[victim] += 1
        victims[victim](grid, caller)
    see_calls_succeed(grid, caller, acked)
    return killed


def see_calls_succeed(grid: LocalGrid, caller: Caller, acked: Path) -> None:
    """Wait for three more successes; says how everybody is when they do not come."""
    least = successes(acked) + 3
    try:
        until(lambda: caller.process.poll() is not None or successes(acked) >= least, what="a call that succeeds")
    except TimeoutError as late:
        processes = {"host": grid.host} | {f"runtime-{number}": runtime for number, runtime in grid.runtimes.items()}
        for name, process in processes.items():
            if process is not None:
                late.add_note(f"{name} {process.pid}, alive: {process.alive}\n{process.log[-3000:]}")
        late.add_note("".join(acked.read_text().splitlines(keepends=True)[-5:]))
        raise
    assert caller.process.poll() is None, "the client ended by itself"


def start_workers(grid: LocalGrid) -> GridProcess:
    """The runtime that is a supervisor with two workers."""
    return grid.start_runtime(WORKERS, settings={"runtime.workers": 2}, wait=False)


def _restart_host(grid: LocalGrid) -> None:
    assert grid.host is not None
    grid.host.send(signal.SIGKILL)
    grid.restart_host(signal.SIGKILL)


def _restart_runtime(grid: LocalGrid) -> None:
    grid.kill_runtime(1)
    grid.start_runtime(1, wait=False)


def _restart_both(grid: LocalGrid) -> None:
    assert grid.host is not None
    grid.host.send(signal.SIGKILL)
    grid.kill_runtime(1)
    grid.restart_host(signal.SIGKILL)
    grid.start_runtime(1, wait=False)


def _restart_supervisor(grid: LocalGrid) -> None:
    """Its workers leave by themselves: they are tied to it."""
    workers = _workers(grid)
    grid.kill_runtime(WORKERS)
    until(lambda: not any(worker.is_running() for worker in workers), what="the end of the workers")
    start_workers(grid)


def _kill_a_worker(grid: LocalGrid, chance: random.Random) -> None:
    workers = _workers(grid)
    if workers:  # else they are being started again
        chance.choice(workers).kill()


def _workers(grid: LocalGrid) -> list[psutil.Process]:
    supervisor = grid.runtimes[WORKERS]
    return psutil.Process(supervisor.pid).children() if supervisor.alive else []


def _duplicate(grid: LocalGrid) -> None:
    """A second process with the same certificate and name: the first one is fenced, and leaves."""
    first = grid.runtimes[1]
    first.ready()
    second = grid.start_runtime(1)
    try:
        until(lambda: not first.alive, what="the end of the runtime that was replaced")
    except TimeoutError as late:
        for process in (first, second):
            late.add_note(f"{process.pid}, alive: {process.alive}\n{process.log[-3000:]}")
        raise
    first.wait()
