"""What a user is told whose pipeline cannot work: from Python, and from YAML with line and column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, TypedDict

import pytest

import altar
from altar.adm.declaration import FunctionDeclaration
from altar.ai.pipelines import (
    branch,
    load_pipeline,
    map,  # noqa: A004 - its name
    parallel,
    pipeline,
    sub,
    tool,
    transform,
)
from altar.ai.pipelines.flow import require_flow
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


class Hit(TypedDict):
    title: str
    url: str


class Asked(TypedDict):
    intent: Literal["billing", "technical"]
    question: str


@altar.tool(register=False)
def pipe_search(queries: list[str], limit: int = 10) -> list[Hit]:
    """Find pages."""
    return []


@altar.tool(register=False)
def pipe_analyse(search_results: list[Hit], question: str) -> str:
    """Analyse what was found."""
    return ""


@altar.tool(register=False)
def pipe_ask(text: str) -> Asked:
    """Say what somebody wants."""
    return {"intent": "billing", "question": text}


class Rewritten(TypedDict):
    queries: str


@altar.tool(register=False)
def pipe_rewrite(question: str) -> Rewritten:
    """Write queries, as a module does whose signature says no type."""
    return {"queries": question}


def without(*steps: Any) -> Callable[[], object]:
    """A check where a few tools are all that there are."""
    there = {"search_web": pipe_search.declaration, "send_mail": pipe_ask.declaration}

    def contracts(asked: str) -> FunctionDeclaration | None:
        return there.get(asked)

    return lambda: require_flow(pipeline("research", list(steps)), contracts, tools=there)


A_TOOL: Any = pipe_ask
SEARCH = tool(pipe_search, output="search_results")
ASK = tool(pipe_ask)
SHORT = transform(len, takes=["question"], gives=["length"])


def of(*steps: Any, **more: Any) -> Callable[[], object]:
    return lambda: pipeline("research", list(steps), **more)


def yaml(text: str, **functions: Any) -> Callable[[], object]:
    return lambda: load_pipeline(text, functions=functions)


WRONG: dict[str, Callable[[], object]] = {
    "pipeline_no_field": of(SEARCH, tool(pipe_analyse, {"question": "?"}, inputs={"search_results": "search_result"})),
    "pipeline_no_argument": of(tool(pipe_search, output="results"), tool(pipe_analyse, {"question": "?"})),
    "pipeline_field_comes_later": of(ASK, tool(pipe_analyse), SEARCH, inputs="text: str, queries: list[str]"),
    "pipeline_types_never_fit": of(ASK, tool(pipe_search, inputs={"queries": "question"})),
    "pipeline_members_missing": of(
        map(tool(pipe_ask), over="texts", item="text", output="asked"),
        tool(pipe_analyse, {"question": "?"}, inputs={"search_results": "asked"}),
    ),
    "pipeline_argument_never_fits": of(tool(pipe_search, {"limit": "ten"})),
    "pipeline_no_parameter": of(tool(pipe_search, {"limt": 10})),
    "pipeline_argument_and_field": of(tool(pipe_search, {"limit": 1}, inputs={"limit": "most"})),
    "pipeline_field_of_some_branches": of(
        ASK,
        branch("intent", {"billing": "invoice", "technical": "repair"}),
        transform(str, takes=["invoice_id"], gives=["text_of_it"]),
        pipelines={"invoice": [transform(len, takes=["question"], gives=["invoice_id"])], "repair": [SHORT]},
    ),
    "pipeline_branch_to_nowhere": of(
        ASK, branch("intent", {"billing": "biling"}, default="billing"), pipelines={"billing": [SHORT]}
    ),
    "pipeline_case_that_never_comes": of(
        ASK, branch("intent", {"bling": "short"}, default="short"), pipelines={"short": [SHORT]}
    ),
    "pipeline_case_left_out": of(ASK, branch("intent", {"billing": "short"}), pipelines={"short": [SHORT]}),
    "pipeline_fallback_of_another_type": of(
        tool(pipe_analyse, output="text", fallback=tool(pipe_search, {"queries": []})), tool(pipe_ask)
    ),
    "pipeline_item_of_another_name": of(
        map(tool(pipe_ask), over="texts", item="t", output="asked"), inputs={"texts": list[str]}
    ),
    "pipeline_transform_is_a_tool": lambda: transform(pipe_ask),
    "pipeline_branch_by_a_tool": lambda: branch(A_TOOL, {"a": "b"}),
    "pipeline_output_without_a_type": lambda: pipeline(
        "research",
        [
            replace(tool(pipe_rewrite), program={"signature": "question -> queries"}),
            tool(pipe_search, output="hits"),
        ],
    ),
    "pipeline_ring": of(ASK, sub("first"), pipelines={"first": [sub("second")], "second": [sub("first")]}),
    "pipeline_parallel_same_field": of(parallel(SEARCH, tool(pipe_search, output="search_results", name="other"))),
    "pipeline_given_twice": of(SEARCH, tool(pipe_search, output="search_results", name="other")),
    "pipeline_fallback_gives_other_fields": of(
        tool(pipe_search, output="hits", fallback=tool(pipe_ask, output="answer"))
    ),
    "pipeline_item_is_a_field": of(
        map(tool(pipe_ask), over="texts", item="text", output="asked"), inputs="texts: list[str], text: str"
    ),
    "pipeline_no_output": of(ASK, outputs=["quesion"]),
    "pipeline_no_steps": of(),
    "pipeline_no_tool": without(tool("serch_web")),
    "pipeline_no_version": without(tool("search_web@^2", output="hits")),
    "pipeline_several_flaws": of(
        tool(pipe_search, {"limt": 10}, output="results"),
        tool(pipe_analyse, {"question": 7}),
        outputs=["reslts"],
    ),
    "pipeline_yaml_several_flaws": yaml(
        "pipeline: research\nstep: 1\nsteps:\n  - tool: search\n    ouput: results\n  - tol: search\n"
    ),
    "pipeline_yaml_unknown_key": yaml("pipeline: research\nsteps:\n  - tool: search\n    ouput: results\n"),
    "pipeline_yaml_unknown_kind": yaml("pipeline: research\nsteps:\n  - tol: search\n"),
    "pipeline_yaml_unknown_function": yaml("pipeline: research\nsteps:\n  - transform: shorten\n    gives: [text]\n"),
    "pipeline_yaml_field": yaml(
        "pipeline: research\ninputs: {topic: string}\nsteps:\n"
        "  - tool: search\n    output: results\n  - tool: report\n    inputs: {about: topik}\n"
    ),
    "pipeline_yaml_tool_as_transform": yaml("pipeline: research\nsteps:\n  - transform: pipe_ask\n", pipe_ask=pipe_ask),
    "pipeline_yaml_near_function": yaml(
        "pipeline: research\nsteps:\n  - transform: shortn\n", shorten=len, shortns=pipe_ask
    ),
    "pipeline_yaml_other_function": yaml("pipeline: research\nsteps:\n  - transform: x\n", shorten=len, ask=pipe_ask),
    "pipeline_yaml_no_mapping": yaml("- tool: search\n"),
    "pipeline_yaml_bad_retry": yaml("pipeline: research\nsteps:\n  - tool: search\n    retry: {attempts: 0}\n"),
    "pipeline_yaml_same_names": yaml("pipeline: research\nsteps:\n  - {tool: a, name: x}\n  - {tool: b, name: x}\n"),
    "pipeline_yaml_near_field": yaml(
        "pipeline: research\ninputs: {txt: str}\nsteps:\n  - pipe_ask\n  - {tool: pipe_search, output: hits}\n",
        pipe_ask=pipe_ask,
        pipe_search=pipe_search,
    ),
    "pipeline_yaml_bad_inputs": yaml("pipeline: research\ninputs: {a b: str}\nsteps: [search]\n"),
    "pipeline_yaml_parallel_same_field": yaml(
        "pipeline: research\nsteps:\n  - parallel:\n    - {tool: a, output: x}\n    - {tool: b, output: x}\n"
    ),
    "pipeline_yaml_no_yaml": yaml("pipeline: research\nsteps: [tool: {a: b]\n"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_pipeline_that_cannot_work(told: Told, case: str) -> None:
    with pytest.raises(altar.DeclarationError) as refused:
        WRONG[case]()
    others = [one.removeprefix("also: ") for one in getattr(refused.value, "__notes__", ()) if one.startswith("also: ")]
    told(case, of_error(refused.value) + "".join(f"also: {one}\n" for one in others))
