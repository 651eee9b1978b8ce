"""Isolated calls when the system is short of something, or a deadline is strange: answered, and nothing is leaked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from altar.later.isolation.processes import Processes
from altar.testing import until
from tests.unit.later.isolation import isolated_tools as tools
from tests.unit.later.isolation.test_isolation import (
    ROOT,
    asked,
    began,
    children,
    error_of,
    outcome_of,
    read_when_written,
    shared,
)

__all__ = ["began", "children", "shared"]  # fixtures


@pytest.mark.parametrize("within", [10.0**10, 8.6e13])
def test_a_call_may_have_centuries(shared: Processes, within: float) -> None:
    outcome = outcome_of(shared, tools.doubled, within=within, number=2)

    assert (b"4", None) == (outcome.content, outcome.error)


def test_whatever_goes_wrong_the_call_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Processes(1)
    monkeypatch.setattr(sys, "path", [*sys.path, b"no text"])

    error = error_of(pool, tools.process)
    pool.close()

    assert (error.code, error.ran) == ("INTERNAL", "unknown")


def test_a_free_process_is_offered_to_all_who_wait(children: Processes, began: Path) -> None:
    """The first of them has just run out of time, and must not be the only one to hear of it."""
    held, late, patient = (asked(tool) for tool in (tools.spin, tools.process, tools.process))
    held.arguments = orjson.dumps({"began": str(began)})
    with ThreadPoolExecutor() as threads:
        threads.submit(children.run, tools.spin, held)
        read_when_written(began)
        waits = []
        for number, invocation in enumerate((late, patient), start=1):
            waits.append(threads.submit(children.run, tools.process, invocation))
            until(lambda number=number: len(children._changed._waiters) == number, what="waiting")  # type: ignore[misc,attr-defined]  # of threading
        late.deadline = time.monotonic()
        child = children._runs[held].child
        assert child is not None
        child.kill()

        outcomes = [wait.result() for wait in waits]

    assert outcomes[0].error is not None
    assert outcomes[0].error.code == "TIMEOUT"
    assert outcomes[1].error is None


def test_a_process_that_cannot_be_started_leaves_no_open_files() -> None:
    """Whichever of its files was one too many."""
    program = """
import os, resource
from altar.later.invocation import Invocation
from altar.later.isolation.processes import processes
from tests.unit.later.isolation import isolated_tools as tools

call = Invocation("process", b"{}", "c1")
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
spare = os.dup(2)
os.close(spare)
for more in range(8):
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + more, most))
    error = processes().run(tools.process, call).error
    assert error is not None and error.code == "RESOURCE_EXHAUSTED", (more, error)
    lowest = os.dup(2) if more else spare
    assert lowest == spare, (more, lowest)
    if more:
        os.close(lowest)
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    else:
        raise AssertionError(more)
"""
    assert (0, "") == ran(program)


def test_a_fork_of_a_fork_closes_no_files_of_its_own() -> None:
    program = """
import os, sys
from altar.later.invocation import Invocation
from altar.later.isolation.processes import processes
from tests.unit.later.isolation import isolated_tools as tools

processes().run(tools.process, Invocation("process", b"{}", "c1"))
if not (forked := os.fork()):
    mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]  # in the places of what was dropped
    if not (again := os.fork()):
        for each in mine:
            os.fstat(each)
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]))
assert os.waitpid(forked, 0)[1] == 0
"""
    assert (0, "") == ran(program)


def ran(program: str) -> tuple[int, str]:
    """The exit code of a program, and what it wrote to stderr."""
    environment = {**os.environ, "PYTHONPATH": f"src{os.pathsep}."}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return run.returncode, run.stderr
