"""Isolated tools in a runtime: the same calls, the same ends, and no process left when the runtime is gone."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.testing import LocalGrid

pytestmark = pytest.mark.timeout(180)

TOOLS = '''
import os
import re
from pathlib import Path

import altar


@altar.tool(isolate="process")
def process() -> list[int]:
    """The process that runs this, and its parent."""
    return [os.getpid(), os.getppid()]


@altar.tool(isolate="process")
def spin(began: str) -> bool:
    """Never end."""
    Path(began).write_text(str(os.getpid()))
    return re.match(r"(a+)+$", "a" * 60 + "b") is None


@altar.tool(isolate="process")
def crash() -> None:
    """End the process."""
    os._exit(5)
'''


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    file = tmp_path_factory.mktemp("tools") / "isolated_on_grid.py"
    file.write_text(TOOLS)
    with LocalGrid([str(file)], runtimes=1) as running:
        yield running


def test_an_isolated_tool_runs_in_a_child_of_its_runtime(grid: LocalGrid) -> None:
    with grid.session() as session:
        child, parent = session.call("process").unwrap()

    assert grid.runtimes[1].pid == parent
    assert child != parent


def test_a_late_call_is_killed_in_its_runtime_and_a_crash_costs_only_its_call(grid: LocalGrid, tmp_path: Path) -> None:
    with grid.session() as session:
        session.call("process").unwrap()
        late = session.options(timeout=1).call("spin", began=str(tmp_path / "late")).error
        crashed = session.call("crash").error
        again = session.call("process").unwrap()

    assert late is not None
    assert ("TIMEOUT", "yes") == (late.type, late.ran)
    assert crashed is not None
    assert ("RUNTIME_CRASH", "yes", "The process that ran 'crash' ended with exit code 5") == (
        crashed.type,
        crashed.ran,
        crashed.message,
    )
    assert grid.runtimes[1].pid == again[1]


def test_a_runtime_that_is_killed_takes_its_children_with_it(grid: LocalGrid) -> None:
    with grid.session() as session:
        child, _ = session.call("process").unwrap()
    watching = os.pidfd_open(child)

    grid.kill_runtime(1)

    waiting = select.poll()
    waiting.register(watching, select.POLLIN)
    assert waiting.poll(10_000)
    os.close(watching)
