"""Host and runtimes are killed at random moments; what was acknowledged stands, and nothing ran twice that must not.

``ALTAR_FAULT_KILLS`` says how many kills (50), ``ALTAR_FAULT_SEED`` repeats the choices of an earlier run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from altar.testing import LocalGrid, until
from tests.fault.scene import TOOLS, calling, exported, left_behind, successes
from tests.fault.verdict import judge

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

IN_FLIGHT = 24


def test_kills_at_random_moments_lose_nothing_acknowledged_and_run_nothing_twice(tmp_path: Path) -> None:
    kills = int(os.environ.get("ALTAR_FAULT_KILLS", "50"))
    seed = int(os.environ.get("ALTAR_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    ran, acked = tmp_path / "ran", tmp_path / "acked"
    ran.touch()
    acked.touch()
    print(f"ALTAR_FAULT_SEED={seed}")

    with LocalGrid([TOOLS], directory=tmp_path, environ={"FAULT_RAN": str(ran)}) as grid:
        with calling(grid, acked, flight=IN_FLIGHT) as client:
            killed = kill_at_random(grid, client, acked, random.Random(seed), kills)
        assert 0 == client.returncode
        vkey = grid.vkey
    export = exported(grid, tmp_path / "log.jsonl")
    verdict = judge(ran=ran, acked=acked, export=export, vkey=vkey)

    print(f"{dict(killed)} {dict(verdict.counts)}")
    assert () == verdict.problems
    assert verdict.counts["successes"] > kills
    assert [] == left_behind(tmp_path)


def kill_at_random(
    grid: LocalGrid, client: subprocess.Popen[bytes], acked: Path, chance: random.Random, kills: int
) -> Counter[str]:
    """Kill and start again, each time some moments after calls were seen to succeed; count what was killed."""
    killed: Counter[str] = Counter()
    moment = threading.Event()
    for _ in range(kills):
        see_calls_succeed(grid, client, acked)
        moment.wait(chance.uniform(0, 0.3))
        victim = chance.choice(("host", "runtime", "host", "runtime", "both"))
        number = chance.choice((1, 2))
        killed[victim] += 1
        if victim != "runtime" and grid.host is not None:
            grid.host.send(signal.SIGKILL)
        if victim != "host":
            grid.kill_runtime(number)
        if victim != "runtime":
            grid.restart_host(signal.SIGKILL)
        if victim != "host":
            grid.start_runtime(number, wait=False)
    return killed


def see_calls_succeed(grid: LocalGrid, client: subprocess.Popen[bytes], acked: Path) -> None:
    """Wait for three more successes; says how everybody is when they do not come."""
    least = successes(acked) + 3
    try:
        until(lambda: client.poll() is not None or successes(acked) >= least, what="a call that succeeds")
    except TimeoutError as late:
        processes = {"host": grid.host} | {f"runtime-{number}": runtime for number, runtime in grid.runtimes.items()}
        for name, process in processes.items():
            if process is not None:
                late.add_note(f"{name} {process.pid}, alive: {process.alive}\n{process.log[-3000:]}")
        late.add_note("".join(acked.read_text().splitlines(keepends=True)[-5:]))
        raise
    assert client.poll() is None, "the client ended by itself"
