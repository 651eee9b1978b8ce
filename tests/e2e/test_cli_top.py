"""`altar top`: one reading of a running grid, what two readings say together, and what happens without a host."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.cli.top import view
from altar.grid.host.metrics import BOUNDS, STORE_BOUNDS
from altar.testing import LocalGrid
from tests.e2e.command import COMMAND, altar
from tests.integration import observe_tools

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([observe_tools.__file__], runtimes=1, settings={"host.operations": "127.0.0.1:0"}) as running:
        with running.session() as session:
            for _ in range(3):
                session.call("plus", a=1)
            session.call("plus", a="x")
        yield running


@pytest.fixture(scope="module")
def url(grid: LocalGrid) -> str:
    assert grid.host is not None
    return str(grid.host.announced[0]["operations"])


def test_one_reading_is_data_for_programs(url: str, tmp_path: Path) -> None:
    told = altar("top", "--at", url, "--json", at=tmp_path).json

    assert told["status"]["host"] == "host-1"
    (tool,) = told["tools"]
    assert (tool["tool"], pytest.approx(4 / told["seconds"])) == ("plus", tool["calls"])
    assert tool["errors"] == pytest.approx(1 / told["seconds"])
    assert 0 < tool["p50"] <= tool["p99"]
    assert told["commits"] > 0


def test_without_a_terminal_one_reading_is_printed_for_a_reader(url: str, tmp_path: Path) -> None:
    done = altar("top", "--at", url, at=tmp_path)

    lines = done.out.splitlines()
    assert lines[0].startswith("host-1  serving  altar ")
    assert "waiting 0 of 1,024" in done.out
    assert ["plus", "runtime-1"] == [line.split()[0] for line in lines if line.startswith(("plus", "runtime-1"))]
    assert (0, "") == (done.code, done.err)


def test_it_finds_the_host_of_this_directory_by_what_the_host_left_beside_its_ledger(
    grid: LocalGrid, url: str, tmp_path: Path
) -> None:
    data = grid.directory / "data"
    assert f"{url}\n" == (data / "operations.url").read_text()

    done = altar("top", "--once", at=tmp_path, environ={"ALTAR_HOST_DATA": str(data)})

    assert done.out.startswith("host-1  serving")


def test_on_a_terminal_it_shows_the_host_until_it_is_interrupted(url: str, tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "top", "--at", url, "--every", "0.1"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(terminal)
    shown = b""
    while shown.count(b"calls/s") < 3:
        shown += os.read(screen, 65536)
    process.send_signal(signal.SIGINT)
    while shown := _read(screen):
        pass
    assert process.stderr is not None
    words = process.stderr.read()
    process.stderr.close()
    os.close(screen)

    assert (130, b"Traceback" in words) == (process.wait(), False)


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # the other side of a terminal is closed
        return b""


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--at", "http://127.0.0.1:1"], 4, "CONNECTION_FAILED"),
        (["--at", "127.0.0.1:1"], 2, "INVALID_CONFIG"),
        ([], 2, "INVALID_CONFIG"),
    ],
)
def test_where_no_host_answers_it_says_so(tmp_path: Path, arguments: list[str], code: int, error: str) -> None:
    done = altar("top", "--json", *arguments, at=tmp_path)

    assert (code, error) == (done.code, done.json["error"]["type"])


# ----------------------------------------------------------------------------------------------------- two readings


def status(epoch: int = 1, *, up: float, calls: dict[str, int], buckets: dict[int, int]) -> dict[str, Any]:
    """A status with figures of one tool, whose calls ended so."""
    counts = [buckets.get(at, 0) for at in range(len(BOUNDS) + 1)]
    store = {"bounds": list(STORE_BOUNDS), "buckets": [0] * (len(STORE_BOUNDS) + 1), "seconds": 0.0}
    figures = {"codes": calls, "buckets": counts, "seconds": 0.0, "exemplars": {}}
    told = {"bounds": list(BOUNDS), "seconds_up": up, "tools": {"add": figures}, "store": store}
    return {"epoch": epoch, "commits": 10 * up, "entries": 20 * up, "calls": told}


def test_rates_and_latencies_are_those_between_two_readings() -> None:
    before = status(up=10.0, calls={"SUCCESS": 1_000}, buckets={16: 1_000})
    now = status(up=12.0, calls={"SUCCESS": 1_150, "TIMEOUT": 50}, buckets={16: 1_000, 4: 200})

    shown = view(now, before)

    (tool,) = shown.tools
    assert (100.0, 25.0, 10.0, 20.0) == (tool.calls, tool.errors, shown.commits, shown.entries)
    assert [0.0075, 0.00995] == pytest.approx([tool.p50, tool.p99])
    assert (tool.calls, tool.errors, tool.p99) == (shown.total.calls, shown.total.errors, shown.total.p99)


def test_a_host_that_has_started_again_begins_anew() -> None:
    before = status(up=100.0, calls={"SUCCESS": 1_000}, buckets={1: 1_000})
    now = status(epoch=2, up=2.0, calls={"SUCCESS": 4}, buckets={1: 4})

    assert view(now, before).total.calls == 2.0


def test_a_tool_that_nobody_called_in_between_has_no_latency() -> None:
    same = status(up=10.0, calls={"SUCCESS": 1}, buckets={1: 1})

    (tool,) = view(status(up=11.0, calls={"SUCCESS": 1}, buckets={1: 1}), same).tools

    assert (0.0, None, None) == (tool.calls, tool.p50, tool.p99)
    assert json.dumps(view(same, same).to_json())
