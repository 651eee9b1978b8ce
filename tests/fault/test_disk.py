"""The disk of the ledger is full: the host refuses or withholds, leaves, and has lost nothing it acknowledged."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.testing import LocalGrid, until
from tests.fault.scene import EVERY_KIND, LOCAL_DISPATCH, TOOLS, calling, exported, judged, successes
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


@pytest.mark.parametrize("file", ["ledger.db.results", "ledger.db.sessions"])
def test_a_host_whose_disk_beside_the_log_is_full_leaves_and_has_lost_nothing(tmp_path: Path, file: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "small").mkdir()
    with small_disk(tmp_path / "small") as enlarge:
        if enlarge is None:
            pytest.skip("mounting is not permitted")
        (tmp_path / "data" / file).symlink_to(tmp_path / "small" / file)
        fill = _open_sessions if file.endswith("sessions") else _is_full_by_itself
        verdict, _ = overfill(tmp_path, full=fill, enlarge=enlarge, kinds=EVERY_KIND)

    assert () == verdict.problems  # the log itself has room, so that the codes told are those of a host that leaves


def test_a_client_whose_journal_has_no_room_runs_nothing_itself_and_is_served_on(tmp_path: Path) -> None:
    with judged(tmp_path, runtimes=1) as (grid, acked):
        journal = tmp_path / "journal"
        journal.mkdir()
        with small_disk(journal, size="128k") as enlarge:
            if enlarge is None:
                pytest.skip("mounting is not permitted")
            with calling(grid, acked, flight=8, kinds=("local", "once"), journal=journal):
                (journal / "filled").write_bytes(bytes(100 * 1024))
                until(lambda: b'"LOG_UNAVAILABLE"' in acked.read_bytes(), what="a call that finds no room")
                before = successes(acked)
                until(lambda: successes(acked) >= before + 20, what="calls that need no journal")
                enlarge()
                (journal / "filled").unlink()
                until(lambda: _last_is_local(acked), what="a call that runs here again")
            left = [file.name for file in journal.glob("*.jsonl*")]
    assert [] == left


def _last_is_local(acked: Path) -> bool:
    last = acked.read_text().splitlines()[-20:]
    return any('"tool": "local"' in line and '"SUCCESS"' in line for line in last)


def _open_sessions(grid: LocalGrid) -> None:
    """Fill the disk with variables of a session, until the host says no."""
    with suppress(AltarError):
        for _ in range(10):
            with grid.session(timeout=10) as session:
                for number in range(20):
                    session.variables.declare(f"filler_{number}", str, value="x" * 16_000)


def overfill(
    directory: Path,
    *,
    full: Callable[[LocalGrid], None],
    enlarge: Callable[[], None] | None = None,
    kinds: Sequence[str] = ("once", "again"),
) -> tuple[Verdict, set[str]]:
    """Let a client call until the host gives up, start it again with room, and judge; also the codes that were told."""
    ran, acked = directory / "ran", directory / "acked"
    ran.touch()
    acked.touch()
    settings = {**LOCAL_DISPATCH, "host.permit_close": 5}
    with LocalGrid(
        [TOOLS], runtimes=1, directory=directory, settings=settings, environ={"FAULT_RAN": str(ran)}
    ) as grid:
        with calling(grid, acked, flight=8, kinds=kinds):
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
def small_disk(place: Path, *, size: str = "1m") -> Iterator[Callable[[], None] | None]:
    """A file system of this size at ``place`` and what enlarges it; None where mounting is not permitted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
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
