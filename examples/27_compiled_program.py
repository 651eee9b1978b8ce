# pip install 'altar-ai[dspy]'
"""Compile a DSPy program, carry its state as JSON, and serve it where it was not compiled."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import dspy

import altar
from altar.ai import load_state, save_state, tool_from_module
from altar.testing import ScriptedLM


class Sorts(dspy.Signature):
    """Say which department a letter is for."""

    letter: str = dspy.InputField(desc="What somebody wrote to us")
    department: Literal["sales", "repairs", "accounts"] = dspy.OutputField()


EXAMPLES = [
    dspy.Example(letter="My kettle leaks", department="repairs").with_inputs("letter"),
    dspy.Example(letter="You billed me twice", department="accounts").with_inputs("letter"),
    dspy.Example(letter="Do you have blue cups?", department="sales").with_inputs("letter"),
]


def is_right(example: Any, answer: Any, _trace: object = None) -> bool:
    """Whether the department is that of the example."""
    return bool(example.department == answer.department)


# The script gets one of the three wrong, so that only the two others become demonstrations.
teacher = ScriptedLM(
    {"kettle": {"department": "repairs"}, "billed": {"department": "accounts"}, "cups": {"department": "repairs"}}
)

with tempfile.TemporaryDirectory() as folder:
    state = Path(folder, "sorts.json")

    with dspy.context(lm=teacher.dspy()):
        optimizer = dspy.BootstrapFewShot(metric=is_right, max_bootstrapped_demos=3, max_labeled_demos=0, max_rounds=1)
        compiled = optimizer.compile(dspy.Predict(Sorts), trainset=EXAMPLES)
    digest = save_state(compiled, state)
    print("the teacher was asked", len(teacher.requests), "times")

    served = dspy.Predict(Sorts)  # in another process, say
    print("the same state:", load_state(served, state) == digest)

pupil = ScriptedLM([{"department": "repairs"}])
tool_from_module(served, name="sort_letter", lm=pupil.dspy())

with altar.session(source="later:") as session:
    print(session.call("sort_letter", letter="The lid is broken").content)

said = "\n".join(message.text for message in pupil.requests[0].messages)
for letter in ("My kettle leaks", "You billed me twice", "Do you have blue cups?"):
    print(letter in said, "-", letter)

# Prints:
# Bootstrapped 2 full traces after 2 examples for up to 1 rounds, amounting to 3 attempts.
# the teacher was asked 3 times
# the same state: True
# {'department': 'repairs'}
# True - My kettle leaks
# True - You billed me twice
# False - Do you have blue cups?
