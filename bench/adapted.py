"""What a tool of a session costs where another framework calls it, beside that framework's own tool of the function.

Each is called as the framework's own agent does it, without a language model; the server of MCP is asked over loopback,
by its package's own client, in the same process: its figures are of both sides.
Processor time is taken, and each way has its turn in every round, since a machine is noisy.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import altar
from bench.tools import ARGUMENTS, plain_probe

__all__ = ["measure"]

CALLS, TURNS = 40, 5
Call = Callable[[], Awaitable[Any]]


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, microseconds in asyncio.run(_round()).items():
            figures.setdefault(name, []).append(microseconds)
    for name, taken in figures.items():
        yield name, "µs CPU", "cpu" if name.endswith("own tool") else "latency", taken


async def _round() -> dict[str, float]:
    """Microseconds of processor time of a call, the best of many short turns, by the name of the way."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(altar.session(["probe"], source="later:"))
        calls: dict[str, Call] = {}
        for name, ways in (
            ("LangChain", _langchain(session)),
            ("Pydantic-AI", await _pydantic_ai(session)),
            ("Agents SDK", _agents(session)),
            ("MCP over loopback", await stack.enter_async_context(_mcp(session))),
        ):
            calls[f"{name}, tool of a session"], calls[f"{name}, own tool"] = ways
        for name, call in calls.items():
            answer = await call()
            assert "7.5" in str(answer), (name, answer)
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(TURNS):
            for name, call in calls.items():
                began = time.process_time()
                for _ in range(CALLS):
                    await call()
                best[name] = min(best[name], (time.process_time() - began) / CALLS * 1e6)
        return best


def _langchain(session: altar.Session) -> tuple[Call, Call]:
    from langchain_core.tools import StructuredTool

    from altar.adapters.langchain import to_langchain

    (ours,) = to_langchain(session)
    own = StructuredTool.from_function(coroutine=plain_probe, name="probe", description="Answer at once.")
    return lambda: ours.ainvoke(ARGUMENTS), lambda: own.ainvoke(ARGUMENTS)


async def _pydantic_ai(session: altar.Session) -> tuple[Call, Call]:
    from pydantic_ai import RunContext, RunUsage
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.toolsets import FunctionToolset

    from altar.adapters.pydantic_ai import to_pydantic_ai

    context: Any = RunContext(deps=None, model=TestModel(), usage=RunUsage(), tool_name="probe", tool_call_id="call-1")

    async def through(toolset: Any) -> Call:
        tool = (await toolset.get_tools(context))["probe"]

        async def call() -> Any:
            arguments = tool.args_validator.validate_python(ARGUMENTS)
            return await toolset.call_tool("probe", arguments, context, tool)

        return call

    own: Any = FunctionToolset()
    own.add_function(plain_probe, name="probe")
    return await through(to_pydantic_ai(session)), await through(own)


def _agents(session: altar.Session) -> tuple[Call, Call]:
    from agents import function_tool
    from agents.tool_context import ToolContext

    from altar.adapters.openai_agents import to_openai_agents

    text = json.dumps(ARGUMENTS)
    (ours,) = to_openai_agents(session)
    own = function_tool(plain_probe, name_override="probe", strict_mode=False)

    def through(tool: Any) -> Call:
        async def call() -> Any:
            run = ToolContext(context=None, tool_name="probe", tool_call_id="call-1", tool_arguments=text)
            return await tool.on_invoke_tool(run, text)

        return call

    return through(ours), through(own)


@asynccontextmanager
async def _mcp(session: altar.Session) -> AsyncIterator[tuple[Call, Call]]:
    from mcp.client.client import Client
    from mcp.server.mcpserver import MCPServer

    from altar.adapters.mcp import to_mcp

    own = MCPServer("own", log_level="CRITICAL")
    own.tool(name="probe")(plain_probe)
    apps = (to_mcp(session).streamable_http_app(), own.streamable_http_app())
    async with AsyncExitStack() as stack:
        clients = []
        for app in apps:
            url = await stack.enter_async_context(_served(app))
            clients.append(await stack.enter_async_context(Client(url, cache=None)))
        ours, theirs = clients
        yield lambda: ours.call_tool("probe", ARGUMENTS), lambda: theirs.call_tool("probe", ARGUMENTS)


@asynccontextmanager
async def _served(app: Any) -> AsyncIterator[str]:
    """The address of an application on a port of this machine, in a thread of its own."""
    import socket

    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.to_thread(thread.join)
        listening.close()
