"""Every example runs as it stands and prints what its last lines say it prints."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reader import ROOT, missing_line

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
MARK = "# Prints:"
KERNEL = ROOT / ".venv-semantic-kernel" / "bin" / "python"
"""Where Semantic Kernel is: it cannot be installed beside the other frameworks."""


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_prints_what_it_says(example: Path, tmp_path: Path) -> None:
    _, mark, shown = example.read_text().partition(MARK)
    expected = "\n".join(line.removeprefix("#").removeprefix(" ") for line in shown.splitlines())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}

    python = sys.executable if "semantic_kernel" not in example.name else str(KERNEL)
    if not Path(python).exists():
        pytest.skip("Semantic Kernel is not installed: make semantic-kernel")
    run = subprocess.run(
        [python, str(example)],
        cwd=tmp_path,
        env=environment | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert mark, f"an example ends with {MARK!r} and its output"
    assert run.returncode == 0, run.stderr
    assert missing_line(expected, run.stdout) is None, run.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_begins_with_a_sentence(example: Path) -> None:
    assert (ast.get_docstring(ast.parse(example.read_text())) or "").split("\n")[0].endswith(".")
