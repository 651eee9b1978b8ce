"""`altar dspy`: the list of what DSPy has, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.ai.lm.configure import use
from altar.cli.main import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),  # what DSPy says of its own use of itself
    pytest.mark.filterwarnings("ignore:.*is experimental:UserWarning"),
]


@pytest.fixture(autouse=True)
def no_language_model_of_another_test() -> Iterator[None]:
    """Each test begins without a language model of the process, and leaves none."""
    use("")
    yield
    use("")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    number = main(["dspy", *arguments])
    out, err = capsys.readouterr()
    return number, out, err


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    number, out, _ = told(capsys, "discover", "--json", *arguments)
    assert 0 == number
    listed: list[dict[str, Any]] = json.loads(out)
    return listed


def test_what_dspy_has_is_listed_by_kind_with_what_can_be_done_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    number, out, err = told(capsys, "discover")

    lines = out.splitlines()
    assert (0, "module (14)") == (number, lines[0])
    assert any(line.split()[:2] == ["ChainOfThought", "tool,call"] for line in lines)
    assert any(line.split()[:2] == ["load", "-"] and "unpickles" in line for line in lines)
    assert max(map(len, lines)) <= 120
    assert "classes and" in err


def test_the_list_is_chosen_by_kind_by_call_and_by_tool(capsys: pytest.CaptureFixture[str]) -> None:
    everything, modules = rows(capsys), rows(capsys, "--kind", "module")
    called, served = rows(capsys, "--callable"), rows(capsys, "--served")

    assert {"module"} == {row["kind"] for row in modules}
    assert [row for row in everything if row["callable"]] == called
    assert [row for row in modules if row["served"]] == served
    assert len(everything) > len(called) > len(served) > 10


def test_one_thing_is_shown_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    number, out, _ = told(capsys, "show", "ReAct")
    _, as_json, _ = told(capsys, "show", "ReAct", "--json")

    assert 0 == number
    assert "max_iters: int = 20)" in out.splitlines()[0]
    assert "  called by name: yes; can be a tool: yes" in out.splitlines()
    assert ["signature", "tools", "max_iters"] == [each["name"] for each in json.loads(as_json)["parameters"]]


def test_a_module_is_asked_once_with_typed_fields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "answers.json"
    script.write_text(json.dumps([{"reasoning": "Six.", "answer": 6}]))
    (tmp_path / "altar.toml").write_text(f'[ai]\nlm = "scripted:{script}"\n')
    monkeypatch.chdir(tmp_path)
    asked = ("call", "ChainOfThought", "number: int, unit -> answer: int", "number=3", "unit=m")

    by_setting = told(capsys, *asked)
    by_option = told(capsys, *asked, "--lm", f"scripted:{script}", "--json")
    refused = told(capsys, *asked[:3], "number=three", "unit=m")

    assert (0, {"reasoning": "Six.", "answer": 6}) == (by_setting[0], json.loads(by_setting[1]))
    assert 1 == json.loads(by_option[1])["usage"]["lm_calls"]
    assert "`number` must be an integer" in refused[2]


def test_an_agent_is_asked_once_with_the_tools_of_a_module(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {"next_thought": "", "next_tool_name": "cli_dspy_double", "next_tool_args": {"number": 4}}
    end = {"next_thought": "", "next_tool_name": "finish", "next_tool_args": {}}
    (tmp_path / "answers.json").write_text(json.dumps([step, end, {"reasoning": "r", "answer": "8"}]))
    (tmp_path / "doubling.py").write_text(
        "import altar\n\n@altar.tool\ndef cli_dspy_double(number: int) -> int:\n"
        '    """Double a number."""\n    return 2 * number\n'
    )
    monkeypatch.chdir(tmp_path)

    number, out, err = told(
        capsys,
        *("call", "ReAct", "question -> answer", "question=twice four?"),
        *("--tools", "doubling.py", "--lm", "scripted:answers.json"),
    )

    assert (0, {"answer": "8"}) == (number, json.loads(out)), err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "ChainOfTought"), "DSPy has no public 'ChainOfTought' (UNKNOWN_RESOURCE)\n\nhint: did you mean"),
        (("call", "ChainOfTought", "q -> a"), "DSPy has no public 'ChainOfTought' (UNKNOWN_RESOURCE)\n\nhint: did"),
        (("call", "load", "x"), "'load' of DSPy is not called by name"),
        (("call", "Predict", "number=3"), "The signature 'number=3'"),
        (
            ("call", "Predict", "q -> a", "q=1"),
            "There is no language model to ask (ENVIRONMENT_ERROR)\n\nhint: name one: --lm",
        ),
        (("discover", "--kind", "modul"), "nothing of the kind 'modul' (MALFORMED_REQUEST)\n\nhint: did you mean"),
    ],
)
def test_a_wrong_use_is_told_in_words_with_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    number, out, err = told(capsys, *arguments)

    assert (2, "") == (number, out)
    assert words in err
