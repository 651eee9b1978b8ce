"""The disk of the ledger is full: the host refuses or withholds, leaves, and has lost nothing it acknowledged."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from altar.testing import LocalGrid, until
from tests.fault.scene import TOOLS, calling, exported, successes
from tests.fault.verdict import Verdict, judge

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_host_whose_ledger_may_not_grow_refuses_leaves_and_has_lost_nothing(tmp_path: Path) -> None:
    verdict, codes = overfill(tmp_path, full=limit_the_ledger)

    assert () == verdict.problems
    assert {"LOG_UNAVAILABLE", "OUTCOME_UNKNOWN"} & codes


def test_a_host_whose_disk_is_full_refuses_leaves_and_has_lost_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data") as enlarge:
        full = limit_the_ledger if enlarge is None else _is_full_by_itself
        verdict, codes = overfill(tmp_path, full=full, enlarge=enlarge)

    assert () == verdict.problems
    assert {"LOG_UNAVAILABLE", "OUTCOME_UNKNOWN"} & codes


def overfill(
    directory: Path, *, full: Callable[[LocalGrid], None], enlarge: Callable[[], None] | None = None
) -> tuple[Verdict, set[str]]:
    """Let a client call until the host gives up, start it again with room, and judge; also the codes that were told."""
    ran, acked = directory / "ran", directory / "acked"
    ran.touch()
    acked.touch()
    with LocalGrid([TOOLS], runtimes=1, directory=directory, environ={"FAULT_RAN": str(ran)}) as grid:
        with calling(grid, acked, flight=8):
            until(lambda: successes(acked) >= 10, what="ten calls that succeed")
            full(grid)
            host = grid.host
            assert host is not None
            code = host.wait()
            assert 0 < code, "a host that cannot record ends with an error"
            if enlarge is not None:
                enlarge()
            before = successes(acked)
            grid.restart_host()
            until(lambda: successes(acked) >= before + 10, what="calls that succeed with room on the disk")
        assert "LOG_UNAVAILABLE" in host.log
        vkey = grid.vkey
    export = exported(grid, directory / "log.jsonl")
    verdict = judge(ran=ran, acked=acked, export=export, vkey=vkey)
    told = acked.read_text()
    return verdict, {code for code in ("LOG_UNAVAILABLE", "OUTCOME_UNKNOWN") if f'"code": "{code}"' in told}


def limit_the_ledger(grid: LocalGrid) -> None:
    """No file of the host may grow beyond what the ledger has now and a little more."""
    assert grid.host is not None
    size = max(file.stat().st_size for file in (grid.directory / "data").iterdir()) + 16 * 1024
    resource.prlimit(grid.host.pid, resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[], None] | None]:
    """A file system of 1 MiB at ``place`` and what enlarges it; None where mounting is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield lambda: _run(["mount", "-o", "remount,size=64m", str(place)])
    finally:
        _run(["umount", str(place)])


def _is_full_by_itself(_grid: LocalGrid) -> None:
    """A small disk needs no help."""


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
