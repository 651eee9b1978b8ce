"""Host and runtimes are killed at random moments; what was acknowledged stands, and nothing ran twice that must not.

``ALTAR_FAULT_KILLS`` says how many kills (50), ``ALTAR_FAULT_SEED`` repeats the choices of an earlier run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from altar.testing import LocalGrid, until
from tests.fault.verdict import judge

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

TOOLS = str(Path(__file__).with_name("witness_tools.py"))
IN_FLIGHT = 24


def test_kills_at_random_moments_lose_nothing_acknowledged_and_run_nothing_twice(tmp_path: Path) -> None:
    kills = int(os.environ.get("ALTAR_FAULT_KILLS", "50"))
    seed = int(os.environ.get("ALTAR_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    ran, acked = tmp_path / "ran", tmp_path / "acked"
    ran.touch(), acked.touch()
    print(f"ALTAR_FAULT_SEED={seed}")

    with LocalGrid([TOOLS], directory=tmp_path, environ={"FAULT_RAN": str(ran)}) as grid:
        with calling(grid, acked) as client:
            killed = kill_at_random(grid, client, acked, random.Random(seed), kills)
        assert 0 == client.returncode
        vkey = grid.vkey
    export = exported(grid, tmp_path / "log.jsonl")
    verdict = judge(ran=ran, acked=acked, export=export, vkey=vkey)

    print(f"{dict(killed)} {dict(verdict.counts)}")
    assert () == verdict.problems
    assert verdict.counts["successes"] > kills
    assert [] == left_behind(tmp_path)


@contextmanager
def calling(grid: LocalGrid, acked: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A client process that keeps calling; at the end it is told to leave and waited for."""
    given = {
        "source": grid.source,
        "options": {name: str(path) for name, path in grid.options.items()},
        "acked": str(acked),
        "flight": IN_FLIGHT,
        "timeout": 10,
    }
    client = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("client.py")), json.dumps(given)],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield client
        client.communicate(timeout=60)
    finally:
        if client.poll() is None:
            client.kill()
        client.communicate()


def kill_at_random(
    grid: LocalGrid, client: subprocess.Popen[bytes], acked: Path, chance: random.Random, kills: int
) -> Counter[str]:
    """Kill and start again, each time some moments after calls were seen to succeed; count what was killed."""
    killed: Counter[str] = Counter()
    moment = threading.Event()
    for _ in range(kills):
        seen = successes(acked)
        until(
            lambda least=seen + 3: client.poll() is not None or successes(acked) >= least,  # type: ignore[misc]  # mypy cannot type a default
            what="a call that succeeds",
        )
        assert client.poll() is None, "the client ended by itself"
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


def successes(acked: Path) -> int:
    """How many successes the client has written down."""
    return acked.read_bytes().count(b'"SUCCESS"')


def exported(grid: LocalGrid, out: Path) -> Path:
    """The audit export, made by the command that an operator would use."""
    grid.altar("audit", "export", "-o", str(out), "--data", str(grid.directory / "data"), "--vkey", grid.vkey)
    return out


def left_behind(directory: Path) -> list[str]:
    """Processes that still work in a directory, whoever their parent is now."""
    found = []
    for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
        if process.info["cwd"] == str(directory):
            found.append(f"{process.info['pid']} {process.info['cmdline']}")
    return found + [str(child) for child in psutil.Process().children(recursive=True)]
