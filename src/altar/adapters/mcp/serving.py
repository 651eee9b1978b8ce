"""How a server of MCP is reached: on the stdin and stdout of this process, or on a port of this machine.

On a port every client shows the same token: another user of the machine, or a page in a browser, does not know it.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from mcp.server import Server

__all__ = ["PATH", "on_port", "on_stdio"]

PATH: Final = "/mcp"

MAX_BODY: Final = 4 * 1024 * 1024
_LARGEST_TOKEN: Final = 256

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


async def on_stdio(server: Server[Any]) -> None:
    """Serve the one client on stdin and stdout until it closes them; what tools print goes to stderr meanwhile."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def on_port(server: Server[Any], *, port: int, token: str, ready: Callable[[int], object]) -> None:
    """Serve clients on loopback until a signal ends it; ``ready`` is told the port, which 0 leaves to the system.

    Each request needs the header ``Authorization: Bearer <token>``.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        app = server.streamable_http_app(streamable_http_path=PATH, max_request_body_size=MAX_BODY)
        config = uvicorn.Config(guarded(app, token), log_level="warning", timeout_graceful_shutdown=2)
        ready(listening.getsockname()[1])
        await uvicorn.Server(config).serve(sockets=[listening])
    finally:
        listening.close()


def guarded(app: App, token: str) -> App:
    """The same application for those who show the token; all others get 401."""
    wanted = f"Bearer {token}".encode()

    async def guard(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if len(shown) > _LARGEST_TOKEN or not secrets.compare_digest(shown, wanted):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return guard
