"""`altar pipeline` and what others wrote: hostile names, modules that talk or leave, encodings, odd answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from altar.cli import output
from altar.cli.main import main
from tests.e2e.command import COMMAND, altar

TOOLS = '''
from os import system
import altar

print("loading")

@altar.tool
def att_look(name: str) -> str:
    """Look."""
    print("looking")
    return name

def att_loud(x: str) -> str:
    return x.upper()
'''

PLAIN = """
pipeline: plain
inputs: {name: str}
steps:
  - tool: att_look
    output: seen
"""

HOSTILE = r"""
pipeline: hostile
description: "red\e[31m\x9b31m\nFAKE description"
inputs: {name: str, "in\e[2J\nFAKE": {type: string}}
steps:
  - tool: att_look
    output: "out\e[2J\nFAKE \u202e"
  - tool: "gone\e[2J\nFAKE"
    arguments: {"fixed\e[1m": "\e]0;title\a\x9b"}
    inputs: {"taken\e[7m\nFAKE": "out\e[2J\nFAKE \u202e"}
    output: last
  - tool: att_look
    inputs: {"nam\e[2J\nFAKE": "ou\e[2J\nFAKE"}
    output: more
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with tools and pipelines, which is the working directory."""
    (tmp_path / "att_tools.py").write_text(TOOLS)
    (tmp_path / "plain.yaml").write_text(PLAIN)
    (tmp_path / "hostile.yaml").write_text(HOSTILE)
    (tmp_path / "shown.yaml").write_text(HOSTILE.rpartition("  - tool")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "att_tools", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["check", "hostile.yaml"],
        ["check", "hostile.yaml", "--tools", "att_tools.py"],
        ["check", "hostile.yaml", "--tools", "att_tools.py", "--json"],
        ["check", "shown.yaml"],
        ["show", "shown.yaml"],
        ["show", "shown.yaml", "--json"],
        ["show", "shown.yaml", "--yaml"],
        ["show", "shown.yaml", "--mermaid"],
        ["run", "shown.yaml", "--tools", "att_tools.py", "--input", "name=\x1b[2J"],
        ["resume", "../\x1b[2J", "plain.yaml", "--checkpoint", "\x1b[2J.db"],
    ],
)
def test_names_that_others_chose_neither_move_the_cursor_nor_add_lines(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    main(["pipeline", *command])

    shown = capsys.readouterr()
    for line in (shown.out + shown.err).splitlines():
        assert line.isprintable()
        assert not line.strip(" │").startswith("FAKE")


def test_what_modules_and_tools_print_is_no_part_of_the_answer(here: Path) -> None:
    ran = altar("pipeline", "run", "plain.yaml", "--tools", "att_tools.py", "--input", "name=ann", at=here)
    checked = altar("pipeline", "check", "plain.yaml", "--tools", "att_tools.py", "--json", at=here)
    called = altar("call", "att_look", "name=ann", "--tools", "att_tools.py", at=here)

    assert (ran.json, ran.err) == ({"seen": "ann"}, "loading\nlooking\n")
    assert (checked.json["ok"], checked.err) == (True, "loading\n")
    assert (called.json, called.err) == ("ann", "loading\nlooking\n")


def test_a_module_that_ends_the_process_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "att_leaves.py").write_text("import sys\nsys.exit(0)\n")

    code = main(["pipeline", "check", "plain.yaml", "--tools", "att_leaves.py"])

    assert code == output.WRONG_USE
    assert "Cannot import 'att_leaves.py': it ends the process" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--json", "--yaml"], ["--json", "--mermaid"], ["--yaml", "--mermaid"]])
def test_two_forms_of_one_answer_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    code = main(["pipeline", "show", "plain.yaml", *options])

    shown = capsys.readouterr()
    assert code == output.WRONG_USE
    assert f"{' and '.join(options)} are answers of different forms" in shown.out + shown.err
    if "--json" in options:
        assert json.loads(shown.out)["error"]["type"] == "MALFORMED_REQUEST"


def test_an_empty_id_of_a_run_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([*RUN, "--checkpoint", "runs.db", "--run-id", ""])

    assert (code, "'' is no id of a run" in capsys.readouterr().err) == (output.WRONG_USE, True)
    assert not (here / "runs.db").exists()


RUN = ["pipeline", "run", "plain.yaml", "--tools", "att_tools.py", "--input", "name=ann"]


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        ("att_lou", "did you mean 'att_loud'?"),
        ("system", "the functions there are 'att_loud'"),
        ("att_tools:system", "did you mean"),
        ("att_look", "write `tool: att_look`"),
    ],
)
def test_a_text_names_only_plain_functions_that_its_modules_define(
    here: Path, capsys: pytest.CaptureFixture[str], function: str, hint: str
) -> None:
    (here / "names.yaml").write_text(PLAIN + f"  - transform: {function}\n    gives: [y]\n    takes: [seen]\n")

    code = main(["pipeline", "check", "names.yaml", "--tools", "att_tools.py"])

    assert code == output.FAILED
    assert hint in capsys.readouterr().out


def test_a_function_without_its_module_is_found_by_an_option_of_the_command(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "names.yaml").write_text(PLAIN + "  - transform: att_loud\n")

    main(["pipeline", "check", "names.yaml"])

    assert "say which module defines it: --tools MODULE" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_shows_a_check_that_fails(
    here: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    (here / "ring.yaml").write_text("pipeline: p\nsteps: [{sub: a}]\npipelines: {a: [{sub: b}], b: [{sub: a}]}\n")
    held = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(held, encoding=encoding))

    code = main(["pipeline", "check", "ring.yaml"])

    arrow = "→" if encoding == "utf-8" else r"\u2192"
    assert code == output.FAILED
    assert f"'a' {arrow} 'b' {arrow} 'a'" in held.getvalue().decode(encoding)


def test_five_thousand_steps_are_counted_once_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"  - {{tool: att_look, output: o{number}}}\n" for number in range(5000))
    (here / "long.yaml").write_text(f"pipeline: long\ninputs: {{name: str}}\nsteps:\n{lines}")

    code = main(["pipeline", "check", "long.yaml", "--tools", "att_tools.py"])

    assert (code, capsys.readouterr().out.splitlines()[-1]) == (output.DONE, "answers o4999: string")


@pytest.mark.skipif(os.name != "posix", reason="a closed descriptor is given to the command")
def test_an_answer_for_nobody_is_no_traceback(here: Path) -> None:
    for options in ([], ["--json"]):
        command = [str(COMMAND), "pipeline", "show", "plain.yaml", *options]
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=here, capture_output=True, text=True, check=False
        )

        assert "Traceback" not in done.stderr
