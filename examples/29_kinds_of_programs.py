# pip install 'altar-ai[dspy]'
"""One signature asked in four ways: each is a tool with the same parameter, and a transform settles what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

import altar
import altar.ai
from altar.ai import tool_from_module
from altar.testing import ScriptedLM


class Sums(dspy.Signature):
    """Work out a sum that is told in words."""

    question: str = dspy.InputField(desc="The sum, in words")
    answer: str = dspy.OutputField(desc="What it comes to")


def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


def digits_only(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same answer, however a model has dressed it up."""
    return {**answer, "answer": "".join(filter(str.isdigit, answer["answer"]))}


STEPS = {"reasoning": "Two and three.", "answer": "It is 5."}
programs: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "at_once": (dspy.Predict(Sums), [{"answer": "5!"}]),
    "by_steps": (dspy.ChainOfThought(Sums), [STEPS]),
    "by_tries": (
        dspy.BestOfN(dspy.Predict(Sums), N=3, reward_fn=lambda _, made: float("5" in made.answer), threshold=1.0),
        [{"answer": "four"}, {"answer": "(5)"}],
    ),
    "with_a_tool": (
        altar.ai.react(Sums, [add]),
        [
            {"next_thought": "Add.", "next_tool_name": "add", "next_tool_args": {"left": 2, "right": 3}},
            {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
            STEPS,
        ],
    ),
}
tools = [
    tool_from_module(program, name=name, lm=ScriptedLM(says).dspy(), transform=digits_only)
    for name, (program, says) in programs.items()
]

with altar.session(tools, source="later:") as session:
    for tool in tools:
        result = session.call(tool, question="two and three")
        print(tool.declaration.signature, result.content, (result.usage or {})["lm_calls"])

# Prints:
# at_once(question: string) {'answer': '5'} 1
# by_steps(question: string) {'answer': '5', 'reasoning': 'Two and three.'} 1
# by_tries(question: string) {'answer': '5'} 2
# with_a_tool(question: string) {'answer': '5'} 3
