"""`altar runtime` as a command: what it says when it is used wrongly, and how a second signal and a rival end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from altar import ToolResult
from altar.testing import LocalGrid, until
from tests.e2e.command import COMMAND, altar

TOOLS = '''
import time
from pathlib import Path
import altar

@altar.tool
def held(directory: str) -> None:
    """Say that it began, and never end."""
    (Path(directory) / "began").touch()
    while True:
        time.sleep(0.01)
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    directory = tmp_path_factory.mktemp("grid")
    module = directory / "held_tools.py"
    module.write_text(TOOLS)
    with LocalGrid([str(module)], runtimes=0, directory=directory) as made:
        yield made
        made.stop(signal.SIGKILL)


@pytest.fixture
def environ(grid: LocalGrid) -> Mapping[str, str]:
    files = grid.certificate("runtime", "py")
    return {
        "ALTAR_RUNTIME_CONNECT": f"127.0.0.1:{grid.port}",
        "ALTAR_RUNTIME_RUNTIME_ID": "py",
        "ALTAR_RUNTIME_TOOLS": str(grid.directory / "held_tools.py"),
        "ALTAR_RUNTIME_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_RUNTIME_TLS_KEY": str(files.key),
        "ALTAR_RUNTIME_TLS_AUTHORITY": str(files.authority),
    }


@contextmanager
def running(*options: str, at: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`altar runtime` once it has said that it is ready."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    command = [str(COMMAND), "runtime", *options, "--tied"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=at, env=inherited | dict(environ), stdin=pipe, stdout=pipe, stderr=pipe) as made:
        assert made.stdout is not None
        assert made.stdout.readline(), made.stderr.read() if made.stderr is not None else ""
        try:
            yield made
        finally:
            made.kill()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--workers", "0"), "0 is not in the range 1<=x<=64"),
        (("--workers", "65"), "65 is not in the range 1<=x<=64"),
        (("--ready-file", "."), "is a directory"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(tmp_path: Path, given: tuple[str, ...], words: str) -> None:
    done = altar("runtime", *given, at=tmp_path)

    assert 2 == done.code
    assert words in done.err


def test_workers_from_the_settings_are_counted_in_the_same_way(tmp_path: Path) -> None:
    done = altar("runtime", at=tmp_path, environ={"ALTAR_RUNTIME_WORKERS": "65"})

    assert 2 == done.code
    assert "Setting 'runtime.workers' is '65'" in done.err


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--reload",)], ids=["alone", "workers", "reload"])
def test_a_runtime_without_a_certificate_says_so_once(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "empty_tools.py").write_text("")

    done = altar("runtime", "--tools", "empty_tools.py", *options, at=tmp_path)

    assert (2, "") == (done.code, done.out)
    assert 1 == done.err.count("error: The runtime has no certificate (CERTIFICATE_ERROR)")
    assert 1 == done.err.count("hint: ")


def test_a_second_signal_ends_a_runtime_at_once_and_what_ran_is_recorded_as_lost(
    grid: LocalGrid, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    ready = tmp_path / "ready"
    with (
        running("--ready-file", str(ready), at=tmp_path, environ=environ) as process,
        grid.session(timeout=30) as session,
    ):
        results: list[ToolResult] = []
        calling = threading.Thread(target=lambda: results.append(session.call("held", directory=str(tmp_path))))
        calling.start()
        until((tmp_path / "began").exists, what="the call began")

        process.send_signal(signal.SIGTERM)
        until(lambda: not ready.exists(), what="it leaves")
        process.send_signal(signal.SIGTERM)

        assert -signal.SIGKILL == process.wait(30)
        calling.join(30)
    (result,) = results
    assert result.error is not None
    assert ("RUNTIME_CRASH", "unknown") == (result.error.type, result.error.ran)


def test_a_runtime_whose_place_is_taken_ends_with_an_exit_code_of_its_own(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    with running(at=tmp_path, environ=environ) as older, running(at=tmp_path, environ=environ) as newer:
        assert 5 == older.wait(30)
        assert older.stderr is not None
        said = older.stderr.read().decode()
        assert newer.poll() is None

    assert "Another process has attached as 'py' (RUNTIME_CRASH)" in said
    assert "hint: give each runtime process an id and a certificate of its own" in said


def test_altar_up_does_not_start_a_runtime_again_whose_place_was_taken(tmp_path: Path) -> None:
    (tmp_path / "held_tools.py").write_text(TOOLS)
    said = tmp_path / "said"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    command = [str(COMMAND), "up", "held_tools.py", "--runtimes", "1", "--listen", "127.0.0.1:0", "--tied"]
    pipe = subprocess.PIPE

    with (
        said.open("wb") as errors,
        subprocess.Popen(command, cwd=tmp_path, env=inherited, stdin=pipe, stdout=pipe, stderr=errors) as up,
    ):
        assert up.stdout is not None
        facts = json.loads(up.stdout.readline())
        with running("--connect", f"127.0.0.1:{facts['port']}", at=tmp_path, environ={}) as newer:
            until(
                lambda: "another process has attached as py-1, which is not started again" in said.read_text(),
                what="the warning",
            )
            assert newer.poll() is None
        up.send_signal(signal.SIGTERM)
        assert 0 == up.wait(40)
