"""A server of MCP in this process whose tools a test changes while it runs, on a port of loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server

from altar.adapters.mcp import HttpServer
from altar.adapters.mcp.serving import guarded

TOKEN = "a-token-of-thirty-two-characters"
SECRETS = {"Authorization": f"Bearer {TOKEN}"}
PNG = "iVBORw0KGgo="

ECHO: dict[str, Any] = {
    "name": "echo",
    "description": "Say it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "annotations": {"readOnlyHint": True},
}
TOOLS: dict[str, dict[str, Any]] = {
    "echo": ECHO,
    "sum": {
        "name": "sum",
        "description": "Add numbers.",
        "inputSchema": {"type": "object", "properties": {"of": {"type": "array", "items": {"type": "number"}}}},
        "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
    },
    "draw": {"name": "draw", "description": "Draw a picture.", "inputSchema": {"type": "object"}},
    "slow": {"name": "slow", "description": "Take a long time.", "inputSchema": {"type": "object"}},
    "fail": {"name": "fail", "description": "Fail.", "inputSchema": {"type": "object"}},
    "lie": {
        "name": "lie",
        "description": "Promise and not hold.",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


class Scene:
    """What the server offers, and what happened to its calls."""

    def __init__(self) -> None:
        self.tools = dict(TOOLS)
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.lists = 0
        self.protocols: set[str] = set()
        self.server = HttpServer("http://127.0.0.1:1/mcp", ("Authorization",))

    async def list_tools(self, ctx: Any, params: Any) -> Any:
        self.lists += 1
        return types.ListToolsResult(tools=[types.Tool.model_validate(one) for one in self.tools.values()])

    async def call_tool(self, ctx: Any, params: Any) -> Any:
        self.protocols.add(ctx.protocol_version)
        given = params.arguments or {}
        answers: dict[str, dict[str, Any]] = {
            "echo": {"content": [{"type": "text", "text": str(given.get("text"))}]},
            "sum": {"content": [], "structuredContent": {"sum": sum(given.get("of", []))}},
            "draw": {
                "content": [
                    {"type": "text", "text": "here"},
                    {"type": "image", "data": PNG, "mimeType": "image/png"},
                ]
            },
            "fail": {
                "content": [{"type": "text", "text": "No such city"}],
                "isError": True,
                "_meta": {
                    "altar/error": {"type": "APPROVAL_PENDING", "ran": "no", "details": {"handle": "approval-x"}}
                },
            },
            "lie": {"content": [], "structuredContent": {"n": "one"}},
        }
        if params.name == "sum":
            await ctx.session.report_progress(1, 2, "half")
        if params.name == "slow":
            self.begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return types.CallToolResult.model_validate(answers[params.name])


@contextmanager
def running() -> Iterator[Scene]:
    """A server that runs in a thread of its own until the block ends."""
    scene = Scene()
    made: Server[Any] = Server(
        "scene",
        version="1",
        on_list_tools=scene.list_tools,
        on_call_tool=scene.call_tool,
        get_tool_input_schema=lambda name: scene.tools.get(name, {}).get("inputSchema"),
    )
    with on_a_port(made) as url:
        scene.server = HttpServer(url, ("Authorization",))
        yield scene


@contextmanager
def on_a_port(made: Server[Any]) -> Iterator[str]:
    """The address of a server that is served in a thread of its own, for who shows the token."""
    app = guarded(made.streamable_http_app(), TOKEN)
    served = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    port: Future[int] = Future()

    async def serve() -> None:
        serving = asyncio.create_task(served.serve())
        while not served.started:  # noqa: ASYNC110 - its own flag is all that it has
            await asyncio.sleep(0.01)
        port.set_result(served.servers[0].sockets[0].getsockname()[1])
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{port.result(30)}/mcp"
    finally:
        served.should_exit = served.force_exit = True  # also while a client still listens
        thread.join(30)
