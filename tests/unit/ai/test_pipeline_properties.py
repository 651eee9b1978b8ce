"""Whatever flows is accepted, runs and is drawn; whatever is broken is named, once, with its step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import altar
from altar.ai.pipelines.flaws import Flaw
from tests.unit.ai.pipeline_plans import KINDS, BranchNode, Plan, ToolNode, plans, registered

AT_RANDOM = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a plan smaller takes longer than to read it
)


@given(plans())
@settings(AT_RANDOM, max_examples=25)
def test_any_pipeline_whose_fields_flow_is_accepted_and_runs(plan: Plan) -> None:
    made = plan.made()

    with registered(made), altar.session(made.tools, source="later:") as session:
        result = made.run(session, plan.values())

    assert "SUCCESS" == result.status, result.error
    assert set(made.check().outputs["required"]) <= result.outputs.keys()
    assert plan.outputs is None or set(plan.outputs) == result.outputs.keys()


Draw = Callable[[st.SearchStrategy[Any]], Any]


def lacking(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """A tool takes a field that nothing gives."""
    path, node = draw(st.sampled_from(plan.tools()))
    node.takes["missing"] = ("nobody_gives_this", "string")
    return [(path, "nobody_gives_this")]


def lacking_twice(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """Two tools take fields that nothing gives."""
    tools = plan.tools()
    chosen = sorted(draw(st.sets(st.integers(0, len(tools) - 1), min_size=1, max_size=2)))
    for place in chosen:
        tools[place][1].takes["missing"] = (f"nobody_gives_{place}", "string")
    return [(tools[place][0], f"nobody_gives_{place}") for place in chosen]


def too_early(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """A tool takes a field that only the last step gives."""
    last = plan.nodes[-1]
    assert isinstance(last, ToolNode)
    places = [(path, node) for path, node in plan.tools() if not path.startswith(last.name)]
    assume(places)
    path, node = draw(st.sampled_from(places))
    taken = last.whole or next(iter(last.gives))
    node.takes["early"] = (taken, "string")
    return [(path, taken)]


def unfit(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """A parameter is of a type that its field never has."""
    places = [(path, node, one) for path, node in plan.tools() for one in node.takes]
    assume(places)
    path, node, parameter = draw(st.sampled_from(places))
    taken, kind = node.takes[parameter]
    node.takes[parameter] = (taken, draw(st.sampled_from([one for one in KINDS if one != kind])))
    return [(path, taken)]


def less(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """A fallback does not give what its step gives."""
    places = [(path, node) for path, node in plan.tools() if node.fallback]
    assume(places)
    path, node = draw(st.sampled_from(places))
    lacks = node.whole or draw(st.sampled_from(sorted(node.gives)))
    if node.whole:
        node.fallback.whole = "another"
    else:
        node.fallback.gives = {"another": "string"} | {name: kind for name, kind in node.gives.items() if name != lacks}
    return [(path, lacks)]


def twice(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """The last tool gives a field that an input has already."""
    last = plan.nodes[-1]
    assert isinstance(last, ToolNode)
    taken = draw(st.sampled_from(sorted(plan.inputs)))
    plan.nodes.append(ToolNode("again", {}, {taken: "string"}))
    return [("again", taken)]


def of_one_way(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """A field that only one way of a branch gives is needed afterwards."""
    places = [one for one in plan.nodes if isinstance(one, BranchNode) and len(one.ways) > 1]
    assume(places)
    node = draw(st.sampled_from(places))
    next(iter(node.ways.values())).append(ToolNode("one_way", {}, {"only_here": "string"}))
    plan.nodes.append(ToolNode("needs", {"only_here": ("only_here", "string")}, {"end": "string"}))
    return [("needs", "only_here")]


def no_output(plan: Plan, draw: Draw) -> list[tuple[str, str]]:
    """The pipeline promises what nothing gives."""
    plan.outputs = [*(plan.outputs or []), "nobody_gives_this"]
    return [("", "nobody_gives_this")]


BREAKAGES = [lacking, lacking_twice, too_early, unfit, less, twice, of_one_way, no_output]


@given(plans(), st.sampled_from(BREAKAGES), st.data())
@settings(AT_RANDOM, max_examples=60)
def test_whatever_is_broken_is_named_with_its_step_and_nothing_else_is(
    plan: Plan, broken: Callable[[Plan, Draw], list[tuple[str, str]]], data: st.DataObject
) -> None:
    wrong = broken(plan, data.draw)

    with pytest.raises(altar.DeclarationError) as refused:
        plan.made()

    assert sorted(wrong) == sorted((one.step, one.field) for one in refused.value.defects if isinstance(one, Flaw))
    assert f"Step {wrong[0][0]!r}" in refused.value.message or len(wrong) > 1 or broken is no_output
