"""LangChain: a StructuredTool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_core.tools import StructuredTool

from bench.peers import Functions, Ways
from bench.tools import plain_probe

TITLE = "LangChain"
NAME = "langchain-core"


@asynccontextmanager
async def calls() -> AsyncIterator[Ways]:
    tool = StructuredTool.from_function(coroutine=plain_probe)
    yield {"LangChain, StructuredTool.ainvoke": tool.ainvoke}


def declare(functions: Functions) -> None:
    for function in functions:
        StructuredTool.from_function(function, parse_docstring=True)
