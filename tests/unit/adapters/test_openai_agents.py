"""The OpenAI Agents SDK: a real run with tools of a session, and its function tools under contracts."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from openai import AsyncOpenAI
from pydantic import BaseModel

import altar
from altar.adapters.openai_agents import from_openai_agents, to_openai_agents
from altar.later.registry import Registry
from altar.testing import ScriptedLM, ToolUse


@altar.tool(read_only=True)
def oai_add(left: int, right: int = 1) -> int:
    """Add two whole numbers."""
    return left + right


@altar.tool(read_only=True)
def oai_labels(labels: dict[str, str]) -> list[str]:
    """List the names of labels."""
    return sorted(labels)


@pytest.fixture
async def session() -> AsyncIterator[altar.Session]:
    async with altar.session(tools=["oai_add", "oai_labels"], source="later:") as opened:
        yield opened


async def run(session: Any, *answers: Any, **options: Any) -> tuple[Any, ScriptedLM]:
    """A run of an agent whose model says these answers."""
    lm = ScriptedLM(list(answers))
    with lm.serve() as server:
        async with AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            model = OpenAIChatCompletionsModel(model="scripted", openai_client=client)
            agent = Agent(name="adder", model=model, tools=to_openai_agents(session, **options))
            return await Runner.run(agent, "Add.", run_config=RunConfig(tracing_disabled=True)), lm


def outputs(ended: Any) -> list[Any]:
    return [one for one in ended.new_items if one.type == "tool_call_output_item"]


# --------------------------------------------------------------------------------------------------------------- export


async def test_an_agent_calls_a_tool_and_the_whole_result_stays_with_its_output(session: altar.Session) -> None:
    ended, _ = await run(session, ToolUse("oai_add", {"left": 2, "right": 3}), "It is 5.")

    (item,) = outputs(ended)
    assert ("It is 5.", "5") == (ended.final_output, str(item.output))
    assert (5, "SUCCESS") == (item.custom_data["altar"]["content"], item.custom_data["altar"]["status"])


async def test_a_model_reads_what_was_wrong_and_does_better(session: altar.Session) -> None:
    ended, lm = await run(session, ToolUse("oai_add", {"left": "2"}), ToolUse("oai_add", {"left": 2}), "3")

    wrong, right = outputs(ended)
    assert "hint: oai_add(left: integer, right: integer = 1)" in lm.requests[1].text
    assert ("INVALID_TOOL_ARGS", 3) == (
        wrong.custom_data["altar"]["error"]["type"],
        right.custom_data["altar"]["content"],
    )


async def test_a_map_is_taken_as_it_is_and_in_the_strict_form_as_far_as_that_goes(session: altar.Session) -> None:
    plain, strict = ({tool.name: tool for tool in to_openai_agents(session, strict=strict)} for strict in (False, True))

    assert oai_labels.declaration.parameters.json_schema == plain["oai_labels"].params_json_schema
    assert not plain["oai_labels"].strict_json_schema
    assert ["left", "right"] == strict["oai_add"].params_json_schema["required"]


async def test_null_stands_for_an_argument_that_is_left_out_in_the_strict_form(session: altar.Session) -> None:
    ended, _ = await run(session, ToolUse("oai_add", {"left": 2, "right": None}), "3", strict=True)

    assert "3" == str(outputs(ended)[0].output)


@pytest.mark.parametrize("text", ["{", "[1]", '{"left": 1, "left": 2}'])
async def test_arguments_that_are_no_json_object_are_told_to_the_model(session: altar.Session, text: str) -> None:
    (tool,) = to_openai_agents(session, ["oai_add"])

    said = await tool.on_invoke_tool(None, text)

    assert "INVALID_TOOL_ARGS" == said.result.error.type


async def test_a_session_that_is_closed_fails_the_run_and_not_the_model() -> None:
    async with altar.session(tools=["oai_add"], source="later:") as opened:
        (tool,) = to_openai_agents(opened)

    with pytest.raises(altar.ValidationError) as refused:
        await tool.on_invoke_tool(None, '{"left": 1}')

    assert "INVALID_SESSION" == refused.value.code


def test_a_session_without_a_loop_serves_runs_of_several() -> None:
    with altar.session(tools=["oai_add"], source="later:") as opened:
        (tool,) = to_openai_agents(opened)
        said = [str(asyncio.run(tool.on_invoke_tool(None, f'{{"left": {number}}}'))) for number in (1, 2)]

    assert ["2", "3"] == said


# --------------------------------------------------------------------------------------------------------------- import


class Place(BaseModel):
    city: str
    country: str = "NO"


@function_tool(strict_mode=False)
def visit(city: str, nights: int = 1) -> Place:
    """Plan a visit.

    Args:
        city: Where to.
    """
    if nights > 3:
        raise ValueError("the password is swordfish")
    return Place(city=city)


@function_tool(failure_error_function=lambda _, error: f"Not like that: {error}")
def explained(city: str) -> str:
    """Fail in words for a model."""
    raise ValueError(f"{city} is closed")


@function_tool(timeout=2.5)
async def limited(city: str) -> str:
    """Take a while."""
    return city


@pytest.fixture
def opened(altar_registry: Registry) -> Iterator[Any]:
    for tool in (visit, explained):
        altar_registry.register(from_openai_agents(tool))
    with altar.session(source="later:") as session:
        yield session


def test_a_function_tool_is_a_contract_and_gives_what_it_returns(opened: Any) -> None:
    declaration = opened.declaration("visit")

    assert "Plan a visit." == declaration.description
    assert "Where to." == declaration.parameters.json_schema["properties"]["city"]["description"]
    assert {"city": "Oslo", "country": "NO"} == opened.call("visit", city="Oslo").unwrap()


def test_a_failure_is_a_failure_in_the_words_that_are_meant_for_a_model(opened: Any) -> None:
    unmeant = opened.call("visit", city="Oslo", nights=9).error
    meant = opened.call("explained", city="Oslo").error

    assert ("TOOL_EXECUTION_FAILED", False) == (unmeant.type, "swordfish" in unmeant.text)
    assert ("TOOL_EXECUTION_FAILED", "Not like that: Oslo is closed") == (meant.type, meant.message)


def test_a_round_trip_keeps_the_schema(opened: Any) -> None:
    back = {tool.name: tool for tool in to_openai_agents(opened)}

    assert visit.params_json_schema == back["visit"].params_json_schema


@pytest.mark.parametrize("change", [{"needs_approval": True}, {"tool_input_guardrails": [object()]}])
def test_what_only_a_run_of_the_sdk_would_heed_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(altar.DeclarationError, match="which only a run of the Agents SDK heeds"):
        from_openai_agents(dataclasses.replace(visit, **change))


def test_what_is_no_function_tool_is_refused() -> None:
    with pytest.raises(altar.DeclarationError, match="'str' is not a function tool"):
        from_openai_agents("visit")


def test_a_time_limit_of_the_tool_is_one_of_the_contract() -> None:
    assert 2500 == from_openai_agents(limited).declaration.metadata["timeout_ms"]
