"""A program that started a grid is killed: host, runtimes and what stands between them are gone soon after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from altar.testing import until
from tests.fault.scene import TOOLS, left_behind

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(120)]

PARENT = """
import signal, sys
from pathlib import Path
from altar.testing import LocalGrid
with LocalGrid([sys.argv[1]], runtimes=2, directory=Path(sys.argv[2])) as grid:
    print("ready", flush=True)
    signal.pause()
"""


def test_a_program_that_is_killed_leaves_no_host_and_no_runtime(tmp_path: Path) -> None:
    parent = started([sys.executable, "-c", PARENT, TOOLS, str(tmp_path)], tmp_path)

    family = descendants(parent, least=3)
    parent.send_signal(signal.SIGKILL)

    assert_gone(parent, family)
    assert [] == left_behind(tmp_path)


def test_altar_up_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    parent = started(up(), tmp_path)

    family = descendants(parent, least=3)
    parent.send_signal(signal.SIGKILL)

    assert_gone(parent, family)
    assert [] == left_behind(tmp_path)


def test_the_grandchildren_of_a_program_that_is_killed_are_gone_too(tmp_path: Path) -> None:
    middle = f"import subprocess\nsubprocess.Popen({[*up(), '--tied']!r}, stdin=subprocess.PIPE).wait()"
    parent = started([sys.executable, "-c", middle], tmp_path)

    family = descendants(parent, least=4)
    parent.send_signal(signal.SIGKILL)

    assert_gone(parent, family)
    assert [] == left_behind(tmp_path)


def up() -> list[str]:
    """`altar up` on a free port, with the tools of these tests."""
    return [sys.executable, "-P", "-m", "altar", "up", TOOLS, "--listen", "127.0.0.1:0"]


def started(command: Sequence[str], directory: Path) -> subprocess.Popen[bytes]:
    """A process that has said it is ready; its standard input is a pipe of ours, which stays open."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.wait(30)
    return process


def descendants(parent: subprocess.Popen[bytes], *, least: int) -> list[psutil.Process]:
    """Children and their children, all of them alive."""
    family: list[psutil.Process] = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= least, json.dumps([process.cmdline() for process in family])
    return family


def assert_gone(parent: subprocess.Popen[bytes], family: Sequence[psutil.Process]) -> None:
    parent.wait(30)
    for pipe in (parent.stdin, parent.stdout):
        assert pipe is not None
        pipe.close()
    for process in family:
        until(_gone(process), what=f"the end of {process.pid}")


def _gone(process: psutil.Process) -> Callable[[], bool]:
    def gone() -> bool:
        # nobody may be there to collect a process whose parent was killed
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    return gone
