"""A module of DSPy as a step: what its signature takes from the steps before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dspy
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import altar
from altar.ai.pipelines import Step, load_pipeline, module, pipeline, sub, tool
from altar.ai.pipelines.yaml_form import read_pipeline
from altar.ai.pipelines.yaml_writing import name_of
from altar.testing import ScriptedLM
from tests.unit.ai.pipeline_strategies import FUNCTIONS, pipelines


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


@pytest.fixture(scope="module")
def modules() -> list[Step]:
    """Steps of modules with each of their keys, some made by the module itself."""
    return [
        module("question -> answer"),
        module("question, pages: list[str] -> answer, score: float", kind="ChainOfThought", name="scored"),
        module("question -> answer", name="no", version="2.1.0", arguments={"question": "x"}, output="a"),
        module("text -> summary", name="kept_apart", inputs={"text": "a: b"}, timeout=3, retry=2, register=False),
        module(dspy.Predict("q -> a"), name="own", version="1.2.0"),
    ]


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_pipelines_with_steps_of_modules_are_read_as_they_were_written(
    modules: list[Step], data: st.DataObject
) -> None:
    made = data.draw(pipelines(extra=st.sampled_from(modules)))

    again = read_pipeline(made.to_yaml(), functions={name_of(one): one for one in FUNCTIONS}, check=lambda _: None)

    assert made.to_json() == again.to_json()
    assert made.digest == again.digest


def test_a_module_of_a_text_is_one_that_is_called_under_the_name_of_its_tool() -> None:
    made = pipeline(
        "asking",
        [module("question -> answer", name="ask"), sub("more")],
        pipelines={
            "more": [
                replace(module("answer -> title", name="head"), name="title_of_it", output="title"),
            ]
        },
        inputs={"question": str},
    )

    again = load_pipeline(made.to_yaml())

    assert made == again
    assert "as: head" in made.to_yaml()
    assert [step.tool for step in again.tool_steps] == ["ask@1.0.0", "head@1.0.0"]
    assert all(step.made is not None for step in again.tool_steps)
