"""A program that adds up, and a language model that does so only when it is told to: something for optimizers to find.

The model answers every question that an optimizer asks by the fields that its signature wants back.
"""

from __future__ import annotations

import re
from typing import Any

import dspy

from altar.testing import ChatRequest

__all__ = ["ADVICE", "BUDGETS", "TRAINSET", "exact", "exact_in_words", "pupil"]

ADVICE = "Add the two numbers."
"""The instruction that makes the model answer rightly."""

TRAINSET = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(6)]

BUDGETS: dict[str, dict[str, Any]] = {
    "COPRO": {"breadth": 3, "depth": 2, "eval_kwargs": {"num_threads": 2}},
    "GEPA": {"max_metric_calls": 30, "num_threads": 2},
    "MIPROv2": {
        "auto": None,
        "num_candidates": 2,
        "num_trials": 2,
        "minibatch": False,
        "max_bootstrapped_demos": 1,
        "max_labeled_demos": 1,
        "num_threads": 2,
    },
    "SIMBA": {"bsize": 4, "num_candidates": 3, "max_steps": 2, "num_threads": 1},
}
"""What each of the optimizers is given that ask a model for instructions."""


def pupil(request: ChatRequest) -> dict[str, Any]:
    """Adds up when it is told to, or has seen it done; else it knows a third of it."""
    wanted = request.system.partition("Your output fields are:")[2].partition("All interactions")[0]
    fields = dict(re.findall(r"\d+\. `(\w+)` \(([^)]*)\)", wanted))
    return {name: _said(name, kind, request) for name, kind in fields.items()}


def exact(example: Any, prediction: Any, trace: Any = None) -> float:
    """Judge an answer, for optimizers that ask for a number."""
    return float(prediction is not None and example.answer == prediction.answer)


def exact_in_words(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
    """Judge an answer, and tell what would have been right."""
    return dspy.Prediction(score=exact(gold, pred), feedback=f"The sum is {gold.answer}.")


def _said(name: str, kind: str, request: ChatRequest) -> Any:
    if kind.startswith("dict"):
        return {"self": ADVICE}
    if name in {"proposed_instruction", "new_instruction"}:
        return ADVICE
    if name != "answer":
        return "fine"
    question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()[0]
    has_seen_it = any(message.role == "assistant" for message in request.messages)
    knows = ADVICE in request.system or has_seen_it or question[0] in "01"
    return str(sum(map(int, question.split("+")))) if knows else "0"
