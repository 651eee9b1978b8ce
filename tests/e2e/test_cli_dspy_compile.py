"""`altar dspy compile`: a program of a module and a file of examples become a state, once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar.ai import configuration, load_state
from altar.ai.lm.configure import use
from altar.cli.main import main
from tests.e2e.command import COMMAND

MODULE = """
import dspy

print("a module may print")
program = dspy.Predict("question -> answer")


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer


def exact_in_words(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return dspy.Prediction(score=float(gold.answer == pred.answer), feedback=f"It is {gold.answer}.")
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


FIELDS = ("observations", "summary", "program_description", "module_description", "new_instruction")
SCRIPT = {
    "[[ ## proposed_instruction ## ]]": {"proposed_instruction": "Add.", "proposed_prefix_for_output_field": "Sum:"},
    "[[ ## module_advice ## ]]": {"discussion": "It guesses.", "module_advice": {"self": "Add."}},
    **{f"[[ ## {name} ## ]]": {name: "Add."} for name in FIELDS},
    **{f"{number}+1": {"answer": str(number + 1)} for number in range(4)},
    "": {"answer": "0"},
}


@pytest.mark.parametrize(
    ("name", "metric", "options"),
    [
        ("COPRO", "exact", ["breadth=2", "depth=1"]),
        ("GEPA", "exact_in_words", ["max_metric_calls=20", "reflection_minibatch_size=2"]),
        ("MIPROv2", "exact", ["auto=null", "num_candidates=2", "num_trials=1", "minibatch=false"]),
        ("SIMBA", "exact", ["bsize=2", "num_candidates=2", "max_steps=1"]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*multivariate.*experimental:UserWarning")
def test_each_optimizer_that_asks_for_instructions_is_reached_with_its_options(
    name: str, metric: str, options: list[str], capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "answers.json").write_text(json.dumps(SCRIPT))
    rows = [{"question": f"{number}+1", "answer": str(number + 1)} for number in range(6)]
    (here / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    more = [word for option in options for word in ("--option", option)]

    numbers, outs = [], []
    for _ in range(2):
        number, out, _ = compiled(capsys, "--optimizer", name, "--metric", f"sums_to_compile.py:{metric}", *more)
        numbers.append(number)
        outs.append(json.loads(out))

    program = dspy.Predict("question -> answer")
    assert [0, 0] == numbers
    assert (name, False, True) == (outs[0]["optimizer"], outs[0]["cached"], outs[1]["cached"])
    assert outs[0]["requests"] > 5
    assert outs[1]["state_digest"] == load_state(program, "state.json") == outs[0]["state_digest"]


def test_the_file_says_which_optimizer_it_is_and_whether_anything_is_kept_where(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    said = 'lm = "scripted:answers.json"\ncompiled_programs = "kept"\ndefault_optimizer = "BootstrapFewShot"\n'

    found = []
    for more in ("cache_compiled_programs = false\n", "", ""):
        (here / "altar.toml").write_text(f"[ai]\n{said}{more}")
        _, out, _ = compiled(capsys, *METRIC)
        found.append((json.loads(out)["cached"], (here / "kept").exists()))
    (here / "altar.toml").write_text(f"[ai]\n{said.replace('Bootstrap', 'Labeled')}")
    _, out, _ = compiled(capsys, *METRIC)

    assert [(False, False), (False, True), (True, True)] == found
    assert ("LabeledFewShot", 0) == (json.loads(out)["optimizer"], json.loads(out)["requests"])


def test_a_person_at_a_terminal_sees_how_many_requests_were_answered(here: Path) -> None:
    """A metric that waits for a key lets the bar be looked at while it stands there."""
    waits = "\n\ndef waits(example, prediction, trace=None):\n    input()\n    return True\n"
    (here / "sums_to_compile.py").write_text(MODULE + waits)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ALTAR_", "NO_COLOR"))}
    arguments = ["--trainset", "examples.jsonl", "--input", "question", "--metric", "sums_to_compile.py:waits"]
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [COMMAND, "dspy", "compile", "sums_to_compile.py:program", *arguments, "-o", "state.json"],
        env=inherited | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    with running, os.fdopen(ours, "rb", buffering=0) as screen:
        assert running.stdin is not None
        seen = part = screen.read(4096) or b""
        while part:
            if b"1/?" in seen and not running.stdin.closed:
                running.stdin.write(b"\n\n")
                running.stdin.close()
            try:
                part = screen.read(4096) or b""
            except OSError:  # so ends a terminal whose last program has ended
                part = b""
            seen += part

    assert b"compiling" in seen
    assert b"1/?" in seen
    assert 0 == running.returncode


def test_what_an_optimizer_lacks_is_said_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    number, out, _ = compiled(capsys, "--optimizer", "GEPA", *METRIC, "--option", "auto=light")

    assert 0 != number
    assert "must accept five arguments" in out
    assert "(gold, pred, trace, pred_name, pred_trace)" in out


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
