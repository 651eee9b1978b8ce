"""A shop, its clerk, and what a test of agents runs under both frameworks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import BaseModel

import altar
from altar.adm.errors import ExecutionError
from altar.ai.agents import Agent, AgentResult, agent
from altar.ai.configuration import configure, configured
from altar.testing import ChatRequest, ScriptedLM, ToolUse

Both = Literal["dspy", "pydantic_ai"]
FRAMEWORKS: tuple[Both, ...] = ("dspy", "pydantic_ai")

both = pytest.mark.parametrize("framework", FRAMEWORKS)
stages: list[asyncio.Event] = []


class Stock(BaseModel):
    """What is there."""

    item: str
    count: int


@altar.tool(read_only=True)
def shop_count(item: str) -> int:
    """Say how many of an item there are."""
    return 12 if item == "tea" else 0


@altar.tool
async def shop_order(item: str, count: int = 1) -> dict[str, Any]:
    """Order something."""
    return {"ordered": count, "item": item}


@altar.tool
def shop_breaks() -> int:
    """Break."""
    raise KeyError("a secret of the tool")


@altar.tool
async def shop_asks(context: altar.ToolContext) -> str:
    """Ask a language model of its own."""
    context.used(input_tokens=900, output_tokens=100, lm_calls=1, cost_usd=0.5)
    return "asked"


@altar.tool
async def shop_waits() -> None:
    """Wait for good."""
    begun, ended = stages
    begun.set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()


@altar.tool
def shop_lost() -> None:
    """Do something of which nobody knows whether it happened."""
    raise ExecutionError("OUTCOME_UNKNOWN", "Nobody knows.", ran="unknown")


@altar.tool(stateful=True)
def shop_next(seen: list[int]) -> int:
    """Count on."""
    return len(seen)


TEA = ToolUse("shop_count", {"item": "tea"})
SCRIPT = [
    ToolUse("shop_count", {"item": 3}),
    [TEA, ToolUse("shop_order", {"item": "tea", "count": 2})],
    ToolUse("shop_counts", {}),
    ToolUse("shop_breaks", {}),
    "There are twelve.",
]


def made(script: Any, framework: Both, **more: Any) -> tuple[Agent, ScriptedLM]:
    lm = ScriptedLM(script) if isinstance(script, list) else script
    return agent(model=lm, framework=framework, **{"name": "clerk", **more}), lm


def ran(script: Any, framework: Both, prompt: str = "How much tea?", **more: Any) -> tuple[AgentResult, ScriptedLM]:
    asked, lm = made(script, framework, **more)
    with altar.session() as session:
        return asked.run(session, prompt), lm


def told(result: AgentResult) -> list[str]:
    return [message.text for message in result.messages if message.role == "tool"]


def without_model(requests: list[ChatRequest]) -> list[ChatRequest]:
    return [replace(request, model="") for request in requests]


@contextmanager
def kept_settings() -> Iterator[None]:
    """Put back afterwards what a test says of the settings."""
    kept = configured()
    yield
    configure(
        default_framework=kept.default_framework,
        result_validation=kept.result_validation,
        retry_on_validation_error=kept.retry_on_validation_error,
    )
