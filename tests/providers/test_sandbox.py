"""Code that a language model wrote, in the sandbox of DSPy: what it gives, what it cannot reach, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import altar
from altar.adm.errors import AltarError
from altar.ai import tool_from_module
from altar.ai.sandbox import interpreters_of
from altar.later.context import ToolContext
from altar.later.invocation import Invocation
from altar.testing import ScriptedLM, until

HERE = Path(__file__).resolve().parents[2] / ".cache" / "providers"

pytestmark = [
    pytest.mark.providers,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("altar_registry", "deno"),
    pytest.mark.filterwarnings("ignore:.*ProgramOfThought.*:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def deno() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENO_DIR", str(HERE / "deno-modules"))
        patch.setenv("PATH", str(HERE / "deno" / "bin"), prepend=os.pathsep)
        patch.setenv("ALTAR_PROBE", "a secret of this process")
        yield


def answered(module: Any, *answers: dict[str, Any], **how: Any) -> Any:
    """The result of a call of the module, whose language model writes these answers."""
    tool = tool_from_module(module, lm=ScriptedLM(list(answers)).dspy(), **how)
    assert "sandboxed" == tool.declaration.metadata["runs_code"]
    with altar.session([tool], source="later:") as session:
        return session.call(tool, question="what is twice 21?")


def step(code: str) -> dict[str, Any]:
    return {"reasoning": "Let it be computed.", "code": code}


def test_a_program_of_thought_says_what_its_code_found() -> None:
    import dspy

    code = {"reasoning": "Multiply.", "generated_code": "SUBMIT({'answer': 2 * 21})"}

    result = answered(dspy.ProgramOfThought("question -> answer"), code, {"reasoning": "Done.", "answer": "42"})

    assert "42" == result.unwrap()["answer"]


PROBES = """
import os, subprocess
def tried(what):
    try:
        return str(what())
    except BaseException as error:
        return type(error).__name__
number = next(int(word) for word in question.replace("?", "").split() if word.isdigit())
SUBMIT("; ".join([
    str(2 * number),
    tried(lambda: open("/etc/hostname").read()),
    tried(lambda: os.environ.get("ALTAR_PROBE")),
    tried(lambda: os.path.exists(FILE)),
    tried(lambda: subprocess.run(["id"])),
]))
"""


def test_a_recursive_language_model_computes_and_reaches_no_file_no_environment_and_no_program_of_the_machine() -> None:
    import dspy

    result = answered(dspy.RLM("question -> answer"), step(PROBES.replace("FILE", repr(str(Path(__file__))))))

    assert "42; FileNotFoundError; None; False; OSError" == result.unwrap()["answer"]


def test_code_that_never_ends_is_ended_when_its_caller_leaves() -> None:
    import dspy

    before, has_begun = children(), threading.Event()

    def begun() -> str:
        has_begun.set()
        return "go on"

    async def leave(tool: Any) -> None:
        async with altar.session([tool], source="later:") as session:
            call = asyncio.ensure_future(session.call(tool, question="what is twice 21?"))
            assert await asyncio.to_thread(has_begun.wait, 60)
            call.cancel()
            await asyncio.wait([call])

    endless = ScriptedLM([step("begun()\nwhile True:\n    pass")])
    asyncio.run(leave(tool_from_module(dspy.RLM("question -> answer", tools=[begun]), lm=endless.dspy(), timeout=100)))

    until(lambda: not children() - before, what="the end of the sandbox")


@pytest.mark.parametrize(
    "sent", ["print('x' * 9_000_000)", "import sys\nfor _ in range(9):\n    print('x' * 1_000_000)"]
)
def test_code_that_writes_without_an_end_is_let_go_of(sent: str) -> None:
    before = children()
    interpreter = made()

    with pytest.raises(AltarError) as refused:
        interpreter.execute(sent)

    assert "MESSAGE_TOO_LARGE" == refused.value.code
    interpreter.shutdown()
    assert not children() - before


def test_a_sandbox_that_hears_nothing_any_more_ends_with_its_interpreter() -> None:
    before = children()
    interpreter = made()
    interpreter.start()
    os.kill(interpreter.deno_process.pid, signal.SIGSTOP)

    interpreter.shutdown()

    assert not children() - before


def test_the_process_of_a_sandbox_has_no_variables_of_this_one_but_those_it_needs() -> None:
    interpreter = made()
    interpreter.start()
    held = Path(f"/proc/{interpreter.deno_process.pid}/environ").read_bytes()
    interpreter.shutdown()

    assert b"DENO_DIR=" in held
    assert b"a secret of this process" not in held


def test_a_sandbox_is_of_the_thread_that_started_it() -> None:
    interpreter = made()
    thread = threading.Thread(target=interpreter.start)
    thread.start()
    thread.join()

    with pytest.raises(RuntimeError, match="across threads"):
        interpreter.execute("1 + 1")
    interpreter.shutdown()


BUSY = """
import os, sys, threading
from altar.ai.sandbox import interpreters_of
from altar.later.context import ToolContext
from altar.later.invocation import Invocation

made = interpreters_of(ToolContext(Invocation(name="any", arguments=b"{}")))()
made.tools = {"begun": lambda: print(made.deno_process.pid, flush=True) or "go on"}
made.execute("begun()" + chr(10) + "while True: pass")
"""


def test_code_that_is_busy_ends_with_its_parent_when_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        sandbox = psutil.Process(int(parent.stdout.readline()))
        assert "deno" in sandbox.name()
        parent.kill()

    try:
        until(lambda: not is_alive(sandbox), what="the end of the sandbox")
    finally:
        if sandbox.is_running():
            sandbox.kill()


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def made() -> Any:
    """An interpreter of a call that goes on."""
    return interpreters_of(ToolContext(Invocation(name="any", arguments=b"{}")))()


def children() -> set[int]:
    """The processes that this one has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(stat.parent.name))
    return found
