"""`altar demo`: the whole of it keeps its promises, and nothing is left behind, not even after a kill."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from altar.cli.demo import Bar
from tests.e2e.command import COMMAND, altar

MARK = "DEMO_OF_THIS_TEST"
"""A variable that every process of the demo inherits, by which those of this test are told from others."""

PROMISES = [
    "the connection is TLS 1.3",
    "the report of the grid is the report of the one process",
    "calls of the killed runtime were sent again",
    "all reports with a killed runtime are the same",
    "the audit log verifies",
    "the flipped byte is found and its entry is named",
]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo keeps its files."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    return directory


def environ(temporary: Path) -> dict[str, str]:
    return {"TMPDIR": str(temporary), MARK: str(temporary)}


def processes(temporary: Path) -> list[psutil.Process]:
    return [one for one in psutil.process_iter() if _mark_of(one) == str(temporary)]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except psutil.Error:
        return None
    return mark


@pytest.fixture
def started(temporary: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    process = subprocess.Popen(
        [COMMAND, "demo"],
        cwd=tmp_path,
        env=inherited | environ(temporary),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_promise_is_kept_and_nothing_is_left(temporary: Path, tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}

    run = subprocess.run(
        [COMMAND, "demo", "--json"],
        cwd=tmp_path,
        env=inherited | environ(temporary),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert run.returncode == 0, run.stderr
    account: dict[str, Any] = json.loads(run.stdout)
    assert [{"name": name, "ok": True} for name in PROMISES] == account["checks"]
    assert account["later"]["calls"] == account["grid"]["calls"] == 2 * account["summary"]["packages"] + 2
    assert account["crash"]["run"]["calls"] == account["crash"]["rounds"] * account["grid"]["calls"]
    assert account["crash"]["in_flight"] >= account["crash"]["sent_again"] > 0
    assert any(f"entry {account['flip']['entry']}" in said for said in account["flip"]["findings"])
    assert ["8/8 flip one bit of a copy"] == run.stderr.splitlines()[-1:]
    assert [] == processes(temporary)
    assert [] == list(temporary.iterdir())


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(180)
def test_no_process_is_left_when_the_demo_is_killed(temporary: Path, started: subprocess.Popen[str]) -> None:
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("6/8"):
            break
    running = processes(temporary)

    started.kill()
    _, alive = psutil.wait_procs(running, timeout=60)

    assert len(running) >= 5, "the demo, `altar up`, a host and two runtimes"
    assert [] == alive
    assert [] == processes(temporary)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_file_is_left_when_the_demo_is_interrupted(
    temporary: Path, started: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("4/8"):
            break
    children = [one for one in processes(temporary) if one.pid != started.pid]

    started.send_signal(number)
    ended = started.wait(60)
    _, alive = psutil.wait_procs(children, timeout=60)

    assert code == ended
    assert len(children) >= 4, "`altar up`, a host and two runtimes"
    assert [] == alive
    assert [] == list(temporary.iterdir())


def test_a_person_at_a_terminal_sees_a_bar_for_each_step() -> None:
    screen = io.StringIO()
    progress = Progress(
        TextColumn("{task.description}|{task.percentage:.0f}|{task.fields[calls]}"),
        console=Console(file=screen, width=100),
        auto_refresh=False,
    )
    bar = Bar(progress)

    bar.progress(1, 2)
    bar.step("one")
    bar.progress(3, 4)
    bar.step("two")
    bar.close()
    progress.refresh()

    assert [("one", "3/4 calls", True), ("two", "", True)] == [
        (task.description.strip(), task.fields["calls"], task.finished) for task in progress.tasks
    ]


def test_settings_of_someone_else_are_not_taken(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "altar.toml").write_text("timeout = 1\n")

    done = altar("demo", "--json", at=tmp_path, environ=environ(temporary))

    assert (2, "INVALID_CONFIG") == (done.code, done.json["error"]["type"])
    assert "TMPDIR" in done.json["error"]["hint"]
    assert [] == list(temporary.iterdir())
