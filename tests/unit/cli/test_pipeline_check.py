"""`altar pipeline check` and `show`: all that is wrong at once, and how sure it is of what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.ai.pipelines import Pipeline, branch, map, parallel, pipeline, sub, tool, transform  # noqa: A004 - its name
from altar.ai.pipelines.flaws import MOST_FLAWS, Flaw
from altar.cli.main import main
from altar.cli.pipeline_tree import tree_of
from altar.later.registry import REGISTRY

TOOLS = '''
import altar

@altar.tool
def check_find(topic: str, limit: int = 2) -> list[str]:
    """Find."""
    return []

@altar.tool
def check_send(pages: list[str], to: str) -> str:
    """Send."""
    return "sent"
'''

WRONG = """
pipeline: letters
inputs: {topic: string}
outputs: [sent]
steps:
  - tool: check_fnd
    name: first
    output: more
  - tool: check_find
    arguments: {limt: 3}
    output: pages
  - parallel:
      one: {tool: check_find, inputs: {topic: topik}}
      two: check_find
  - tool: check_send
    inputs: {pages: pags}
    arguments: {to: me}
    output: sent
"""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with tools and pipelines; what it declares is gone afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "check_tools.py").write_text(TOOLS)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "unknown.yaml").write_text("pipeline: letters\nsteps: [check_find, check_snd, 'check_send@^2']\n")
    yield tmp_path
    sys.modules.pop("check_tools", None)
    for declared in [one for one in REGISTRY.tools() if one.name in {"check_find", "check_send"}]:
        REGISTRY.unregister(declared.name)


def test_all_that_is_wrong_is_told_at_once_each_on_its_line(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = main(["pipeline", "check", "wrong.yaml", "--tools", "check_tools.py"])

    out, err = capsys.readouterr()
    head, *lines = [line.split() for line in out.splitlines()]
    assert (1, ["LINE", "STEP", "FIELD", "NEAREST", "WHAT", "IS", "WRONG"]) == (number, head)
    assert [
        ["6:5", "first", "check_fnd", "check_find"],
        ["10:17", "check_find", "limt", "limit"],
        ["13:7", "parallel/one", "topik", "topic"],
        ["15:5", "check_send", "pags", "pages"],
    ] == [line[:4] for line in lines]
    assert "error: 4 things are wrong with wrong.yaml" in err


def test_what_is_wrong_is_told_as_json_with_its_place(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = main(["pipeline", "check", "wrong.yaml", "--tools", "check_tools.py", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (1, False, "wrong.yaml", 4) == (number, told["ok"], told["pipeline"], len(told["findings"]))
    assert {
        "path": "/steps/2/steps/0",
        "kind": "REQUIRED",
        "message": "wrong.yaml, line 13, column 7: Step 'parallel/one' of 'letters' takes the field 'topik', which no "
        "step before it gives",
        "step": "parallel/one",
        "field": "topik",
        "nearest": "topic",
        "hint": "did you mean 'topic', an input of the pipeline?",
        "line": 13,
        "column": 7,
    } == told["findings"][2]


def test_a_tool_that_none_of_the_named_modules_has_is_an_error(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["pipeline", "check", "unknown.yaml", "--tools", "check_tools.py"])

    out = capsys.readouterr().out
    assert "calls the tool 'check_snd', which is not there; did you mean 'check_send'?" in out
    assert "calls 'check_send@^2', and no version that is there fits" in out


def test_without_any_tools_it_is_a_warning_that_says_what_was_not_checked(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["pipeline", "check", "unknown.yaml", "--json"])

    out, err = capsys.readouterr()
    assert ["check_find", "check_send", "check_snd"] == json.loads(out)["unknown_tools"]
    assert "name their modules with --tools, or a host with --source" in err


def test_the_tools_of_the_settings_count_as_given(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (there / "altar.toml").write_text('[runtime]\ntools = ["check_tools.py"]\n')

    assert 1 == main(["pipeline", "check", "unknown.yaml"])
    assert "did you mean 'check_send'?" in capsys.readouterr().out


def test_a_text_that_is_no_pipeline_is_a_finding_and_a_file_that_is_none_is_wrong_use(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (there / "broken.yaml").write_text("pipeline: a\nsteps: [b: {]\n")
    (there / "folder.yaml").mkdir()

    assert (1, 2) == (main(["pipeline", "check", "broken.yaml"]), main(["pipeline", "check", "folder.yaml"]))
    out, err = capsys.readouterr()
    assert "2:13" in out
    assert "'folder.yaml' is no file" in err


def test_flaws_are_bounded_and_those_that_only_follow_are_left_out() -> None:
    many = [transform(len, takes=[f"no_{number}"], gives=[f"n_{number}"]) for number in range(200)]
    follows = [sub("nowhere"), transform(len, takes=["perhaps"], gives=["n"])]

    with pytest.raises(altar.DeclarationError, match=rf"\(and at least {MOST_FLAWS - 1} more\)") as bounded:
        pipeline("many", many, inputs={"topic": str})
    with pytest.raises(altar.DeclarationError) as one:
        pipeline("follows", follows, inputs={"topic": str})

    assert MOST_FLAWS == len(bounded.value.defects)
    assert ["nowhere"] == [flaw.field for flaw in one.value.defects if isinstance(flaw, Flaw)]


def test_a_flaw_of_a_pipeline_that_two_branches_lead_to_is_told_once() -> None:
    ways = {"a": [transform(len, takes=["gone"], gives=["n"])], "b": [sub("a")]}

    with pytest.raises(altar.DeclarationError) as refused:
        pipeline("twice", [branch("kind", {"x": "a", "y": "b"})], inputs="kind: str", pipelines=ways)

    assert ["/pipelines/a/0"] == [flaw.path for flaw in refused.value.defects]


def everything() -> Pipeline:
    find, send = tool("find", {"limit": 3}, retry=3, timeout=2), tool("send", {"pages": []}, name="unsend", output="u")
    return pipeline(
        "everything",
        [
            parallel(web=find, books=tool("look_up@^1", compensate=send), concurrency=2),
            map(sub("short"), over="web", item="one", output="more"),
            branch("kind", {"x": "long", "y": "short"}, default="long", fallback=tool("guess", name="other")),
        ],
        inputs={"topic": str, "kind": {"type": "string", "default": "x"}},
        pipelines={"short": [transform(len, takes=["topic"], gives=["n"])], "long": [tool("write", output="n")]},
        timeout=60,
    )


def test_a_tree_shows_each_kind_of_step_what_it_takes_and_what_happens_when_it_fails() -> None:
    made = everything()

    assert tree_of(made, made.check()).splitlines() == [
        "takes topic: string, kind?: string",
        "├── parallel  at the same time, 2 at a time",
        "│   ├── web  tool find; takes what is not known here; with limit=3; gives web; at most 2 s; 3 attempts",
        "│   └── books  tool look_up@^1; takes what is not known here; gives books",
        "│       └── undone by: unsend  tool send; takes what is not known here; with pages=[]; gives u",
        "├── more  for each one of web, 8 at a time; gives more",
        "│   └── short  the steps of short",
        "│       └── len  transform builtins:len; takes topic; gives n",
        "├── kind  by kind",
        "│   ├── x or otherwise: long",
        "│   │   └── write  tool; takes what is not known here; gives n",
        "│   ├── y: short  (its steps are above)",
        "│   └── if it fails: other  tool guess; takes what is not known here; gives what its tool answers",
        "└── answers n?, what its last step gives; at most 60 s",
    ]


def test_a_tree_keeps_to_its_width_and_to_what_its_encoding_has() -> None:
    made = everything()

    narrow = tree_of(made, made.check(), width=40, encoding="ascii")

    assert max(len(line) for line in narrow.splitlines()) <= 40
    assert narrow.isascii()
