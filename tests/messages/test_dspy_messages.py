"""What a user is told whose DSPy program cannot be a tool, or whose state is of another DSPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

import altar
from altar.ai import bound, load_state, save_state, tool_from_module
from altar.testing import ScriptedLM
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error, of_result


class Two(dspy.Module):
    def forward(self, question: str) -> None:
        """Answer nothing."""


def of_signature(signature: Any) -> Callable[[], object]:
    return lambda: tool_from_module(Two(), signature=signature, register=False)


WRONG: dict[str, Callable[[], object]] = {
    "dspy_unknown_type": of_signature("question: Paper -> answer"),
    "dspy_reserved_field": of_signature("question, lm -> answer"),
    "dspy_reserved_output": of_signature("question -> copy"),
    "dspy_no_output": of_signature("question ->"),
    "dspy_tools_in_a_field": of_signature(
        {"tools": (list[dspy.Tool], dspy.InputField()), "answer": (str, dspy.OutputField())}
    ),
    "dspy_type_without_a_form": of_signature(
        {"question": (str, dspy.InputField()), "answer": (dspy.Prediction, dspy.OutputField())}
    ),
    "dspy_no_signature": lambda: tool_from_module(Two()),
    "dspy_no_module": lambda: tool_from_module(dspy.Predict),
    "dspy_unknown_variable_target": lambda: bound("lm.api_key"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings('ignore:Field name ".*" in "StringSignature" shadows:UserWarning')
def test_a_program_that_cannot_be_a_tool(told: Told, case: str) -> None:
    with pytest.raises(altar.AltarError) as refused:
        WRONG[case]()
    told(case, of_error(refused.value))


def test_a_state_of_another_version_of_dspy(told: Told, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    save_state(dspy.Predict("question -> answer"), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dspy": "2.6.27"}))
    with pytest.raises(altar.AltarError) as refused:
        load_state(dspy.Predict("question -> answer"), file)
    told("dspy_state_of_another_version", of_error(refused.value).replace(dspy.__version__[:3], "3.4"))


@pytest.mark.usefixtures("altar_registry")
def test_a_variable_beyond_its_range(told: Told) -> None:
    tool = tool_from_module(
        dspy.Predict("question -> answer"),
        lm=ScriptedLM({"": {"answer": "yes"}}).dspy(),
        variables={"warmth": bound("lm.temperature", maximum=1)},
    )
    with altar.session([tool], source="later:") as session:
        session.variables.declare("warmth", float, value=3)
        told("dspy_variable_beyond_its_range", of_result(session.call(tool, question="?")))
