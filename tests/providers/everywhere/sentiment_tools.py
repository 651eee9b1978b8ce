"""A DSPy program, with the state that an optimizer gave it, as a tool; for a runtime that has DSPy."""

from __future__ import annotations

import os
from typing import Literal

import dspy

from altar.ai import language_model, load_state, tool_from_module


class Sentiment(dspy.Signature):
    """Say whether the review is positive or negative."""

    review: str = dspy.InputField()
    label: Literal["positive", "negative"] = dspy.OutputField()


program = dspy.Predict(Sentiment)
load_state(program, os.environ["SENTIMENT_STATE"])
sentiment = tool_from_module(
    program,
    name="sentiment",
    adapter=dspy.JSONAdapter(),
    lm=language_model(f"recorded:{os.environ['SENTIMENT_RECORDING']}", temperature=0.0, max_tokens=60),
)
