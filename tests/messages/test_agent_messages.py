"""What a user is told whose agent goes in a circle, takes too much, or is made of what is none; both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Literal

import pytest

import altar
from altar.adm.errors import AltarError, AuthorizationError
from altar.ai.agents import Limits, Memory, agent
from altar.later.session import Options, Session
from altar.testing import RecordingGate, ScriptedLM, ToolUse
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error

Both = Literal["dspy", "pydantic_ai"]


@altar.tool(read_only=True)
def agent_says_weather(city: str) -> str:
    """Tell the weather."""
    return f"There is none in {city}."


@altar.tool
async def agent_says_much(context: altar.ToolContext) -> str:
    """Ask a language model of its own."""
    context.used(input_tokens=900, output_tokens=200, lm_calls=1)
    return "much"


@altar.tool
async def agent_waits() -> None:
    """Wait for good."""
    await asyncio.Event().wait()


OSLO = ToolUse("agent_says_weather", {"city": "Oslo"})
MUCH = ToolUse("agent_says_much")

RUNS: dict[str, Callable[[Both], Any]] = {
    "agent_that_goes_in_a_circle": lambda to: ran(to, [OSLO] * 9),
    "agent_that_comes_to_no_end": lambda to: ran(to, [MUCH] * 9, limits=Limits(requests=4, same_call=None)),
    "agent_with_too_many_calls": lambda to: ran(to, [[OSLO, MUCH]], limits=Limits(tool_calls=1)),
    "agent_with_too_many_tokens": lambda to: ran(to, [MUCH], limits=Limits(total_tokens=1000)),
    "agent_without_a_price": lambda to: ran(to, ["Rain."], limits=Limits(cost_usd=0.01)),
    "agent_whose_answer_never_fits": lambda to: ran(to, [ToolUse("submit", {"result": "rain"})] * 9, output=int),
    "agent_whose_arguments_never_fit": lambda to: ran(to, [ToolUse("agent_says_weather", {})] * 9),
    "agent_whose_budget_is_used_up": lambda to: of_no_budget(to, OSLO, MUCH),
    "agent_asked_while_it_is_asked": lambda to: asyncio.run(at_once(to)),
    "agent_whose_script_has_ended": lambda to: ran(to, [OSLO]),
    "agent_without_its_tool": lambda to: ran(to, [], tools=["agent_says_wether"]),
    "agent_without_a_prompt": lambda to: ran(to, [], prompt=""),
}

MADE: dict[str, Callable[[], object]] = {
    "agent_of_another_framework": lambda: agent(framework="langgraph"),  # type: ignore[arg-type]  # that is the point
    "agent_of_no_model": lambda: agent(model=7),
    "agent_with_an_output_that_is_none": lambda: agent(output=print),
    "agent_with_a_limit_that_is_none": lambda: Limits(requests=0),
    "agent_with_a_memory_that_is_none": lambda: Memory(turns=-1),
    "agent_with_limits_in_a_mapping": lambda: agent(limits={"requests": 3}),  # type: ignore[arg-type]  # that is the point
    "agent_with_a_memory_in_a_number": lambda: agent(memory=3),  # type: ignore[arg-type]  # that is the point
    "agent_with_a_name_that_is_none": lambda: agent(name=7),  # type: ignore[arg-type]  # that is the point
    "agent_with_retries_that_are_none": lambda: agent(retries=-1),
}


def ran(framework: Both, script: list[Any], *, prompt: str = "How is the weather?", **more: Any) -> None:
    asked = agent(model=ScriptedLM(script), framework=framework, name="weatherman", **more)
    with altar.session(source="later:") as session:
        asked.run(session, prompt).unwrap()


def of_no_budget(framework: Both, *script: ToolUse) -> None:
    error = AuthorizationError("BUDGET_EXCEEDED", "The budget of this month is used up.", ran="no", hint="raise it")
    gate = RecordingGate(refuse={"agent_says_much": error})
    asked = agent(model=ScriptedLM(script), framework=framework, name="weatherman")
    with Session(Options(("agent_says_weather", "agent_says_much"), gate=gate)) as session:
        asked.run(session, "How is the weather?").unwrap()


async def at_once(framework: Both) -> None:
    asked = agent(model=ScriptedLM([ToolUse("agent_waits")]), framework=framework, name="weatherman")
    async with (
        altar.session(source="later:") as session,
        aclosing(asked.stream(session, "How is the weather?", conversation="today")) as stream,
    ):
        await anext(stream)
        await asked.run(session, "And now?", conversation="today")


@pytest.mark.parametrize("framework", ["dspy", "pydantic_ai"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_ends_badly(told: Told, name: str, framework: Both) -> None:
    with pytest.raises(AltarError) as ended:
        RUNS[name](framework)

    told(name, of_error(ended.value))  # one stored message: it is the same under both


@pytest.mark.parametrize("name", MADE)
def test_an_agent_that_cannot_be_made(told: Told, name: str) -> None:
    with pytest.raises(AltarError) as refused:
        MADE[name]()

    told(name, of_error(refused.value))
