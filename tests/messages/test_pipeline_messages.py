"""What a user is told whose pipeline cannot work: from Python, and from YAML with line and column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict

import pytest

import altar
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


SEARCH = tool(pipe_search, output="search_results")
ASK = tool(pipe_ask)
SHORT = transform(len, takes=["question"], gives=["length"])


def of(*steps: Any, **more: Any) -> Callable[[], object]:
    return lambda: pipeline("research", list(steps), **more)


def yaml(text: str) -> Callable[[], object]:
    return lambda: load_pipeline(text)


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
    "pipeline_branch_to_nowhere": of(ASK, branch("intent", {"billing": "biling"}), pipelines={"billing": [SHORT]}),
    "pipeline_case_that_never_comes": of(ASK, branch("intent", {"bling": "short"}), pipelines={"short": [SHORT]}),
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
    "pipeline_yaml_unknown_key": yaml("pipeline: research\nsteps:\n  - tool: search\n    ouput: results\n"),
    "pipeline_yaml_unknown_kind": yaml("pipeline: research\nsteps:\n  - tol: search\n"),
    "pipeline_yaml_unknown_function": yaml("pipeline: research\nsteps:\n  - transform: shorten\n    gives: [text]\n"),
    "pipeline_yaml_field": yaml(
        "pipeline: research\ninputs: {topic: string}\nsteps:\n"
        "  - tool: search\n    output: results\n  - tool: report\n    inputs: {about: topik}\n"
    ),
    "pipeline_yaml_no_yaml": yaml("pipeline: research\nsteps: [tool: {a: b]\n"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_pipeline_that_cannot_work(told: Told, case: str) -> None:
    with pytest.raises(altar.DeclarationError) as refused:
        WRONG[case]()
    told(case, of_error(refused.value))
