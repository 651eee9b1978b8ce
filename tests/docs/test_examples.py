"""Every example runs with what its first line installs, prints what its last lines say, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.installed import hide_all_but
from tests.docs.reader import ROOT, missing_line

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
INDEX = ROOT / "examples" / "README.md"
HEAD = "# pip install "
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
    environment["NO_COLOR"] = "1"
    here, held, python = tmp_path / "here", tmp_path / "held", sys.executable
    here.mkdir()
    held.mkdir()
    environment["TMPDIR"] = str(held)
    if "semantic_kernel" in example.name:
        python = str(KERNEL)
        if not Path(python).exists():
            pytest.skip("Semantic Kernel is not installed: make semantic-kernel")
    else:
        hide_all_but(asked_for(example), tmp_path / "hiding")
        environment["PYTHONPATH"] = str(tmp_path / "hiding")
    run = subprocess.run(
        [python, str(example)],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert mark, f"an example ends with {MARK!r} and its output"
    assert run.returncode == 0, run.stderr
    assert missing_line(expected, run.stdout) is None, run.stdout
    assert len(lines(expected)) == len(lines(run.stdout)), f"it prints more than it says:\n{run.stdout}"
    assert [] == [*here.iterdir(), *held.iterdir()], "an example leaves files behind"


def test_an_example_sees_nothing_but_what_its_first_line_installs(tmp_path: Path) -> None:
    hide_all_but(["altar-ai[yaml]"], tmp_path)
    program = """
import importlib.metadata, importlib.util
print([name for name in ("click", "yaml", "dspy", "grpc", "pytest") if importlib.util.find_spec(name)])
print(sorted({"PyYAML", "dspy", "grpcio"} & {each.name for each in importlib.metadata.distributions()}))
"""

    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "['click', 'yaml']\n['PyYAML']\n" == run.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_begins_with_a_sentence(example: Path) -> None:
    program = example.read_text().partition(MARK)[0]

    assert program.startswith(HEAD)
    assert (ast.get_docstring(ast.parse(program)) or "").split("\n")[0].endswith(".")
    assert len(program.splitlines()) <= LONGEST


def lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line for line in text.splitlines() if line.strip()]


def test_the_index_has_each_example_once_and_in_order() -> None:
    rows = re.findall(r"^\| \[(\d+)\]\((\S+)\) \|", INDEX.read_text(), flags=re.MULTILINE)

    assert [(path.name[:2], path.name) for path in EXAMPLES] == rows


def test_the_index_names_what_the_first_lines_install() -> None:
    rows = re.findall(r"^\| \[\d+\]\((\S+)\) \|.*\|\s*([^|]*?)\s*\|$", INDEX.read_text(), flags=re.MULTILINE)
    named = {name: re.findall(r"`([^`]+)`", installed) for name, installed in rows}

    assert named == {path.name: extras(path) for path in EXAMPLES}


def asked_for(example: Path) -> list[str]:
    """What the first line of an example installs."""
    return shlex.split(example.read_text().partition("\n")[0].removeprefix(HEAD))


def extras(example: Path) -> list[str]:
    """The extras of ALTAR that an example asks for, and what it asks for besides."""
    altar, *others = asked_for(example)
    return [*filter(None, altar.removeprefix("altar-ai").strip("[]").split(",")), *others]


def test_every_data_file_is_read_by_an_example() -> None:
    programs = "\n".join(path.read_text() for path in EXAMPLES)

    unread = [path.name for path in (ROOT / "examples" / "data").iterdir() if f'"{path.name}"' not in programs]

    assert [] == unread
