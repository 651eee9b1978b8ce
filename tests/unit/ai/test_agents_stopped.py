"""What ends a run from outside in its middle: a host's budget, a denial, a session that is over; the same in both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

import altar
from altar.adm.errors import AltarError, AuthorizationError
from altar.ai.agents import AgentResult
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation
from altar.later.session import Options, Session
from altar.testing import ScriptedLM, ToolUse
from tests.unit.ai.agent_scene import FRAMEWORKS, TEA, Both, both, made, stages, told, without_model

ORDER = ToolUse("shop_order", {"item": "tea", "count": 2})
NAMES = ("shop_count", "shop_order", "shop_breaks", "shop_asks", "shop_waits")


@dataclass
class Allowing(OpenGate):
    """Lets so many calls pass, and refuses every other."""

    calls: int
    error: AltarError

    def authorize(self, invocation: Invocation) -> None:
        """Count the call, or raise."""
        if not self.calls:
            raise self.error
        self.calls -= 1


def refused_after(calls: int, error: AltarError, script: list[Any]) -> tuple[list[AgentResult], list[ScriptedLM]]:
    """The same run under both, with a gate that refuses all but the first calls."""
    results, models = [], []
    for framework in FRAMEWORKS:
        clerk, lm = made(script, framework)

        async def run(clerk: Any = clerk) -> AgentResult:
            async with Session(Options(NAMES, gate=Allowing(calls, error))) as session:
                result: AgentResult = await clerk.run(session, "Order.")
            return result

        results.append(asyncio.run(run()))
        models.append(lm)
    return results, models


def of(result: AgentResult) -> Any:
    """What both must agree on."""
    assert result.error is not None
    calls = [replace(call, call_id=str(bool(call.call_id))) for call in result.tool_calls]
    return result.error, result.messages, calls, dict(result.usage), result.output


@pytest.mark.parametrize(
    "error",
    [
        AuthorizationError("BUDGET_EXCEEDED", "The budget of this month is used up.", ran="no", hint="ask for more"),
        AuthorizationError(
            "RATE_LIMIT_EXCEEDED", "That were your calls of this minute.", ran="no", retry_after=timedelta(seconds=9)
        ),
    ],
    ids=lambda error: error.code,
)
def test_what_a_host_allows_no_more_ends_the_run_and_what_ran_before_is_told(error: AuthorizationError) -> None:
    results, models = refused_after(2, error, [TEA, [ORDER, TEA, TEA], "Done."])

    first, second = results
    assert of(first) == of(second)
    assert first.error is not None
    assert (error.code, "yes", error.message) == (first.error.type, first.error.ran, first.error.message)
    assert ["success", "success", "refused", "refused"] == [call.status for call in first.tool_calls]
    assert ["", "", error.code, error.code] == [call.code for call in first.tool_calls]
    assert [2, 2] == [len(lm.requests) for lm in models]


def test_a_budget_that_nothing_is_left_of_says_that_nothing_ran() -> None:
    error = AuthorizationError("BUDGET_EXCEEDED", "It is used up.", ran="no")

    results, models = refused_after(0, error, [TEA, "Done."])

    assert [("BUDGET_EXCEEDED", "no")] * 2 == [(each.error.type, each.error.ran) for each in results if each.error]
    assert [1, 1] == [len(lm.requests) for lm in models]


def test_a_denial_in_the_middle_is_told_to_the_model_which_goes_on() -> None:
    error = AuthorizationError("PERMISSION_DENIED", "Not you.", ran="no")

    results, models = refused_after(1, error, [TEA, ORDER, "I may not."])

    for result in results:
        assert "I may not." == result.unwrap()
        assert ["success", "refused"] == [call.status for call in result.tool_calls]
    assert told(results[0]) == told(results[1])
    assert "Not you." in told(results[0])[1]
    assert without_model(models[0].requests) == without_model(models[1].requests)


@altar.tool
async def stopped_closes() -> str:
    """Have the session closed, and end after that."""
    begun, closed = stages
    begun.set()
    await closed.wait()
    return "closed"


@both
async def test_nothing_more_is_asked_in_a_session_that_was_closed_in_the_middle(framework: Both) -> None:
    clerk, lm = made([TEA, ToolUse("stopped_closes"), "Done."], framework)
    stages[:] = asyncio.Event(), asyncio.Event()

    async def run() -> AgentResult:
        result: AgentResult = await clerk.run(session, "Wait.")
        return result

    async with altar.session() as session:
        running = asyncio.create_task(run())
        await stages[0].wait()
    stages[1].set()
    result = await running

    assert result.error is not None
    assert ("INVALID_SESSION", "yes") == (result.error.type, result.error.ran)
    assert "was closed while it was at work" in result.error.message
    assert [("shop_count", "success"), ("stopped_closes", "success")] == [
        (call.name, call.status) for call in result.tool_calls
    ]
    assert 2 == len(lm.requests)
