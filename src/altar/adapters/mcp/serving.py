"""How a server of MCP is reached: on the stdin and stdout of this process, or on a port of this machine.

On a port every client shows the same token: another user of the machine, or a page in a browser, does not know it.
A message of a client may have MAX_BODY bytes, either way.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

import anyio.to_thread
import uvicorn
from mcp.server.stdio import stdio_server

from altar.adm.errors import AltarError, TransportError

if TYPE_CHECKING:
    from mcp.server import Server

__all__ = ["PATH", "on_port", "on_stdio"]

PATH: Final = "/mcp"

MAX_BODY: Final = 4 * 1024 * 1024
_LARGEST_TOKEN: Final = 256

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


async def on_stdio(server: Server[Any]) -> None:
    """Serve the one client on stdin and stdout until it closes them; what tools print goes to stderr meanwhile.

    Raises MESSAGE_TOO_LARGE for a line that is longer than any message may be.
    """
    with _own_stdin() as lines:
        stdin = cast("anyio.AsyncFile[str]", _Lines(lines))  # of which its lines alone are asked for
        try:
            async with stdio_server(stdin=stdin) as (reading, writing):
                try:
                    await server.run(reading, writing, server.create_initialization_options())
                finally:
                    sys.stdout.flush()  # what tools printed goes where it belongs, before stdout is the client's again
        except* AltarError as refused:
            raise refused.exceptions[0] from None


@contextmanager
def _own_stdin() -> Iterator[BinaryIO]:
    """What the client sends, which tools and what they start cannot read meanwhile: their stdin is empty."""
    own = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        # not closed afterwards: a thread may still wait for a line of it
        yield os.fdopen(own, "rb", closefd=False)
    finally:
        os.dup2(own, 0)


class _Lines:
    """The lines of a file, one after the other, each read in a thread and none longer than MAX_BODY."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __aiter__(self) -> Self:
        """These lines."""
        return self

    async def __anext__(self) -> str:
        """The next line; raises MESSAGE_TOO_LARGE where it does not end in time."""
        line = await anyio.to_thread.run_sync(self._file.readline, MAX_BODY + 1)
        if not line:
            raise StopAsyncIteration
        if len(line) > MAX_BODY:
            raise TransportError(
                "MESSAGE_TOO_LARGE",
                f"The client of MCP sent a line of more than {MAX_BODY} bytes",
                ran="no",
                hint="send what is large in several calls",
            )
        return line.decode("utf-8", "replace")


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
        listening.listen(128)  # whoever connects from now on waits, and is not refused
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
