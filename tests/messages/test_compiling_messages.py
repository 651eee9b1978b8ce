"""What a user is answered who configures `ai` wrongly, or compiles with what is not there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest

import altar
from altar import ai
from altar.ai import configuration
from altar.ai.lm.configure import use
from altar.testing import ScriptedLM
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


@pytest.fixture(autouse=True)
def nothing_is_configured() -> Iterator[None]:
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={"default_optimizer": "BootstrapFewShots"}, said={})
    use("")
    yield
    held.put(settled=settled, said=said)


def compiled(**options: Any) -> object:
    given = {"trainset": [], "lm": ScriptedLM([]).dspy(), "optimizer": "BootstrapFewShot", **options}
    return ai.compiled(dspy.Predict("question -> answer"), **given)


WRONG: dict[str, Callable[[], object]] = {
    "ai_setting_that_is_none": lambda: ai.configure(pipeline_timout=3),
    "ai_setting_of_a_framework_that_is_none": lambda: ai.configure(default_framework="langchain"),
    "ai_setting_of_no_time": lambda: ai.configure(pipeline_timeout=0),
    "compiling_what_is_no_program": lambda: ai.compiled("question -> answer", trainset=[]),
    "compiling_with_an_optimizer_that_is_none": lambda: compiled(optimizer="MIPROv3"),
    "compiling_with_a_setting_that_names_none": lambda: compiled(optimizer=None),
    "compiling_with_an_optimizer_of_programs": lambda: compiled(optimizer="Ensemble"),
    "compiling_with_an_option_that_is_none": lambda: compiled(max_bootstraped_demos=1),
    "compiling_without_a_metric": lambda: compiled(optimizer="SIMBA"),
    "compiling_without_a_language_model": lambda: compiled(lm=None),
    "compiling_by_COPRO_without_a_metric": lambda: compiled(optimizer="COPRO"),
    "compiling_by_GEPA_without_a_budget": lambda: compiled(optimizer="GEPA", metric=lambda *_: 1),
    "compiling_by_GEPA_with_a_metric_that_cannot_tell": lambda: compiled(
        optimizer="GEPA", metric=lambda _example, _prediction: 1, auto="light"
    ),
    "compiling_by_SIMBA_with_too_few_examples": lambda: compiled(optimizer="SIMBA", metric=lambda *_: 1),
    "compiling_by_MIPROv2_with_two_budgets": lambda: compiled(
        optimizer="MIPROv2", metric=lambda *_: 1, num_trials=3, trainset=[dspy.Example(question="1")]
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_or_compilation(told: Told, name: str) -> None:
    with pytest.raises(altar.AltarError) as refused:
        WRONG[name]()

    told(name, of_error(refused.value))


def test_a_model_that_would_be_asked_past_the_session(told: Told, altar_registry: object) -> None:
    ai.configure(distributed_optimization=True)
    lm = ScriptedLM([])

    with altar.session([ai.lm_tool(lm)], source="later:") as session, pytest.raises(altar.AltarError) as refused:
        compiled(session=session, optimizer="COPRO", metric=lambda *_: 1, prompt_model=lm.dspy())

    told("compiling_past_the_session", of_error(refused.value))


def test_an_optimizer_whose_package_is_missing(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(altar.AltarError) as refused:
        compiled(optimizer="MIPROv2", metric=lambda *_: 1)

    told("compiling_without_a_package", of_error(refused.value))


def test_a_tool_that_is_no_language_model(told: Told, altar_registry: object) -> None:
    @altar.tool
    def echo(text: str) -> str:
        """Say it again."""
        return text

    with altar.session([echo], source="later:") as session, pytest.raises(altar.AltarError) as refused:
        ai.session_lm(session, "echo")

    told("lm_tool_that_is_none", of_error(refused.value))
