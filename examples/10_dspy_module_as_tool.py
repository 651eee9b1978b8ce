# pip install 'altar-ai[dspy]'
"""Make a tool of a DSPy program: its signature is the contract, and the result says what the language model took."""

from __future__ import annotations

import dspy

import altar
from altar.ai import bound, tool_from_module
from altar.testing import ScriptedLM

# A script stands for a language model here; dspy.LM("openai/…") takes its place, or altar.ai.language_model("local").
lm = ScriptedLM({"": {"reasoning": "The words are warm.", "mood": "glad"}}).dspy()


class Sentiment(dspy.Signature):
    """Say what mood a review is in."""

    review: str = dspy.InputField(desc="What somebody wrote", min_length=3, max_length=2000)
    mood: str = dspy.OutputField(desc="glad or sad")


sentiment = tool_from_module(
    dspy.ChainOfThought(Sentiment),
    name="sentiment",
    lm=lm,
    variables={"warmth": bound("lm.temperature", maximum=1)},
)
print(sentiment.declaration.signature)

with altar.session([sentiment]) as session:
    result = session.call("sentiment", review="Lovely tea, and so warm a welcome.")
    print(result.content)
    print((result.usage or {})["lm_calls"])

    print(session.call("sentiment", review="?").text)

    session.variables.declare("warmth", float, value=0.2)  # the next call is asked at another temperature
    print(session.call("sentiment", review="Lovely tea.").status)

# Prints:
# sentiment(review: string)
# {'mood': 'glad', 'reasoning': 'The words are warm.'}
# 1
# Argument `review` has 1 characters but must have at least 3 (INVALID_TOOL_ARGS)
# hint: sentiment(review: string)
# SUCCESS
