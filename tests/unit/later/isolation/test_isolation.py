"""Calls in child processes: what comes back, what is killed, and what is left behind, which is nothing."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

import altar
from altar.adm.errors import AltarError
from altar.later.invocation import Invocation, Outcome
from altar.later.isolation.child import Child
from altar.later.isolation.processes import Processes
from altar.later.tool import ToolFunction
from tests.unit.later.isolation import isolated_tools as tools

ROOT = Path(__file__).resolve().parents[4]
LONG = 30.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Processes]:
    """Children that tests share which do not count them."""
    made = Processes(2)
    yield made
    made.close()


@pytest.fixture
def children() -> Iterator[Processes]:
    """One child at most, and none of them left from another test."""
    made = Processes(1)
    yield made
    made.close()


def asked(tool: ToolFunction[..., Any], *, within: float = LONG, **arguments: Any) -> Invocation:
    made = Invocation(tool.name, orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS), "c1")
    made.deadline = time.monotonic() + within
    made.contract = tool
    return made


def outcome_of(pool: Processes, tool: ToolFunction[..., Any], *, within: float = LONG, **arguments: Any) -> Outcome:
    return pool.run(tool, asked(tool, within=within, **arguments))


def value_of(pool: Processes, tool: ToolFunction[..., Any], **arguments: Any) -> Any:
    outcome = outcome_of(pool, tool, **arguments)
    assert outcome.error is None, outcome.error
    return orjson.loads(outcome.content)


def error_of(pool: Processes, tool: ToolFunction[..., Any], *, within: float = LONG, **arguments: Any) -> AltarError:
    error = outcome_of(pool, tool, within=within, **arguments).error
    assert error is not None
    return error


def read_when_written(path: Path) -> int:
    """The number that a tool writes into a named pipe."""
    return int(path.read_text())


def ended(process: int) -> bool:
    """Wait until a process, anybody's, has ended."""
    try:
        number = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    waiting = select.poll()
    waiting.register(number, select.POLLIN)
    gone = bool(waiting.poll(10_000))
    os.close(number)
    return gone


@pytest.fixture
def began(tmp_path: Path) -> Path:
    """A named pipe: who reads it waits until the tool has written."""
    path = tmp_path / "began"
    os.mkfifo(path)
    return path


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────


def test_a_call_runs_in_another_process_which_stays_warm(children: Processes) -> None:
    first = value_of(children, tools.process)

    assert first != os.getpid()
    assert first == value_of(children, tools.process)


def test_one_child_serves_every_tool(children: Processes) -> None:
    here = value_of(children, tools.process)

    assert {"said": ["A", "B", "A", "B"]} == value_of(children, tools.shout, words=["a", "b"], times=2)
    assert here == value_of(children, tools.process)


def test_a_payload_of_megabytes_passes_both_ways(shared: Processes) -> None:
    assert {"said": ["X" * 3_000_000]} == value_of(shared, tools.shout, words=["x" * 3_000_000])


def test_a_coroutine_function_runs_in_a_loop_of_its_own(shared: Processes) -> None:
    assert [4, 6] == [value_of(shared, tools.doubled, number=number) for number in (2, 3)]


@pytest.mark.parametrize(("how", "code"), [("stop", "CANCELLED"), ("stay", "TIMEOUT")])
def test_what_a_coroutine_does_to_its_loop_is_answered_once_and_harms_no_other_call(
    children: Processes, how: str, code: str
) -> None:
    value_of(children, tools.process)  # so that the child is there
    error = error_of(children, tools.meddle, within=2, how=how)

    assert (error.code, error.ran) == (code, "yes")
    assert [value_of(children, tools.doubled, number=each) for each in (2, 3)] == [4, 6]


def test_a_static_method_is_found(shared: Processes) -> None:
    assert 3 == value_of(shared, tools.Shop.price, article="tea")


def test_a_function_that_was_declared_under_another_name_is_found(shared: Processes) -> None:
    assert 8 == value_of(shared, tools.plainly, number=7)


@pytest.mark.parametrize(
    ("how", "code", "message", "ran"),
    [
        ("raise", "TOOL_EXECUTION_FAILED", "The tool failed with ValueError", "yes"),
        ("exit", "TOOL_EXECUTION_FAILED", "The tool failed with SystemExit", "yes"),
        ("interrupt", "TOOL_EXECUTION_FAILED", "The tool failed with KeyboardInterrupt", "yes"),
        ("denied", "PERMISSION_DENIED", "not for you", "yes"),
        ("function", "SERIALIZATION_ERROR", "The result, of the Python type 'ToolFunction', ", "yes"),
    ],
)
def test_a_failure_is_told_as_it_is_told_here(shared: Processes, how: str, code: str, message: str, ran: str) -> None:
    error = error_of(shared, tools.fail, how=how)

    assert code == error.code
    assert error.message.startswith(message)
    assert ran == error.ran


def test_an_argument_that_its_type_refuses_did_not_run(shared: Processes) -> None:
    error = error_of(shared, tools.doubled, number="two")

    assert ("INVALID_TOOL_ARGS", "/number", "no") == (error.code, error.path, error.ran)


def test_what_a_tool_prints_goes_to_stderr(children: Processes, capfd: pytest.CaptureFixture[str]) -> None:
    value_of(children, tools.talk)

    shown = capfd.readouterr()
    assert "" == shown.out
    assert "printed by the tool" in shown.err


def test_what_a_tool_logs_is_logged_here(shared: Processes, caplog: pytest.LogCaptureFixture) -> None:
    value_of(shared, tools.talk)

    (record,) = [each for each in caplog.records if each.name == "shop"]
    assert ("sold out", "tea", logging.WARNING) == (record.getMessage(), vars(record)["article"], record.levelno)


def test_the_traceback_of_a_tool_is_in_the_log_here(shared: Processes, caplog: pytest.LogCaptureFixture) -> None:
    error_of(shared, tools.fail, how="raise")

    assert "tool failed" in caplog.text
    assert 'raise ValueError("the secret")' in caplog.text


def test_a_call_without_a_deadline_waits(shared: Processes) -> None:
    invocation = asked(tools.doubled, number=3)
    invocation.deadline = math.inf

    assert b"6" == shared.run(tools.doubled, invocation).content


def test_many_threads_share_the_children(shared: Processes) -> None:
    barrier = threading.Barrier(6)

    def call(number: int) -> int:
        barrier.wait()
        return int(value_of(shared, tools.doubled, number=number))

    with ThreadPoolExecutor(6) as threads:
        assert [0, 2, 4, 6, 8, 10] == list(threads.map(call, range(6)))


# ── what is ended ────────────────────────────────────────────────────────────────────────────────────────


def test_a_function_that_lets_nothing_else_run_is_ended_at_its_deadline(children: Processes, began: Path) -> None:
    value_of(children, tools.process)
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(read_when_written, began)

        error = error_of(children, tools.spin, within=1.5, began=str(began))

        assert ("TIMEOUT", "yes", "'spin' had not ended when its time was up") == (
            error.code,
            error.ran,
            error.message,
        )
        assert ended(reading.result())


def test_a_coroutine_is_ended_at_its_deadline(shared: Processes) -> None:
    value_of(shared, tools.doubled, number=1)

    error = error_of(shared, tools.doubled, within=1, number=1, after=1000)

    assert ("TIMEOUT", "yes") == (error.code, error.ran)


def test_a_cancelled_call_is_ended_with_what_it_started(children: Processes, began: Path) -> None:
    invocation = asked(tools.with_a_child, began=str(began))
    with ThreadPoolExecutor() as threads:
        running = threads.submit(children.run, tools.with_a_child, invocation)
        grandchild = read_when_written(began)

        children.kill(invocation)

        error = running.result().error
        assert error is not None
        assert ("CANCELLED", "yes") == (error.code, error.ran)
        assert ended(grandchild)


def test_a_call_that_was_cancelled_before_it_came_does_not_run(shared: Processes) -> None:
    invocation = asked(tools.process)

    shared.kill(invocation)

    error = shared.run(tools.process, invocation).error
    assert error is not None
    assert ("CANCELLED", "no") == (error.code, error.ran)


def test_a_call_that_is_cancelled_while_its_process_starts_does_not_run(
    children: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    invocation = asked(tools.process)

    class Cancelling(Child):
        def __init__(self) -> None:
            super().__init__()
            children.kill(invocation)

    monkeypatch.setattr("altar.later.isolation.processes.Child", Cancelling)

    error = children.run(tools.process, invocation).error

    assert error is not None
    assert ("CANCELLED", "no") == (error.code, error.ran)


def test_a_call_that_waits_for_a_process_has_not_run_when_it_is_late_or_cancelled(
    children: Processes, began: Path
) -> None:
    busy, waiting = asked(tools.spin, began=str(began)), asked(tools.process)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(children.run, tools.spin, busy)
        read_when_written(began)

        late = error_of(children, tools.process, within=0.1)
        queued = threads.submit(children.run, tools.process, waiting)
        children.kill(waiting)
        cancelled = queued.result().error
        children.kill(busy)
        running.result()

    assert ("TIMEOUT", "no", "'process' had not begun when its time was up") == (late.code, late.ran, late.message)
    assert cancelled is not None
    assert ("CANCELLED", "no") == (cancelled.code, cancelled.ran)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit", "ended with exit code 7"),
        ("SIGSEGV", "was killed by SIGSEGV"),
        ("SIGKILL", "was killed by SIGKILL"),
    ],
)
def test_a_crash_is_the_outcome_of_its_call_and_of_no_other(shared: Processes, how: str, words: str) -> None:
    error = error_of(shared, tools.end, how=how)

    assert ("RUNTIME_CRASH", "yes") == (error.code, error.ran)
    assert f"The process that ran 'end' {words}" == error.message
    assert value_of(shared, tools.process)


def test_a_child_that_was_killed_while_idle_is_replaced_unseen(children: Processes) -> None:
    first = value_of(children, tools.process)
    os.kill(first, signal.SIGKILL)
    assert ended(first)

    assert first != value_of(children, tools.process)


def test_a_process_never_has_more_children_than_its_limit(shared: Processes) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: value_of(shared, tools.process), range(24)))

    assert len(found) <= 2
    assert shared.started <= 2


# ── what is replaced, and what is left ───────────────────────────────────────────────────────────────────


def test_recycling_ends_the_idle_child(children: Processes) -> None:
    first = value_of(children, tools.process)

    children.recycle()

    assert ended(first)
    assert first != value_of(children, tools.process)


def test_recycling_lets_a_call_end_before_its_process_does(children: Processes) -> None:
    first = value_of(children, tools.process)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(value_of, children, tools.doubled, number=2, after=0.3)
        while children.idle:
            time.sleep(0)

        children.recycle()

        assert 4 == running.result()
    assert ended(first)


def test_an_idle_child_ends() -> None:
    pool = Processes(1, idle=0.05)

    child = value_of(pool, tools.process)

    assert ended(child)
    pool.close()


def test_closing_ends_every_child_and_cancels_what_runs(began: Path) -> None:
    pool = Processes(2)
    idle = value_of(pool, tools.process)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(outcome_of, pool, tools.spin, began=str(began))
        busy = read_when_written(began)

        pool.close()

        error = running.result().error
        assert error is not None
        assert ("CANCELLED", "yes") == (error.code, error.ran)
    assert ended(idle)
    assert ended(busy)
    assert ("CANCELLED", "no") == ((after := error_of(pool, tools.process)).code, after.ran)


PROGRAM = """
import os, signal, sys, threading
from altar.later.invocation import Invocation
from altar.later.isolation.processes import processes
from tests.unit.later.isolation import isolated_tools as tools

call = Invocation("with_a_child", b'{"began":"%s"}' % sys.argv[1].encode(), "c1")
"""


IGNORES = "signal.signal(signal.SIGIO, signal.SIG_IGN)"
BLOCKS = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})"


@pytest.mark.parametrize(
    ("number", "before"),
    [(signal.SIGKILL, ""), (signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGKILL, IGNORES), (9, BLOCKS)],
)
def test_no_child_outlives_its_parent_however_that_ends(began: Path, number: int, before: str) -> None:
    program = PROGRAM + before + "\nprocesses().run(tools.with_a_child, call)\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(began)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"src{os.pathsep}."},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    grandchild = read_when_written(began)
    child = int(Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[1])

    parent.send_signal(number)

    assert parent.wait(timeout=20) != 0
    assert ended(child)
    assert ended(grandchild)


def test_a_fork_that_ends_leaves_the_children_to_their_parent() -> None:
    program = """
import os, sys
from altar.later.invocation import Invocation
from altar.later.isolation.processes import processes
from tests.unit.later.isolation import isolated_tools as tools

def run():
    outcome = processes().run(tools.process, Invocation("process", b"{}", "c1"))
    return int(outcome.content)

first = run()
forked = os.fork()
if not forked:
    sys.exit(0 if run() != first else 1)  # one of its own, and the exit handlers run
assert os.waitpid(forked, 0)[1] == 0
assert run() == first
"""
    environment = {**os.environ, "PYTHONPATH": f"src{os.pathsep}."}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert (0, "") == (run.returncode, run.stderr)


# ── what cannot be isolated ──────────────────────────────────────────────────────────────────────────────


def test_a_function_inside_of_a_function_is_refused_where_it_is_declared() -> None:
    def local(number: int) -> int:
        """Once."""
        return number

    with pytest.raises(altar.DeclarationError, match="'local' is defined inside of a function"):
        altar.tool(local, isolate="process", register=False)


def test_a_lambda_is_refused_where_it_is_declared() -> None:
    with pytest.raises(altar.DeclarationError, match="'nameless' is defined inside of a function"):
        altar.tool(lambda: None, name="nameless", description="Nothing.", isolate="process", register=False)


def test_another_way_to_isolate_is_refused() -> None:
    with pytest.raises(altar.DeclarationError, match="isolate='thread', and there is only 'process'"):
        altar.tool(tools.plain, isolate="thread", register=False)  # type: ignore[call-overload]  # that is the point


@pytest.mark.parametrize("tool", [tools.bound, tools.partial], ids=["method", "partial"])
def test_what_is_not_found_by_its_name_is_refused_at_its_first_call(
    shared: Processes, tool: ToolFunction[..., Any]
) -> None:
    error = error_of(shared, tool, article="tea")

    assert ("INVALID_DECLARATION", "no") == (error.code, error.ran)
    assert "is not what Python finds as 'tests.unit.later.isolation.isolated_tools." in error.message


def test_an_isolated_tool_calls_no_other_isolated_tool(shared: Processes) -> None:
    assert value_of(shared, tools.nested) == (
        "FEATURE_UNAVAILABLE 'shout_again' runs in a process of its own, and was called from a tool that does so too"
    )


def test_a_module_that_cannot_be_imported_there_is_said_so(
    children: Processes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ALTAR_TEST_REFUSE_IMPORT", "1")

    error = error_of(children, tools.process)

    assert ("INVALID_CONFIG", "no") == (error.code, error.ran)
    assert error.message.endswith("of 'process' cannot be imported in a process of its own: RuntimeError")
    assert "RuntimeError: not here" in caplog.text


def test_a_module_that_was_changed_since_is_refused(
    children: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import altar

@altar.tool(isolate="process", register=False)
def first(number: {kind}) -> int:
    "Once."
    return 1
"""
    file = tmp_path / "changing_tools.py"
    file.write_text(source.format(kind="int"))
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("changing_tools")
    monkeypatch.delitem(sys.modules, "changing_tools")
    monkeypatch.setitem(sys.modules, "changing_tools", module)
    file.write_text(source.format(kind="str"))

    error = error_of(children, module.first, number=1)

    assert ("INVALID_CONFIG", "no") == (error.code, error.ran)
    assert error.message == "The tool 'first' has another contract in a process of its own than here"


SCRIPT = """
import os
import altar

@altar.tool(isolate="process")
def process() -> int:
    "The process that runs this."
    return os.getpid()

if __name__ == "__main__":
    with altar.session(source="later:") as session:
        result = session.call("process")
    print(result.error.message if result.error else result.content != os.getpid())
"""


def script(*arguments: str, folder: Path, source: str = SCRIPT, given: str | None = None, fails: bool = False) -> str:
    (folder / "script.py").write_text(source)
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert fails == (run.returncode != 0), run.stderr
    return run.stdout


@pytest.mark.parametrize("how", [("script.py",), ("-m", "script")])
def test_a_tool_of_the_program_itself_is_found_without_starting_the_program_again(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    assert "True\n" == script(*how, folder=tmp_path)


def test_a_program_without_a_guard_is_told_where_to_put_one(tmp_path: Path) -> None:
    guarded, called = 'if __name__ == "__main__":', 'session.call("process")'
    source = SCRIPT.replace(guarded, "if True:").replace(
        called, f"{called}\n        print(result.error.hint)\n" + 8 * " " + "result.unwrap()"
    )

    shown = script("script.py", folder=tmp_path, source=source, fails=True)

    assert shown.startswith("put what the program does under `if __name__ == '__main__':`")


def test_a_tool_that_was_typed_in_is_refused(tmp_path: Path) -> None:
    assert "'process' was typed into an interpreter or a notebook" in script("-", folder=tmp_path, given=SCRIPT)
