"""Pydantic-AI: a toolset as an agent uses it in each step, and with its tools kept, which leaves validate and call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic_ai import FunctionToolset, RunContext, RunUsage
from pydantic_ai.models.test import TestModel

from bench.peers import Functions, Ways
from bench.tools import Given, plain_probe

TITLE = "Pydantic-AI"
NAME = "pydantic-ai-slim"


@asynccontextmanager
async def calls() -> AsyncIterator[Ways]:
    tools = FunctionToolset([plain_probe])
    context = RunContext(deps=None, model=TestModel(), usage=RunUsage())
    kept = (await tools.get_tools(context))["plain_probe"]

    async def in_a_step(arguments: Given) -> object:
        tool = (await tools.get_tools(context))["plain_probe"]
        return await tools.call_tool("plain_probe", tool.args_validator.validate_python(arguments), context, tool)

    async def with_tools_kept(arguments: Given) -> object:
        return await tools.call_tool("plain_probe", kept.args_validator.validate_python(arguments), context, kept)

    yield {"Pydantic-AI, get_tools + validate + call": in_a_step, "Pydantic-AI, validate + call": with_tools_kept}


def declare(functions: Functions) -> None:
    FunctionToolset(list(functions))
