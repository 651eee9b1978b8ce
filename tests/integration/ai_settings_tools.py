"""A program that nobody has made a tool of, which the settings of a runtime do; a tool that tells those settings."""

from __future__ import annotations

from typing import Literal

import dspy

import altar
from altar import ai
from altar.ai.lm.configure import chosen

judge = dspy.Predict(dspy.Signature("text -> verdict: Literal['good', 'bad']", custom_types={"Literal": Literal}))


@altar.tool(isolate="process")
def settings_there() -> list[str]:
    """Say in a process of its own which language model it would ask, and whether answers are checked."""
    return [chosen()[0].partition(":")[0], str(ai.configured().result_validation)]
