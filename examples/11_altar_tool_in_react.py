# pip install 'altar-ai[dspy]'
"""An agent of DSPy uses a tool of ALTAR: a wrong call comes back in words, and the agent corrects itself."""

from __future__ import annotations

from typing import Literal

import altar
import altar.ai
from altar.adapters.dspy import to_dspy
from altar.testing import ScriptedLM


@altar.tool(read_only=True)
def weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, float]:
    """The temperature in a city now.

    Args:
        city: Name of the city, in English.
        unit: What the degrees are counted in.
    """
    celsius = {"Oslo": 4.0, "Paris": 21.5}[city]
    return {"degrees": celsius if unit == "celsius" else celsius * 9 / 5 + 32}


# What a language model would say: here it is written down, so that this prints the same everywhere.
lm = ScriptedLM(
    [
        {"next_thought": "Look it up.", "next_tool_name": "weather", "next_tool_args": {"city": "Paris", "unit": "C"}},
        {"next_thought": "I see.", "next_tool_name": "weather", "next_tool_args": {"city": "Paris"}},
        {"next_thought": "I know.", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "The tool said 21.5.", "answer": "It is 21.5 degrees in Paris."},
    ]
)

with altar.session([weather], source="later:") as session:
    agent = altar.ai.react("question -> answer", to_dspy(session), lm=lm.dspy())
    answered = agent(question="How warm is it in Paris?")

print(answered.trajectory["observation_0"])
print(answered.trajectory["observation_1"])
print(answered.answer)

# Prints:
# Argument `unit` is 'C' but must be one of 'celsius', 'fahrenheit' (INVALID_TOOL_ARGS)
# hint: weather(city: string, unit: "celsius" | "fahrenheit" = "celsius")
# {'degrees': 21.5}
# It is 21.5 degrees in Paris.
