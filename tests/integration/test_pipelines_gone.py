"""A pipeline on a grid of which a part goes away in the middle of a step: what is told, what is undone, what goes on.

The verdict comes from what the tools wrote down themselves.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import ExecutionError
from altar.ai.pipelines import PipelineResult
from altar.grid.client import client
from altar.later.context import Progress
from altar.testing import LocalGrid, until
from tests.integration import pipeline_gone_tools as scene

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def running_grid() -> Iterator[LocalGrid]:
    with LocalGrid([scene.__file__], runtimes=2) as running:
        yield running


@pytest.fixture
def grid(running_grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalGrid]:
    """The grid, whole again, whose clients give a host up soon; tools that wait go on at the end."""
    running_grid.mend()
    with monkeypatch.context() as patched:
        patched.setattr(client, "CONNECT_SECONDS", 0.5)
        yield running_grid
    (tmp_path / "go").touch()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def until_it_waits(folder: Path) -> int:
    """Wait until the second step runs; the process that it runs in."""

    def waiting() -> list[str]:
        return [line for line in scene.lines(folder) if line.startswith("waiting")]

    until(lambda: bool(waiting()), what="the step that waits")
    return int(waiting()[0].rpartition(" ")[2])


def told_by(folder: Path) -> list[str]:
    """What the tools wrote down, but for the number of a process."""
    return [line.partition(" in ")[0] for line in scene.lines(folder)]


def begun(
    pool: ThreadPoolExecutor, grid: LocalGrid, folder: Path, call: Callable[[Any], Any], listen: Any = None
) -> Future[Any]:
    """A call in another thread, which has come to the step that waits."""

    def carry_out() -> Any:
        with grid.session() as session:
            return call(session.options(on_progress=listen))

    return pool.submit(carry_out)


def statuses(result: PipelineResult) -> list[tuple[str, str]]:
    return [(step.path, step.status) for step in result.steps]


def test_a_host_that_is_gone_ends_the_run_which_tells_what_ran_and_what_is_not_undone(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    run = begun(pool, grid, tmp_path, lambda session: scene.GONE.run(session, folder=str(tmp_path)))
    until_it_waits(tmp_path)
    assert grid.host is not None
    grid.host.end(signal.SIGKILL)
    result = run.result(60)

    assert ["paid", "waiting"] == told_by(tmp_path)
    assert result.error is not None
    assert ("CONNECTION_FAILED", "unknown") == (result.error.type, result.error.ran)
    assert "Step 'gone_wait' of 'gone_whole'" in result.error.message
    assert "not undone, because the compensation failed: 'gone_pay'" in str(result.error.hint)
    assert [("gone_pay", "done"), ("gone_wait", "failed"), ("gone_pay (compensation)", "failed")] == statuses(result)


def test_a_host_that_comes_back_is_asked_to_undo_what_was_done(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 30.0)
    run = begun(pool, grid, tmp_path, lambda session: scene.GONE.run(session, folder=str(tmp_path)))
    until_it_waits(tmp_path)
    grid.restart_host(signal.SIGKILL)
    result = run.result(60)

    assert ["paid", "waiting", "refunded r1"] == told_by(tmp_path)
    assert ("gone_pay",) == result.compensated
    assert result.error is not None
    assert "unknown" == result.error.ran


def test_a_kept_run_whose_host_is_gone_undoes_nothing_and_goes_on_with_the_next_host(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    kept = tmp_path / "runs.db"
    inputs = {"folder": str(tmp_path)}
    run = begun(pool, grid, tmp_path, lambda session: scene.GONE.run(session, inputs, checkpoint=kept, run_id="r"))
    until_it_waits(tmp_path)
    assert grid.host is not None
    grid.host.end(signal.SIGKILL)
    result = run.result(60)
    assert result.error is not None
    assert "unknown" == result.error.ran
    assert "to resume the run 'r' goes on here; the step may have run, and is asked for then" in str(result.error.hint)
    grid.mend()

    with grid.session() as session:
        with pytest.raises(ExecutionError, match="Step 'gone_wait' of run 'r' had begun"):
            scene.GONE.resume(session, "r", checkpoint=kept)
        result = scene.GONE.resume(session, "r", checkpoint=kept, unknown={"gone_wait": "waited"})

    assert {"gone_last": "done"} == result.unwrap()
    assert ["paid", "waiting", "last"] == told_by(tmp_path)


def test_a_call_that_is_kept_is_not_sent_again_to_a_host_that_came_back_with_an_empty_log(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 30.0)
    kept = tmp_path / "runs.db"
    inputs = {"folder": str(tmp_path)}
    run = begun(pool, grid, tmp_path, lambda session: scene.GONE.run(session, inputs, checkpoint=kept, run_id="r"))
    until_it_waits(tmp_path)
    assert grid.host is not None
    assert isinstance(grid.log, Path)
    grid.host.end(signal.SIGKILL)
    for file in grid.log.parent.glob(f"{grid.log.name}*"):
        file.unlink()
    grid.mend()
    result = run.result(60)

    assert result.error is not None
    assert ("CONNECTION_FAILED", "unknown") == (result.error.type, result.error.ran)
    assert ["paid", "waiting"] == told_by(tmp_path)


def test_a_runtime_that_is_killed_ends_the_run_and_another_one_undoes_what_was_done(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    run = begun(pool, grid, tmp_path, lambda session: scene.GONE.run(session, folder=str(tmp_path)))
    kill(grid, until_it_waits(tmp_path))
    result = run.result(60)

    assert ["paid", "waiting", "refunded r1"] == told_by(tmp_path)
    assert result.error is not None
    assert ("RUNTIME_CRASH", "unknown") == (result.error.type, result.error.ran)
    assert [("gone_pay", "compensated"), ("gone_wait", "failed"), ("gone_pay (compensation)", "done")] == (
        statuses(result)
    )


def test_the_caller_of_a_pipeline_as_a_tool_has_heard_what_ran_when_its_runtime_is_killed(
    grid: LocalGrid, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    heard: list[Progress] = []
    call = begun(
        pool, grid, tmp_path, lambda session: session.call("gone_whole", folder=str(tmp_path)), listen=heard.append
    )
    until_it_waits(tmp_path)
    until(lambda: any(each.message == "gone_wait" for each in heard), what="the progress of the caller")
    for number in list(grid.runtimes):
        grid.kill_runtime(number)
    result = call.result(60)

    assert result.error is not None
    assert ("RUNTIME_CRASH", "unknown") == (result.error.type, result.error.ran)
    assert (1, 3, "gone_wait") == (heard[-1].done, heard[-1].total, heard[-1].message)
    assert ["paid", "waiting"] == told_by(tmp_path), "who would have undone it is gone"
    entries = grid.entries()
    outer = next(each for each in reversed(entries) if each["kind"] == "intent" and each["tool"] == "gone_whole")
    inner = [each for each in entries if each["kind"] == "intent" and each.get("parent") == outer["invocation"]]
    ends = {each["invocation"]: each["code"] for each in entries if each["kind"] == "outcome"}
    told = {each["tool"]: ends[each["invocation"]] for each in inner}
    assert told == {"gone_pay": "", "gone_wait": told["gone_wait"]}
    assert told["gone_wait"] in {"RUNTIME_CRASH", "CANCELLED"}, "its own runtime was lost, or that of its caller"


def kill(grid: LocalGrid, process: int) -> None:
    """Kill the runtime of that process."""
    number = next(number for number, runtime in grid.runtimes.items() if runtime.pid == process)
    grid.kill_runtime(number)
