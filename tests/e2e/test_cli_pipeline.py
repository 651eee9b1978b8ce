"""`altar pipeline`: what a person at a terminal sees of a pipeline, of its runs, and of one that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from altar.cli.main import main
from tests.e2e.command import altar

APP = '''
import altar
from altar.ai.pipelines import pipeline, tool

@altar.tool(read_only=True)
def cli_search(topic: str, limit: int = 2) -> dict[str, list[str]]:
    """Search.

    Args:
        topic: What for.
        limit: How many.
    """
    return {"found": [f"{topic} {n}" for n in range(limit)]}

@altar.tool
def cli_send(found: list[str]) -> str:
    """Send.

    Args:
        found: What.
    """
    if found[0].startswith("die"):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    if found[0].startswith("fail"):
        raise ValueError(found)
    return f"{len(found)} sent"

letters = pipeline("letters", [
    tool(cli_search, name="search"), tool(cli_send, name="send", output="sent"),
])
'''

YAML = """
pipeline: letters
steps:
  - tool: cli_search
    name: search
  - tool: cli_send
    name: send
    output: sent
"""

TREE = """\
letters 1.0.0
takes topic: string, limit?: integer
├── search  tool cli_search@1.0.0; takes topic, limit; gives what its tool answers
├── send  tool cli_send@1.0.0; takes found; gives sent
└── answers sent: string
"""


@pytest.fixture
def at(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "letters.yaml").write_text(YAML)
    return tmp_path


@pytest.mark.parametrize("which", [("letters.yaml", "--tools", "app.py"), ("app:letters",)])
def test_a_pipeline_of_a_file_or_of_a_module_is_checked_and_run(at: Path, which: tuple[str, ...]) -> None:
    checked = altar("pipeline", "check", *which, "--json", at=at)
    done = altar("pipeline", "run", *which, "--input", "topic=cats", "--input", "limit=3", at=at)

    assert (0, []) == (checked.code, checked.json["unknown_tools"])
    assert (0, {"sent": "3 sent"}, "") == (done.code, done.json, done.err)


def test_a_pipeline_is_shown_with_what_each_step_takes_and_gives_and_as_a_picture(at: Path) -> None:
    shown = altar("pipeline", "show", "app.py", at=at)
    picture = altar("pipeline", "show", "app.py", "--mermaid", at=at)

    assert shown.out == TREE
    assert picture.out.startswith("flowchart TD\n")


def test_a_run_that_fails_tells_what_ran_before_and_ends_as_a_call_does(at: Path) -> None:
    told = altar("pipeline", "run", "app.py", "--input", "topic=fail", at=at)
    whole = altar("pipeline", "run", "app.py", "--input", "topic=fail", "--json", at=at)
    unfit = altar("pipeline", "run", "app.py", "--input", "topik=cats", at=at)

    assert (1, 1, 2) == (told.code, whole.code, unfit.code)
    assert ["done", "failed"] == [step["status"] for step in whole.json["steps"]]
    assert "TOOL_EXECUTION_FAILED" == whole.json["error"]["type"]
    assert "  done    search" in told.err
    assert "(INVALID_TOOL_ARGS)" in unfit.err


def test_a_run_that_was_killed_is_listed_and_goes_on_with_what_a_person_says(at: Path) -> None:
    kept = ("--checkpoint", "runs.db")
    killed = altar("pipeline", "run", "app.py", "--input", "topic=die", *kept, "--run-id", "r1", at=at)
    listed = altar("pipeline", "runs", *kept, at=at)
    asked = altar("pipeline", "resume", "r1", "app.py", *kept, at=at)
    done = altar("pipeline", "resume", "r1", "app.py", *kept, "--unknown", 'send="by hand"', at=at)
    over = altar("pipeline", "resume", "r1", "app.py", *kept, "--json", at=at)

    assert -9 == killed.code
    assert "stopped in send" in listed.out
    assert (1, True) == (asked.code, "`--unknown again`" in asked.err)
    assert (0, {"sent": "by hand"}) == (done.code, done.json)
    assert ["restored", "done"] == [step["status"] for step in over.json["steps"]]
    assert ["r1"] == altar("pipeline", "forget", "r1", *kept, "--json", at=at).json
    assert [] == altar("pipeline", "runs", *kept, "--json", at=at).json


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "nowhere.yaml"), "nowhere.yaml"),
        (("runs", "--checkpoint", "nowhere.db"), "There is no file of checkpoints"),
        (("forget", "--checkpoint", "nowhere.db"), "No run is named"),
    ],
)
def test_what_is_named_wrongly_is_told(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    assert 2 == main(["pipeline", *arguments])
    assert told in capsys.readouterr().err


def test_what_a_module_or_a_file_of_runs_does_not_have_is_told(at: Path) -> None:
    near = altar("pipeline", "check", "app.py:leters", at=at)
    unsaid = altar("pipeline", "resume", "r9", "app.py", "--checkpoint", "x.db", "--unknown", "maybe", at=at)
    nothing = altar("pipeline", "resume", "r9", "app.py", "--checkpoint", "nowhere.db", at=at)

    assert (2, 2, 2) == (near.code, unsaid.code, nothing.code)
    assert "did you mean 'app.py:letters'?" in near.err
    assert "'maybe' says nothing of a step" in unsaid.err
    assert "There is no run 'r9'" in nothing.err
