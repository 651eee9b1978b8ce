"""Fields that flow through a pipeline: what is found before a run, and that what is found holds in the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypedDict

import pytest

import altar
from altar.adm.declaration import FunctionDeclaration
from altar.ai.pipelines import branch, map, pipeline, sub, tool, transform  # noqa: A004 - its name
from altar.ai.pipelines.flaws import Flaw
from altar.ai.pipelines.flow import require_flow
from altar.ai.pipelines.forms import Form, misfit


class Page(TypedDict):
    title: str
    url: str


class Verdict(TypedDict):
    summary: str
    mood: Literal["good", "bad"]


@altar.tool
def flow_pages(queries: list[str], limit: int = 10) -> list[Page]:
    """Find pages."""
    return [Page(title=query, url=f"https://{query}.example") for query in queries][:limit]


@altar.tool
def flow_judge(pages: list[Page]) -> Verdict:
    """Judge pages."""
    return {"summary": f"{len(pages)} pages", "mood": "good"}


@altar.tool
def flow_send(summary: str, to: str = "all") -> None:
    """Send a summary."""


@altar.tool
def flow_anything(topic: str) -> dict[str, str]:
    """Give fields that nobody knows before."""
    return {"summary": topic}


def refused(*steps: Any, **more: Any) -> str:
    with pytest.raises(altar.DeclarationError) as error:
        pipeline("flow", list(steps), **more)
    assert error.value.code == "INVALID_PIPELINE"
    return f"{error.value.message} | {error.value.hint}"


def test_a_parameter_takes_an_argument_then_the_named_field_then_the_field_of_its_own_name() -> None:
    flow = pipeline(
        "flow",
        [
            tool(flow_pages, {"limit": 2}),
            tool(flow_judge, inputs={"pages": "flow_pages"}),
            tool(flow_send),
        ],
    ).check()

    assert flow.takes == {
        "flow_pages": {"queries": "queries"},
        "flow_judge": {"pages": "flow_pages"},
        "flow_send": {"summary": "summary"},
    }
    assert flow.gives["flow_judge"] == ("summary", "mood")


def test_inputs_are_what_the_first_step_takes_and_outputs_what_the_last_one_gives() -> None:
    flow = pipeline("flow", [tool(flow_pages, output="pages"), tool(flow_judge)]).check()

    assert flow.inputs["required"] == ["queries"]
    assert flow.inputs["properties"]["limit"]["default"] == 10
    assert flow.outputs["required"] == ["summary", "mood"]


def test_an_output_carries_the_definitions_of_its_type() -> None:
    flow = pipeline("flow", [tool(flow_pages)]).check()

    assert flow.outputs["properties"]["flow_pages"]["items"] == {"$ref": "#/$defs/Page"}
    assert flow.outputs["$defs"]["Page"]["required"] == ["title", "url"]


def test_a_compensation_does_not_tell_what_a_run_begins_with() -> None:
    flow = pipeline("flow", [tool(flow_anything, compensate=tool(flow_send))]).check()

    assert list(flow.inputs["properties"]) == ["topic"]


def test_fields_that_only_the_run_shows_may_be_taken_by_their_names() -> None:
    made = pipeline("flow", [tool(flow_anything), tool(flow_send)])

    assert made.check().takes["flow_send"] == {"summary": "summary", "to": "to"}
    with altar.session(made.tools, source="later:") as session:
        assert made.run(session, topic="whales").unwrap() is not None


def test_a_tool_that_is_not_known_here_is_looked_at_in_the_run() -> None:
    made = pipeline("flow", [tool("flow_nobody_knows", output="pages"), tool(flow_judge)])

    def contracts(asked: str) -> FunctionDeclaration | None:
        return flow_send.declaration if asked == "flow_nobody_knows" else None

    with pytest.raises(altar.DeclarationError, match="it is null, and a list is taken"):
        require_flow(made, contracts)


def test_a_field_that_every_branch_gives_may_be_taken_and_others_only_if_they_are_optional() -> None:
    count = transform(len, takes=["pages"], gives=["to"])
    ways = {"a": [tool(flow_judge), sub("c")], "b": [tool(flow_judge)], "c": [count]}
    steps = [tool(flow_pages, output="pages"), branch("which", {"x": "a", "y": "b"})]

    flow = pipeline("flow", [*steps, tool(flow_send)], inputs="queries: list[str], which: str", pipelines=ways).check()

    assert flow.takes["flow_send"] == {"summary": "summary", "to": "to"}
    assert "which 'b' does not give" in refused(
        *steps, tool(flow_send, inputs={"summary": "to"}), inputs="queries: list[str], which: str", pipelines=ways
    )


def test_a_step_may_replace_a_field_that_it_takes() -> None:
    shorter = transform(str.title, takes=["summary"], gives=["summary"], name="shorter")

    assert pipeline("flow", [tool(flow_judge), shorter]).check().gives["shorter"] == ("summary",)
    assert "gives it already" in refused(tool(flow_judge), transform(len, takes=["mood"], gives=["summary"]))


def test_each_value_of_a_map_has_the_form_of_the_items() -> None:
    steps = [tool(flow_pages), map(tool(flow_send), over="flow_pages", item="summary", output="sent")]

    assert "it is an object, and a text is taken" in refused(*steps)


def test_results_of_a_map_are_a_list_of_what_its_step_gives() -> None:
    made = pipeline("flow", [map(tool(flow_judge), over="batches", item="pages", output="verdicts")])

    assert made.check().outputs["properties"]["verdicts"]["items"]["required"] == ["summary", "mood"]


def test_a_session_must_have_every_tool() -> None:
    made = pipeline("flow", [tool("flow_jugde", output="verdict"), tool("flow_send@^3", output="sent")])

    with (
        altar.session([flow_judge, flow_send], source="later:") as session,
        pytest.raises(altar.DeclarationError) as no,
    ):
        made.check(session)

    told = [(one.step, one.nearest) for one in no.value.defects if isinstance(one, Flaw)]
    assert [("flow_jugde", "flow_judge"), ("flow_send", "1.0.0")] == told
    assert made.check().takes == {"flow_jugde": {}, "flow_send": {}}


def test_a_parameter_that_was_perhaps_meant_is_not_missing_as_well() -> None:
    with pytest.raises(altar.DeclarationError) as no:
        pipeline("flow", [tool(flow_pages, inputs={"querys": "topics"})], inputs={"topics": list[str]})

    assert [("querys", "queries")] == [(one.field, one.nearest) for one in no.value.defects if isinstance(one, Flaw)]


def test_steps_that_were_put_beside_each_other_by_hand_must_have_names_that_differ() -> None:
    made = pipeline("flow", [tool(flow_judge)])

    with pytest.raises(altar.DeclarationError, match="Two steps of 'flow' are called 'flow_judge'"):
        replace(made, steps=made.steps * 2).check()


def test_branches_that_multiply_are_bounded() -> None:
    ways = {f"p{n}": [branch("which", {"x": f"p{n + 1}", "y": f"q{n + 1}"}, name="b")] for n in range(14)}
    ways |= {f"q{n}": [branch("which", {"x": f"p{n + 1}", "y": f"q{n + 1}"}, name="b")] for n in range(1, 14)}
    ends: dict[str, Any] = {"p14": [transform(len, takes=["which"], gives=["n"])]}
    ends["q14"] = ends["p14"]

    assert "more steps than can be followed" in refused(sub("p0"), inputs="which: str", pipelines=ways | ends)


@pytest.mark.parametrize(
    ("mine", "theirs", "reason"),
    [
        ({"type": "string"}, {"type": "integer"}, "it is a text, and a number is taken"),
        ({"type": "integer"}, {"type": "number"}, None),
        ({"type": "number"}, {"type": "integer"}, None),
        ({}, {"type": "integer"}, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}, None),
        ({"type": ["string", "null"]}, {"type": "array"}, "it is a text or null, and a list is taken"),
        ({"enum": ["a", "b"]}, {"enum": ["c"]}, "it is one of 'a', 'b', and one of 'c' is taken"),
        ({"enum": ["a", "b"]}, {"const": "b"}, None),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "object"}},
            "of each of its",
        ),
        ({"$ref": "#/$defs/T"}, {"type": "object"}, "it is a text"),
        (
            {"type": "object", "properties": {"titel": {}}},
            {"type": "object", "required": ["title"]},
            "nearest is 'titel'",
        ),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
            {"type": "object", "required": ["title"]},
            None,
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"a": {"type": "boolean"}}},
            "of its member 'a': it is a text, and true or false is taken",
        ),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"a": {"type": "boolean"}}}, None),
    ],
)
def test_only_what_never_fits_is_refused(mine: dict[str, Any], theirs: dict[str, Any], reason: str | None) -> None:
    found = misfit(Form(mine, {"T": {"type": "string"}}), Form(theirs))

    assert found is None if reason is None else reason in (found or "")


def test_a_type_that_holds_itself_is_compared_no_deeper_than_needed() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Tree"}}, "required": ["next"]}
    form = Form({"$ref": "#/$defs/Tree"}, {"Tree": tree})

    assert misfit(form, form) is None
