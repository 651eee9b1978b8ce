"""The synchronous front where an event loop runs already, and at a prompt: IPython, a notebook, the REPL."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the notebook's own libraries
]

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/tutorial/first_tool.ipynb"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")} | {
    "PYTHONPATH": str(ROOT / "src"),
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}

DECLARE = [
    "import altar",
    "def twice(n: int) -> int:",
    "    'Twice.'",
    "    return 2 * n",
    "",
    "async def thrice(n: int) -> int:",
    "    'Thrice.'",
    "    return 3 * n",
    "",
    "_ = altar.tool(twice), altar.tool(thrice)",
]


def test_the_notebook_gives_the_outputs_that_are_stored_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    stored: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # ships no types
    executed = copy.deepcopy(stored)
    for cell in executed.cells:
        cell.outputs = []

    NotebookClient(executed, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert [_shown(cell) for cell in executed.cells] == [_shown(cell) for cell in stored.cells]
    assert any(_shown(cell) for cell in stored.cells)


@pytest.mark.parametrize("program", [["-m", "IPython", "--quick", "--no-banner", "--simple-prompt"], ["-i", "-q"]])
def test_both_fronts_work_at_a_prompt(program: list[str], tmp_path: Path) -> None:
    lines = [
        *DECLARE,
        "with altar.session() as s: print('sync', s.call('twice', n=4).content, s.call('thrice', n=4).content)",
        "",
        "with altar.session() as s: print('in time', s.options(timeout=9).call('twice', n=5).content)",
        "",
    ]

    done = _at_a_prompt(program, lines, tmp_path)

    assert "sync 8 12" in done.stdout
    assert "in time 10" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_front_works_while_a_loop_runs_in_the_same_thread(tmp_path: Path) -> None:
    program = "\n".join(
        [
            *DECLARE,
            "import asyncio",
            "async def main():",
            "    with altar.session() as s:",
            "        return s.call('twice', n=1).content, s.call('thrice', n=1).content",
            "print(asyncio.run(main()))",
        ]
    )

    done = _at_a_prompt(["-c", program], [], tmp_path)

    assert done.stdout.strip() == "(2, 3)"
    assert done.stderr == ""


def test_a_tool_that_calls_through_the_front_from_the_fronts_own_loop_is_told_so(tmp_path: Path) -> None:
    program = "\n".join(
        [
            *DECLARE,
            "async def outer() -> int:",
            "    'Calls another tool the wrong way.'",
            "    with altar.session() as inner:",
            "        return inner.call('thrice', n=1).unwrap()",
            "_ = altar.tool(outer)",
            "with altar.session() as s:",
            "    error = s.call('outer').error",
            "print(error.type, '-', error.hint)",
        ]
    )

    done = _at_a_prompt(["-c", program], [], tmp_path)

    assert done.stdout.strip() == (
        "INCOMPATIBLE_MODE - use `async with altar.session(...)` and `await` inside of coroutine functions"
    )
    assert done.stderr == ""


def _at_a_prompt(program: list[str], lines: list[str], at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program],
        input="\n".join(lines) + "\n",
        cwd=at,
        env=ENVIRON | {"IPYTHONDIR": str(at / "ipython")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _shown(cell: Any) -> list[str]:
    outputs = cell.get("outputs", [])
    return [output.get("text") or str(output.get("data", {}).get("text/plain", "")) for output in outputs]
