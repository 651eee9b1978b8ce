"""Every public type of module that DSPy has, with a script for its language model and the answer that follows.

It is imported by tests here, and by the runtime of a grid, so that both serve the same tools.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import dspy

from altar.ai import sandboxed, tool_from_module
from altar.ai.lm.chat import ToolUse
from altar.testing import ScriptedLM

HERE = sandboxed(dspy.LocalInterpreter)
"""It is none, but the code in it is this test's own, and a host in STRICT takes nothing else."""

THOUGHT = {"reasoning": "Two and two.", "answer": "4"}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fits(_inputs: dict[str, Any], prediction: Any) -> float:
    return 1.0 if prediction.answer == "4" else 0.0


def predict() -> Any:
    return dspy.Predict("question -> answer")


def chain_of_thought() -> Any:
    return dspy.ChainOfThought("question -> answer")


def react() -> Any:
    return dspy.ReAct("question -> answer", tools=[add])


def react_v2() -> Any:
    return dspy.ReActV2("question -> answer", tools=[add])


def comparison() -> Any:
    return dspy.MultiChainComparison("question -> answer", M=2)


def best_of_n() -> Any:
    return dspy.BestOfN(dspy.Predict("question -> answer"), N=3, reward_fn=fits, threshold=1.0)


def refine() -> Any:
    return dspy.Refine(dspy.Predict("question -> answer"), N=3, reward_fn=fits, threshold=1.0)


def rlm() -> Any:
    return dspy.RLM("question -> answer", tools=[add], interpreter_factory=HERE)


def flex() -> Any:
    return dspy.Flex("question -> answer", interpreter_factory=HERE)


def program_of_thought() -> Any:
    return dspy.ProgramOfThought("question -> answer", interpreter_factory=HERE)


def code_act() -> Any:
    return dspy.CodeAct("question -> answer", tools=[add], interpreter_factory=HERE)


STEP = {"next_thought": "Add.", "next_tool_name": "add", "next_tool_args": {"a": 2, "b": 2}}
END = {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}}

KINDS: dict[str, tuple[Callable[[], Any], list[Any], dict[str, Any]]] = {
    "Predict": (predict, [{"answer": "4"}], {"answer": "4"}),
    "ChainOfThought": (chain_of_thought, [THOUGHT], THOUGHT),
    "ReAct": (react, [STEP, END, THOUGHT], {"answer": "4"}),
    "ReActV2": (react_v2, [ToolUse("add", {"a": 2, "b": 2}), ToolUse("submit", {"answer": "4"})], {"answer": "4"}),
    "MultiChainComparison": (
        comparison,
        [THOUGHT, {"reasoning": "A guess.", "answer": "5"}, {"rationale": "The first is right.", "answer": "4"}],
        {"reasoning": "The first is right.", "answer": "4"},
    ),
    "BestOfN": (best_of_n, [{"answer": "5"}, {"answer": "4"}], {"answer": "4"}),
    "Refine": (
        refine,
        [{"answer": "5"}, {"discussion": "Wrong.", "advice": {"self": "Add."}}, {"answer": "4"}],
        {"answer": "4"},
    ),
    "RLM": (rlm, [{"reasoning": "Add.", "code": "```python\nSUBMIT(answer=str(add(a=2, b=2)))\n```"}], {"answer": "4"}),
    "Flex": (flex, [{"answer": "4"}], {"answer": "4"}),
}
"""The type, how one is made, what its language model says, and what the tool answers to a question."""

if hasattr(dspy, "ProgramOfThought"):  # until DSPy 3.5
    KINDS["ProgramOfThought"] = (
        program_of_thought,
        [{"reasoning": "Add.", "generated_code": "```python\nSUBMIT({'answer': 2 + 2})\n```"}, THOUGHT],
        {"answer": "4"},
    )
if hasattr(dspy, "CodeAct"):
    KINDS["CodeAct"] = (
        code_act,
        [{"generated_code": "```python\nprint(add(2, 2))\n```", "finished": True}, THOUGHT],
        {"answer": "4"},
    )


def tool_of(kind: str) -> Any:
    """The tool of a type of module, whose language model begins its script anew after each call."""
    make, script, _ = KINDS[kind]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(experimental|deprecated).*")  # what DSPy says of its own
        module = make()
    return tool_from_module(module, name=f"kind_{kind.lower()}", lm=ScriptedLM(script, repeat=True).dspy())


TOOLS = [tool_of(kind) for kind in KINDS]
