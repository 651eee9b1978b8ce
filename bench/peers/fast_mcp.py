"""FastMCP: a server that is asked in its own process, and its own client over a connection in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastmcp import Client, FastMCP

from bench.peers import Functions, Ways
from bench.tools import Given, plain_probe

TITLE = "FastMCP"
NAME = "fastmcp"


@asynccontextmanager
async def calls() -> AsyncIterator[Ways]:
    server = FastMCP("bench")
    server.tool(plain_probe)
    async with Client(server) as client:

        async def asked(arguments: Given) -> object:
            return (await server.call_tool("plain_probe", arguments)).structured_content

        async def through_a_client(arguments: Given) -> object:
            return (await client.call_tool("plain_probe", arguments)).structured_content

        yield {"FastMCP, server.call_tool": asked, "FastMCP, client in memory": through_a_client}


def declare(functions: Functions) -> None:
    server = FastMCP("bench")
    for function in functions:
        server.tool(function)
