"""Each optimizer of DSPy that asks a model for instructions: what it needs, what it makes, and that this is kept."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

import altar
from altar import ai
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.ai import configuration
from altar.testing import ScriptedLM
from tests.unit.ai.optimizer_scene import BUDGETS, TRAINSET, exact, exact_in_words, pupil

pytestmark = [
    pytest.mark.usefixtures("altar_registry"),
    pytest.mark.filterwarnings("ignore:.*multivariate.*experimental:UserWarning"),  # optuna, as MIPROv2 uses it
]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path) -> Iterator[Path]:
    """The directory of compiled programs; what was configured is put back."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={"compiled_programs": tmp_path})
    yield tmp_path
    held.put(settled=settled, said=said)


def compilation(name: str | None, lm: ScriptedLM | None = None, **options: Any) -> Any:
    """A compilation with the budget of the scene, on a program that has learnt nothing."""
    metric = exact_in_words if name == "GEPA" else exact
    given = {"trainset": TRAINSET, "metric": metric, "optimizer": name, **BUDGETS.get(name or "", {}), **options}
    if lm is not None:
        given["lm"] = lm.dspy(temperature=0.0)
    return ai.compilation(dspy.Predict("question -> answer"), **given)


def score(program: Any) -> float:
    return float(ai.evaluated(program, devset=TRAINSET, metric=exact, lm=ScriptedLM(pupil).dspy(temperature=0.0)).score)


PAGE = (Path(altar.__file__).parents[2] / "docs/how-to/configure-ai.md").read_text()
REQUESTS = {name: int(number) for name, number in re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", PAGE, re.MULTILINE)}
"""What the page says that each asks here."""


@pytest.mark.parametrize("name", BUDGETS)
def test_an_optimizer_finds_what_helps_is_told_as_it_works_and_is_not_asked_twice(name: str, kept: Path) -> None:
    lm = ScriptedLM(pupil)
    told: list[int] = []

    made = compilation(name, lm, on_progress=lambda done, _: told.append(done))
    asked = len(lm.requests)
    again = compilation(name, lm)

    print(name, asked)
    assert score(dspy.Predict("question -> answer")) < score(made.program) == 100.0
    assert asked == told[-1] == made.requests == REQUESTS[name]
    assert told == sorted(told)
    assert (False, True, "") == (made.is_cached, again.is_cached, made.not_kept)
    assert asked == len(lm.requests)
    assert [f"{made.key}.json"] == [file.name for file in kept.iterdir()]
    assert ai.state_digest(made.program) == ai.state_digest(again.program)


# --------------------------------------------------------------------------------------- all of it in one session


@pytest.mark.parametrize("name", BUDGETS)
def test_whatever_an_optimizer_asks_is_a_call_of_the_session_also_what_it_asks_for_itself(name: str) -> None:
    """Instructions are proposed by requests too, which a budget must count."""
    here = compilation(name, ScriptedLM(pupil), cache=False)
    lm = ScriptedLM(pupil)
    ai.configure(distributed_optimization=True)

    with altar.session([ai.lm_tool(lm)], source="later:") as session:
        there = compilation(name, session=session, cache=False)

    assert here.requests == there.requests == len(lm.requests)
    assert 100.0 == score(there.program)


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_that_is_spent_in_the_middle_ends_any_optimizer_with_that_error(name: str, kept: Path) -> None:
    asked: list[int] = []

    def until_spent(request: Any) -> Any:
        asked.append(1)
        if len(asked) > 10:
            raise AltarError("BUDGET_EXCEEDED", "All is spent", ran="no")
        return pupil(request)

    ai.configure(distributed_optimization=True)
    with (
        altar.session([ai.lm_tool(ScriptedLM(until_spent))], source="later:") as session,
        pytest.raises(AltarError, match="All is spent") as ended,
    ):
        compilation(name, session=session)

    most_at_once = 2
    assert "BUDGET_EXCEEDED" == ended.value.code
    assert 10 < len(asked) <= 10 + most_at_once
    assert [] == list(kept.iterdir())


def test_an_option_that_is_a_model_names_another_tool_of_the_session() -> None:
    pupils, teacher = ScriptedLM(pupil), ScriptedLM(pupil)
    ai.configure(distributed_optimization=True)

    with altar.session([ai.lm_tool(pupils), ai.lm_tool(teacher, name="teacher")], source="later:") as session:
        by_name = compilation("GEPA", session=session, reflection_lm="teacher", cache=False)
        asked = len(teacher.requests)
        made = compilation("GEPA", session=session, reflection_lm=ai.session_lm(session, "teacher"), cache=False)

    assert 0 < asked == len(teacher.requests) - asked
    assert ai.state_digest(by_name.program) == ai.state_digest(made.program)


def with_own_model() -> Any:
    program = dspy.ChainOfThought("question -> answer")
    program.set_lm(ScriptedLM(pupil).dspy())
    return program


PAST_THE_SESSION: dict[str, dict[str, Any]] = {
    "option 'prompt_model'": {"optimizer": "COPRO", "prompt_model": ScriptedLM(pupil).dspy()},
    "option 'teacher_settings'": {"teacher_settings": {"lm": ScriptedLM(pupil).dspy()}},
    "option 'reflection_lm'": {
        "optimizer": dspy.GEPA(exact_in_words, max_metric_calls=9, reflection_lm=ScriptedLM(pupil).dspy())
    },
    "predictor 'predict'": {"teacher": with_own_model()},
}


@pytest.mark.parametrize("what", PAST_THE_SESSION)
def test_a_model_that_would_be_asked_past_the_session_is_refused_before_anybody_is_asked(what: str) -> None:
    lm = ScriptedLM(pupil)
    ai.configure(distributed_optimization=True)

    with altar.session([ai.lm_tool(lm)], source="later:") as session, pytest.raises(ValidationError) as refused:
        compilation(None, session=session, **PAST_THE_SESSION[what])

    assert what in refused.value.message
    assert "past the session" in refused.value.message
    assert [] == lm.requests


def test_a_program_with_its_own_model_is_not_evaluated_past_the_session_either() -> None:
    ai.configure(distributed_optimization=True)

    with (
        altar.session([ai.lm_tool(ScriptedLM(pupil))], source="later:") as session,
        pytest.raises(ValidationError, match="past the session"),
    ):
        ai.evaluated(with_own_model(), devset=TRAINSET, metric=exact, session=session)


def test_a_refusal_through_a_model_of_a_session_ends_a_compilation_that_is_not_distributed_too() -> None:
    def denies(request: Any) -> Any:
        raise AltarError("PERMISSION_DENIED", "You may not ask today", ran="no")

    with altar.session([ai.lm_tool(ScriptedLM(denies))], source="later:") as session:
        lm = ai.session_lm(session)
        with pytest.raises(AltarError, match="not ask today"):
            ai.compilation(dspy.Predict("question -> answer"), trainset=TRAINSET, metric=exact, lm=lm)


# ------------------------------------------------------------------------------------------- what each of them needs

LACKING: dict[str, tuple[dict[str, Any], str, str]] = {
    "COPRO without a metric": ({"optimizer": "COPRO", "metric": None}, "'COPRO' needs 'metric'", "give it"),
    "COPRO of one candidate": ({"optimizer": "COPRO", "breadth": 1}, "Breadth must be greater than 1", "breadth=2"),
    "GEPA without a budget": ({"optimizer": "GEPA", "metric": exact_in_words}, "Exactly one of", "auto='light'"),
    "GEPA with two budgets": (
        {"optimizer": "GEPA", "metric": exact_in_words, "auto": "light", "max_full_evals": 1},
        "Exactly one of",
        "auto='light'",
    ),
    "GEPA with a metric that cannot tell": (
        {"optimizer": "GEPA", "auto": "light"},
        "must accept five arguments",
        "(gold, pred, trace, pred_name, pred_trace)",
    ),
    "MIPROv2 with a budget twice": (
        {"optimizer": "MIPROv2", "num_trials": 3},
        "num_candidates and num_trials cannot be set",
        "auto=None",
    ),
    "MIPROv2 of no such size": ({"optimizer": "MIPROv2", "auto": "lite"}, "Invalid value for auto", "'light'"),
    "MIPROv2 with too few examples": (
        {"optimizer": "MIPROv2", "auto": None, "num_candidates": 2, "num_trials": 2},
        "Minibatch size cannot exceed",
        "minibatch=False",
    ),
    "SIMBA with too few examples": ({"optimizer": "SIMBA"}, "Trainset too small: 6 < 32", "bsize"),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_an_optimizer_lacks_is_said_in_its_words_with_a_hint_and_nobody_was_asked(what: str) -> None:
    options, words, hint = LACKING[what]
    lm = ScriptedLM(pupil)

    with pytest.raises(ValidationError) as refused:
        compilation(None, lm, **options)

    assert "INVALID_TOOL_ARGS" == refused.value.code
    assert words in refused.value.message
    assert hint in str(refused.value.hint)
    assert [] == lm.requests


def test_an_error_of_a_metric_or_a_program_is_not_taken_for_one_of_the_optimizer() -> None:
    def broken(example: Any, prediction: Any, trace: Any = None) -> bool:
        raise ValueError("This metric is broken")

    with pytest.raises(ValueError, match="This metric is broken"):
        compilation(None, ScriptedLM(pupil), metric=broken, max_errors=0)


@pytest.mark.parametrize(("name", "package"), [("MIPROv2", "optuna"), ("SIMBA", "numpy")])
def test_a_package_that_is_missing_is_said_with_its_extra_before_anybody_is_asked(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = ScriptedLM(pupil)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ConfigurationError) as refused:
        compilation(name, lm)

    assert f"The optimizer {name!r} needs the extra 'optimizers'" in refused.value.message
    assert 'pip install "altar-ai[optimizers]"' == refused.value.hint
    assert [] == lm.requests


@pytest.mark.parametrize("name", ["GEPA", "MIPROv2"])
def test_any_of_them_may_be_the_default_and_is_given_what_it_needs(name: str) -> None:
    ai.configure(default_optimizer=name)
    metric = exact_in_words if name == "GEPA" else exact

    made = compilation(None, ScriptedLM(pupil), metric=metric, **BUDGETS[name])

    assert name == made.optimizer
    assert 100.0 == score(made.program)
