"""Fields that flow through a pipeline: what is found before a run, and that what is found holds in the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import altar
from altar.adm.declaration import FunctionDeclaration
from altar.ai.pipelines import Pipeline, branch, map, pipeline, sub, tool, transform  # noqa: A004 - its name
from altar.ai.pipelines.flow import require_flow
from altar.ai.pipelines.forms import Form, misfit
from altar.later.imported import imported
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction


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


TYPES: dict[str, Any] = {"string": "text", "integer": 3, "boolean": True, "array": [1], "object": {"deep": 1}}


def declared(name: str, takes: dict[str, str], gives: dict[str, str]) -> ToolFunction[..., Any]:
    """A tool that takes and gives fields of these types."""
    document = {
        "name": name,
        "description": "Gives what it says.",
        "parameters": {
            "type": "OBJECT",
            "properties": {each: {"type": kind.upper()} for each, kind in takes.items()},
            "required": list(takes),
        },
        "returns": {
            "type": "OBJECT",
            "properties": {each: {"type": kind.upper()} for each, kind in gives.items()},
            "required": list(gives),
        },
    }
    declaration, found = FunctionDeclaration.read(document)
    assert declaration is not None, found

    async def run(arguments: Any, _: Any) -> dict[str, Any]:
        return {each: TYPES[kind] for each, kind in gives.items()}

    return imported(declaration, run, origin="test")


@dataclass(frozen=True)
class Plan:
    """Tools, each with what it takes from those before it, and whether it runs beside the next one."""

    tools: tuple[tuple[dict[str, str], dict[str, str]], ...]
    inputs: dict[str, str]

    def steps(self) -> list[ToolFunction[..., Any]]:
        return [declared(f"made_{number}", takes, gives) for number, (takes, gives) in enumerate(self.tools)]

    def made(self) -> Pipeline:
        return pipeline("made", self.steps(), inputs={name: {"type": kind} for name, kind in self.inputs.items()})


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    kind = st.sampled_from(sorted(TYPES))
    inputs = {f"field_0_{number}": draw(kind) for number in range(draw(st.integers(1, 3)))}
    known, tools = dict(inputs), []
    for place in range(1, draw(st.integers(2, 6))):
        takes = {name: known[name] for name in draw(st.sets(st.sampled_from(sorted(known)), max_size=3))}
        gives = {f"field_{place}_{number}": draw(kind) for number in range(draw(st.integers(1, 3)))}
        tools.append((takes, gives))
        known |= gives
    return Plan(tuple(tools), inputs)


@contextmanager
def registered(made: Pipeline) -> Iterator[None]:
    tools = [step.made for step in made.tool_steps if step.made is not None]
    for one in tools:
        REGISTRY.register(one, replace=True)
    try:
        yield
    finally:
        for one in tools:
            REGISTRY.unregister(one.name)


@given(plans())
@settings(max_examples=15, deadline=None)
def test_any_pipeline_whose_fields_flow_is_accepted_and_runs(plan: Plan) -> None:
    made = plan.made()

    with registered(made), altar.session(made.tools, source="later:") as session:
        result = made.run(session, {name: TYPES[kind] for name, kind in plan.inputs.items()})

    assert "SUCCESS" == result.status, result.error
    assert plan.tools[-1][1].keys() == result.outputs.keys()


@given(plans(), st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_is_broken_in_a_pipeline_is_named(plan: Plan, data: st.DataObject) -> None:
    places = [(place, name) for place, (takes, _) in enumerate(plan.tools) for name in sorted(takes)]
    assume(places)
    place, name = data.draw(st.sampled_from(places))
    takes, gives = plan.tools[place]
    how = data.draw(st.sampled_from(["gone", "type", "later"]))
    others = sorted(kind for kind in TYPES if kind != takes[name])
    broken = {
        "gone": ({**takes, "nobody_gives_this": "string"}, gives),
        "type": ({**takes, name: data.draw(st.sampled_from(others))}, gives),
        "later": ({**takes, next(iter(gives)): "string"}, gives),
    }[how]
    word = {"gone": "nobody_gives_this", "type": name, "later": next(iter(gives))}[how]

    with pytest.raises(altar.DeclarationError) as refusal:
        replace(plan, tools=(*plan.tools[:place], broken, *plan.tools[place + 1 :])).made()

    assert f"'made_{place}'" in refusal.value.message
    assert repr(word) in refusal.value.message
