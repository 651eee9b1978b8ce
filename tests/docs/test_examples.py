"""Every example runs as it stands, prints what its last lines say it prints, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reader import ROOT, missing_line

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
INDEX = ROOT / "examples" / "README.md"
MARK = "# Prints:"
KERNEL = ROOT / ".venv-semantic-kernel" / "bin" / "python"
"""Where Semantic Kernel is: it cannot be installed beside the other frameworks."""
LONGEST = 80
"""So many lines an example has at most, without those that say what it prints."""


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
    assert len(lines(expected)) == len(lines(run.stdout)), f"it prints more than it says:\n{run.stdout}"
    assert [] == list(tmp_path.iterdir()), "an example leaves no file where it runs"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_begins_with_a_sentence(example: Path) -> None:
    program = example.read_text().partition(MARK)[0]

    assert (ast.get_docstring(ast.parse(program)) or "").split("\n")[0].endswith(".")
    assert len(program.splitlines()) <= LONGEST


def lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line for line in text.splitlines() if line.strip()]


def test_the_index_has_each_example_once_and_in_order() -> None:
    rows = re.findall(r"^\| \[(\d+)\]\((\S+)\) \|", INDEX.read_text(), flags=re.MULTILINE)

    assert [(path.name[:2], path.name) for path in EXAMPLES] == rows


def test_every_data_file_is_read_by_an_example() -> None:
    programs = "\n".join(path.read_text() for path in EXAMPLES)

    unread = [path.name for path in (ROOT / "examples" / "data").iterdir() if f'"{path.name}"' not in programs]

    assert [] == unread
