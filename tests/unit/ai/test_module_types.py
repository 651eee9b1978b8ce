"""Every public type of module that DSPy has, as a tool; and those that cannot be one, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest

import altar
from altar.adm.errors import AltarError, DeclarationError
from altar.ai import discover, sandboxed, tool_from_module
from altar.ai.servable import can_be_awaited, runs_code, servable
from altar.testing import ScriptedLM
from tests.unit.ai import dspy_kinds
from tests.unit.ai.dspy_kinds import KINDS, TOOLS

assert dspy_kinds.TOOLS is TOOLS  # a module of tests sees the tools of the modules it names

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),  # what DSPy says of its own use of itself
    pytest.mark.filterwarnings("ignore:.*is experimental:UserWarning"),
]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with altar.session(TOOLS, source="later:") as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_answers_with_the_fields_of_its_signature_and_nothing_else(kind: str, session: Any) -> None:
    result = session.call(f"kind_{kind.lower()}", question="What is two and two?")

    assert KINDS[kind][2] == result.unwrap()
    assert result.usage["lm_calls"] == len(KINDS[kind][1])


def test_every_public_module_is_served_here_or_the_list_says_why_not() -> None:
    listed = discover(kind="module")

    assert set(KINDS) == {row.name for row in listed if row.served}
    assert {"Module", "evaluate.SemanticF1", "evaluate.CompleteAndGrounded"} == {
        row.name for row in listed if not row.served
    }
    assert all(row.note for row in listed)


def test_a_comparison_samples_its_chains_apart_from_each_other(session: Any) -> None:
    module = servable(dspy.MultiChainComparison("question, hint -> answer: int", M=3, temperature=0.4))

    assert ["question", "hint"] == list(module.signature.input_fields)
    assert ["reasoning", "answer"] == list(module.signature.output_fields)
    assert int is module.signature.output_fields["answer"].annotation
    assert [{"rollout_id": index, "temperature": 0.4} for index in range(3)] == [
        module._config(index) for index in range(3)
    ]


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (dspy.Predict, "it is a class"),
        (dspy.Module(), "answers nothing itself"),
        (dspy.evaluate.SemanticF1(), "it measures an answer"),
        (dspy.Parallel(), "make a batch of calls"),
        (dspy.Evaluate(devset=[]), "it measures a program"),
        (dspy.LabeledFewShot(), "it is no dspy.Module"),
        (len, "it is no dspy.Module"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(thing: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as refused:
        servable(thing)

    assert "INVALID_DECLARATION" == refused.value.code
    assert refused.value.hint


def test_a_program_that_has_no_forward_is_refused() -> None:
    class Empty(dspy.Module):
        pass

    with pytest.raises(DeclarationError, match=r"'Empty' cannot be a tool: it has no forward\(\)"):
        servable(Empty())


# ------------------------------------------------------------------------------------------------ generated code


SHOWN = "question -> reasoning, answer"


class Inside(dspy.Module):
    def __init__(self, module: Any) -> None:
        super().__init__()
        self.steps = {"first": [module]}

    def forward(self, question: str) -> Any:
        return self.steps["first"][0](question=question)


def rlm(**options: Any) -> Any:
    return dspy.RLM("question -> answer", **options)


def test_code_runs_in_a_sandbox_only_where_that_is_known() -> None:
    opened = lambda: dspy.PythonInterpreter(enable_network_access=["example.org"])  # noqa: E731

    assert None is runs_code(dspy.Predict("question -> answer"))
    assert "sandboxed" == runs_code(rlm())
    assert "sandboxed" == runs_code(rlm(interpreter_factory=sandboxed(opened)))
    assert "unsandboxed" == runs_code(rlm(interpreter_factory=opened))
    assert "unsandboxed" == runs_code(rlm(interpreter_factory=dspy.LocalInterpreter))


def test_code_is_found_wherever_it_is_in_a_program() -> None:
    assert "sandboxed" == runs_code(Inside(rlm()))
    assert "unsandboxed" == runs_code(Inside(rlm(interpreter_factory=dspy.LocalInterpreter)))
    assert "unsandboxed" == runs_code(
        dspy.BestOfN(Inside(rlm(interpreter_factory=dspy.LocalInterpreter)), 2, lambda *_: 1.0, 1.0)
    )


def test_an_interpreter_of_the_whole_process_counts_where_a_module_names_none() -> None:
    with dspy.context(interpreter_factory=dspy.LocalInterpreter):
        assert "unsandboxed" == runs_code(rlm())


def test_a_subclass_of_what_runs_code_runs_code_too() -> None:
    class Mine(dspy.RLM):
        pass

    assert "unsandboxed" == runs_code(Mine("question -> answer", interpreter_factory=dspy.LocalInterpreter))


def test_the_contract_says_where_code_runs() -> None:
    tool = tool_from_module(rlm(), name="kind_contract_of_code", register=False)

    assert "sandboxed" == tool.declaration.metadata["runs_code"]
    assert "runs_code" not in TOOLS[0].declaration.metadata


# --------------------------------------------------------------------------------------------------- ways to run


def test_a_class_that_only_inherits_a_way_to_be_awaited_is_not_awaited() -> None:
    class Changed(dspy.ChainOfThought):
        def forward(self, **inputs: Any) -> Any:
            return dspy.Prediction(reasoning="", answer="mine")

    assert can_be_awaited(dspy.ChainOfThought("question -> answer"))
    assert not can_be_awaited(Changed("question -> answer"))
    assert not can_be_awaited(Inside(dspy.Predict("question -> answer")))
    tool = tool_from_module(
        Changed("question -> answer"), name="kind_changed", signature=SHOWN, lm=ScriptedLM([]).dspy()
    )
    with altar.session([tool], source="later:") as session:
        assert {"reasoning": "", "answer": "mine"} == session.call(tool, question="q").unwrap()


def test_a_tool_of_a_module_that_cannot_be_served_is_refused_as_such() -> None:
    with pytest.raises(AltarError, match="cannot be a tool"):
        tool_from_module(dspy.Module())
