"""DSPy programs as tools, for a runtime and for this process: answers come from a script."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import dspy
import pydantic

from altar.ai import bound, tool_from_module
from altar.testing import ScriptedLM


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = "sad"


class Person(pydantic.BaseModel):
    name: str
    born: dt.date


class Letter(dspy.Signature):
    """Write a letter to somebody."""

    who: Person = dspy.InputField()
    mood: Mood = dspy.InputField(default=Mood.GLAD)
    lines: list[str] = dspy.OutputField()
    sent: dt.date = dspy.OutputField()
    sure: float = dspy.OutputField()


class Counts(dspy.Module):
    """Count the questions of a session."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, question: str) -> Any:
        self.count += 1
        return dspy.Prediction(count=self.count)


LM = ScriptedLM(
    {
        "Write a letter": {"lines": ["Dear Ada,", "ünïcode ✓"], "sent": "2026-11-23", "sure": 0.5},
        "": {"reasoning": "It is known.", "answer": "Paris"},
    }
).dspy()

dspy_answer = tool_from_module(
    dspy.ChainOfThought("question -> answer"),
    name="dspy_answer",
    lm=LM,
    variables={"dspy_warmth": bound("lm.temperature", maximum=1)},
)
dspy_letter = tool_from_module(dspy.Predict(Letter), name="dspy_letter", lm=LM)
dspy_count = tool_from_module(Counts(), name="dspy_count", signature="question -> count: int", per_session=True, lm=LM)
dspy_pieces = tool_from_module(dspy.Predict("question -> answer"), name="dspy_pieces", lm=LM, stream="tokens")
