"""A module of DSPy as a step: what its signature takes from the steps before it."""

from __future__ import annotations

from typing import Any

import pytest

import altar
from altar.ai.pipelines import module, pipeline, tool
from altar.testing import ScriptedLM


@altar.tool(read_only=True)
def pages_about(topic: str) -> list[dict[str, Any]]:
    """Pages about a topic."""
    return [{"title": topic, "stars": 4}]


def test_an_input_without_a_type_takes_what_a_tool_gives_and_the_model_reads_it_as_json() -> None:
    script = ScriptedLM([{"reasoning": "-", "summary": "One page."}])
    read = module("topic, pages -> summary", kind="ChainOfThought", name="read_pages", lm=script.dspy())
    made = pipeline("reading", [tool(pages_about, output="pages"), read], inputs={"topic": str}, outputs=["summary"])

    with altar.session(made.tools, source="later:") as session:
        result = made.run(session, topic="whales")

    assert {"summary": "One page."} == result.unwrap()
    assert '[{"stars": 4, "title": "whales"}]' in script.requests[0].prompt
    assert "[[ ## topic ## ]]\nwhales\n" in script.requests[0].prompt


def test_an_input_with_a_type_takes_only_that() -> None:
    read = module("pages: str -> summary", name="read_text", register=False)

    with pytest.raises(altar.DeclarationError, match=r"takes the field 'pages'.*it is a list, and a text is taken"):
        pipeline("reading", [tool(pages_about, output="pages"), read], inputs={"topic": str})


def test_an_output_without_a_type_is_text() -> None:
    read = module("pages -> summary, stars: int", name="read_all", register=False)

    assert read.made is not None
    assert read.made.declaration.returns is not None
    properties = read.made.declaration.returns.json_schema["properties"]
    assert {"summary": "string", "stars": "integer"} == {name: one["type"] for name, one in properties.items()}


@pytest.mark.parametrize("signature", ["pages, k: Folio -> summary", "pages titles -> summary", "pages"])
def test_a_signature_that_cannot_be_read_is_told_as_it_was_written(signature: str) -> None:
    with pytest.raises(altar.DeclarationError, match=signature):
        module(signature, name="read", register=False)
