"""`altar dspy compile`: a program of a module and a file of examples become a state, once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar.ai import configuration, load_state
from altar.ai.lm.configure import use
from altar.cli.main import main

MODULE = """
import dspy

print("a module may print")
program = dspy.Predict("question -> answer")


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer
"""
EXAMPLES = '{"question": "1+1", "answer": "2"}\n\n{"question": "2+2", "answer": "4"}\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a program, examples and a script, and what the settings say put back."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("ALTAR_")]:
        monkeypatch.delenv(name)
    (tmp_path / "sums_to_compile.py").write_text(MODULE)
    (tmp_path / "examples.jsonl").write_text(EXAMPLES)
    (tmp_path / "answers.json").write_text('{"": {"answer": "2"}}')
    (tmp_path / "altar.toml").write_text('[ai]\nlm = "scripted:answers.json"\n')
    yield tmp_path
    use("")
    sys.modules.pop("sums_to_compile", None)
    held.put(settled=settled, said=said)


def compiled(capsys: pytest.CaptureFixture[str], *more: str, program: str = "program") -> tuple[int, str, str]:
    arguments = [f"sums_to_compile.py:{program}", "--trainset", "examples.jsonl", "--input", "question"]
    number = main(["dspy", "compile", *arguments, "-o", "state.json", "--json", *more])
    out, err = capsys.readouterr()
    return number, out, err


METRIC = ("--metric", "sums_to_compile.py:exact")


def test_the_state_is_written_and_the_second_time_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for _ in range(2):
        number, out, _ = compiled(capsys, *METRIC)
        found.append(json.loads(out))
        assert 0 == number

    program = dspy.Predict("question -> answer")
    digest = load_state(program, "state.json")
    first, second = found
    assert {"optimizer": "BootstrapFewShot", "cached": False, "requests": 2} == {
        name: first[name] for name in ("optimizer", "cached", "requests")
    }
    assert (True, 0) == (second["cached"], second["requests"])
    assert digest == first["state_digest"] == second["state_digest"]
    assert ["1+1"] == [demo["question"] for demo in program.demos if demo.get("augmented")]


def test_again_compiles_what_was_compiled_and_an_option_is_that_of_the_optimizer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    compiled(capsys, *METRIC)

    _, again, _ = compiled(capsys, *METRIC, "--again")
    _, other, _ = compiled(capsys, *METRIC, "--option", "max_bootstrapped_demos=1")

    assert [2, 1] == [json.loads(out)["requests"] for out in (again, other)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"program": "progam"}, "has no 'progam'"),
        ({"more": ("--metric", "exact")}, "does not say where the metric is"),
        ({"more": ("--optimizer", "MIPROv3")}, "DSPy has no optimizer 'MIPROv3'"),
        ({"more": ("--option", "session=1")}, "'session=1' is no option"),
        ({"more": ("--option", "max_bootstraped_demos=1")}, "takes no option 'max_bootstraped_demos'"),
        ({"more": ("--input", "text")}, "Line 1 of 'examples.jsonl' is no example: it has no field 'text'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_compiled_is_said_and_nothing_is_written(
    more: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    number, out, err = compiled(capsys, *more.get("more", ()), program=more.get("program", "program"))

    assert 0 != number
    assert said in out + err
    assert not (here / "state.json").exists()


@pytest.mark.parametrize("text", ["", "[1]\n", "{\n", '{"answer": "2"}\n'])
def test_a_file_that_holds_no_examples_is_refused_with_the_line(
    text: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "examples.jsonl").write_text(text)

    number, out, err = compiled(capsys)

    assert 0 != number
    assert "Line 1 of 'examples.jsonl' is no example" in out + err
