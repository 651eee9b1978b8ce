"""What `altar lint` asks of the tools that are made of signatures of DSPy, and where it says that they stand."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from altar.ai import tool_from_module
from altar.ai.pipelines import module
from altar.later.linting.lint import lint
from altar.later.tool import ToolFunction


class Letter(dspy.Signature):
    """Say which department a letter is for."""

    letter: str = dspy.InputField()
    language: str = dspy.InputField(desc="What it is written in.")
    department: str = dspy.OutputField()


def step(signature: Any) -> ToolFunction[..., Any]:
    """The tool of a step."""
    made = module(signature, name="sort_letter", register=False).made
    assert made is not None
    return made


def offered(signature: Any) -> ToolFunction[..., Any]:
    """The tool that a model may be offered."""
    return tool_from_module(dspy.Predict(signature), name="sort_letter", register=False)


@pytest.mark.parametrize(
    ("tool", "warned"),
    [
        (step("letter, language -> department"), []),
        (step("letter, pages: list[str] -> department"), []),
        (step("letter, pages: dict[str, str] -> department"), ["A401 pages", "A402 pages"]),
        (step("letter, pages: list[dict] -> department"), ["A101 pages", "A401 pages", "A402 pages"]),
        (step(dspy.Predict(Letter)), ["A003 letter"]),
        (step(offered("letter -> department")), ["A003 letter"]),
        (offered("letter -> department"), ["A003 letter"]),
        (offered(Letter), ["A003 letter"]),
    ],
    ids=["text", "typed", "a map", "an open object", "a class", "a tool", "offered", "offered by a class"],
)
def test_what_a_step_fills_in_needs_no_words_for_a_model(tool: ToolFunction[..., Any], warned: list[str]) -> None:
    found = [finding for finding in lint(tool) if finding.rule.severity == "warning"]

    assert warned == [f"{one.rule.id} {one.path.split('/')[3]}" for one in found]


def test_what_was_made_of_a_signature_stands_in_the_module_that_asked_for_it() -> None:
    assert {(__file__, None)} == {(one.file, one.line) for one in lint(offered("letter -> department"))}
