"""Compiling and evaluating with a language model on a grid: the same program, and each request in the record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar import ai
from altar.adm.errors import AltarError
from altar.ai import configuration
from altar.ai.lm.configure import use
from altar.cli.main import main
from altar.testing import LocalGrid, ScriptedLM
from tests.integration import lm_tool_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TRAINSET = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(4)]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    script = tmp_path_factory.mktemp("script") / "answers.json"
    script.write_text('{"": {"verdict": "splendid"}}')
    environ = {
        "ALTAR_AI_LM": f"scripted:{script}",
        "ALTAR_AI_AUTO_REGISTER_MODULES": "true",
        "ALTAR_AI_RESULT_VALIDATION": "false",
    }
    with LocalGrid([lm_tool_tools.__file__, "tests/integration/ai_settings_tools.py"], environ=environ) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture(autouse=True)
def distributed() -> Iterator[None]:
    """Requests go through the session that is given."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={"distributed_optimization": True, "cache_compiled_programs": False})
    yield
    use("")
    held.put(settled=settled, said=said)


def calls(grid: LocalGrid) -> int:
    """How many calls of the language model have an outcome in the log of the host."""
    entries = grid.entries()
    asked = {
        entry["invocation"] for entry in entries if entry["kind"] == "intent" and entry["tool"] == "language_model"
    }
    return sum(entry["kind"] == "outcome" and entry["invocation"] in asked for entry in entries)


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "BootstrapFewShotWithRandomSearch", "num_candidate_programs": 1, "num_threads": 4}],
    ids=["BootstrapFewShot", "random search"],
)
def test_a_program_compiled_over_a_grid_is_the_local_one_and_each_request_is_in_the_log(
    grid: LocalGrid, options: dict[str, Any]
) -> None:
    given = {"trainset": TRAINSET, "metric": exact, **options}
    local = ai.compilation(dspy.Predict("question -> answer"), lm=ScriptedLM(lm_tool_tools.sums).dspy(), **given)
    before = calls(grid)

    with grid.session() as session:
        spread = ai.compilation(dspy.Predict("question -> answer"), session=session, **given)

    assert ai.state_digest(local.program) == ai.state_digest(spread.program)
    assert local.requests == spread.requests == calls(grid) - before > 3


def test_an_evaluation_over_a_grid_has_the_score_of_the_local_one(grid: LocalGrid) -> None:
    program = dspy.Predict("question -> answer")
    wrong = [*TRAINSET, dspy.Example(question="2+2", answer="5").with_inputs("question")]
    before = calls(grid)

    with grid.session() as session:
        found = ai.evaluated(program, devset=wrong, metric=exact, session=session, num_threads=4)

    assert 80.0 == found.score
    assert [True, True, True, True, False] == [score for _, _, score in found.results]
    assert 5 == calls(grid) - before


def test_a_request_that_is_late_ends_the_compilation_and_gives_no_program(grid: LocalGrid) -> None:
    with grid.session() as session:
        short = session.options(timeout=1e-9)
        with pytest.raises(AltarError) as ended:
            ai.compiled(dspy.Predict("question -> answer"), trainset=TRAINSET, metric=exact, session=short)

    assert "TIMEOUT" == ended.value.code


def test_the_settings_of_a_runtime_decide_about_its_programs_and_not_those_of_who_calls(grid: LocalGrid) -> None:
    """The program is a tool, its wrong answer is no error of the model's, and its contract is kept."""
    ai.configure(auto_register_modules=False, result_validation=True)

    with grid.session() as session:
        result = session.call("judge", text="fine")

    assert result.error is not None
    assert "SCHEMA_VIOLATION" == result.error.type


def test_a_tool_in_a_process_of_its_own_has_the_settings_of_its_runtime(grid: LocalGrid) -> None:
    with grid.session() as session:
        assert ["scripted", "False"] == session.call("settings_there").unwrap()


PROGRAM = """
import dspy

program = dspy.Predict("question -> answer")


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer
"""


@pytest.mark.parametrize(("word", "asked"), [("true", 4), ("false", 0)])
def test_the_file_says_whether_the_command_line_asks_the_grid(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, asked: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    held = configuration._HELD
    held.put(settled={}, said={})
    name = f"sums_of_a_grid_{word}"
    Path(f"{name}.py").write_text(PROGRAM)
    Path("examples.jsonl").write_text("\n".join(json.dumps(each.toDict()) for each in TRAINSET))
    Path("answers.json").write_text('{"": {"answer": "1"}}')
    files = "".join(f'{key} = "{path}"\n' for key, path in grid.options.items())
    Path("altar.toml").write_text(
        f'source = "{grid.source}"\n[tls]\n{files}'
        f'[ai]\nlm = "scripted:answers.json"\ncompiled_programs = "kept"\ndistributed_optimization = {word}\n'
    )
    before = calls(grid)

    arguments = ["--trainset", "examples.jsonl", "--input", "question", "--metric", f"{name}.py:exact"]
    number = main(["dspy", "compile", f"{name}.py:program", *arguments, "-o", "state.json"])

    assert 0 == number
    assert asked == calls(grid) - before
