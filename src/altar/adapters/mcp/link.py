"""One connection to a server of MCP, made when a call first needs it and made again when it breaks.

Its client lives in the event loop of this process's portal, so that calls from any loop and thread share one server.
In: the address of a server, what was adopted of it, and calls.
Out: the documents that it answers with; nothing that it says is believed before its tools are those adopted.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import httpx2
import mcp_types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError as Misshapen

import altar
from altar.adapters.mcp.adoption import MAX_TOOLS, Adopted, Adoption, entry, order
from altar.adapters.mcp.servers import HttpServer, McpServer, Secret, StdioServer, is_loopback, secrets_for
from altar.adapters.mcp.stdio import program
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, TransportError, ValidationError
from altar.later.portal import portal

__all__ = ["Link", "look"]

Progress = Callable[[float, float | None, str | None], None]
T = TypeVar("T")

MAX_PAGES: Final = 100
MAX_ANSWER: Final = 64 * 1024 * 1024
"""An answer over HTTP has at most so many bytes."""

_EVENTS: Final = "text/event-stream"
_CONNECTING: Final = 30.0
_SILENT: Final = 300.0
"""For so many seconds a server may be connected to or written to, and may say nothing on an open stream."""

MAX_TEXT: Final = 500
"""Of what a server says in an error that is not for a model, at most so many characters are kept."""


class Link:
    """The connection to one server, for any number of calls at once.

    ``recheck`` is for how many seconds its list of tools is believed; it is read again before the next call, and as
    soon as the server says that it has changed.
    ``patience`` is how many seconds a connection and its list of tools may take.
    ``mode`` is ``auto``, or ``legacy`` for the protocol before 2026-07-28.
    ``auth`` signs requests over HTTP, and answers a server that asks for it.
    """

    def __init__(
        self,
        adoption: Adoption,
        *,
        secrets: Mapping[str, Secret],
        recheck: float,
        patience: float,
        mode: str,
        stderr: str,
        auth: httpx2.Auth | None = None,
    ) -> None:
        self._adopted = adoption
        self._auth = auth
        self._secrets = secrets
        self._recheck = recheck
        self._patience = patience
        self._mode = mode
        self._stderr = stderr
        self._process = 0
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._looked = -math.inf
        self._now: dict[str, str] = {}

    async def call(
        self,
        tool: Adopted,
        arguments: Mapping[str, Any],
        *,
        seconds: float,
        progress: Progress,
        meta: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The result of `tools/call` as a document, from any event loop; when this is cancelled, so is the request.

        Raises VERSION_MISMATCH for a tool that is no longer what was adopted, DEPENDENCY_UNAVAILABLE and
        CONNECTION_FAILED where the server is not to be had, TIMEOUT, and TOOL_EXECUTION_FAILED for what it refuses.
        """
        work = self._call(tool, dict(arguments), seconds=seconds, progress=progress, meta=dict(meta))
        return await asyncio.wrap_future(portal().begin(work))

    def close(self) -> None:
        """End the connection, and with it a server on stdio; the next call makes another."""
        if self._process == os.getpid():
            portal().begin(self._leave()).result(self._patience)

    # ------------------------------------------------------------------------------------ in the loop of the portal

    async def _call(
        self, tool: Adopted, arguments: dict[str, Any], *, seconds: float, progress: Progress, meta: dict[str, Any]
    ) -> dict[str, Any]:
        client = await self._connected()
        self._require(tool)

        async def told(done: float, total: float | None, message: str | None) -> None:
            progress(done, total, message)

        answered = await self._translated(
            client.call_tool(
                tool.name,
                arguments,
                read_timeout_seconds=None if math.isinf(seconds) else max(0.001, seconds),
                progress_callback=told,
                meta=meta,
            ),
            client,
        )
        return document_of(answered)

    async def _connected(self) -> Client:
        """The client, connected, with a list of tools that is not too old."""
        if self._process != os.getpid():
            self._forget()  # a child has its own connections: those of its parent are not its to use
        async with self._lock:
            if self._client is None:
                await self._enter()
            if time.monotonic() - self._looked > self._recheck:
                await self._look()
            if self._client is None:
                raise unavailable(self._adopted.server, "it has left")
            return self._client

    async def _enter(self) -> None:
        opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._process = os.getpid()
        self._ended = portal().begin(self._hold(opened, self._leaving))
        self._looked = -math.inf  # what the connection before was told counts for nothing
        try:
            self._client = await asyncio.shield(opened)
        except asyncio.CancelledError:  # nobody will use it: a program that is just starting must not stay
            self._leaving.set()
            opened.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        atexit.register(self.close)

    async def _hold(self, opened: asyncio.Future[Client], leaving: asyncio.Event) -> None:
        """Be the one task that enters and leaves the connection, as the client's own scopes ask for it."""
        try:
            async with AsyncExitStack() as stack:
                client = await connect(
                    self._adopted.server,
                    self._secrets,
                    stack=stack,
                    mode=self._mode,
                    patience=self._patience,
                    stderr=self._stderr,
                    auth=self._auth,
                    changed=self._doubt,
                )
                opened.set_result(client)
                await leaving.wait()
        except BaseException as failed:
            if opened.done():
                raise
            opened.set_exception(refused(self._adopted.server, failed))

    async def _look(self) -> None:
        if self._client is None:
            return
        listed = await self._translated(listing(self._client), self._client, patience=self._patience)
        self._now = {tool.name: tool.digest for tool in listed}
        self._looked = time.monotonic()

    async def _translated(self, work: Awaitable[T], client: Client, *, patience: float | None = None) -> T:
        """What comes of a request, with the errors of its client as ours; a connection that broke is let go of."""
        try:
            async with asyncio.timeout(patience):
                return await work
        except AltarError:
            raise
        except MCPError as failed:
            why = await self._leave(client) if failed.code == mcp_types.CONNECTION_CLOSED else None
            if isinstance(why, AltarError):  # what went wrong with the connection says more than its end
                raise why from failed
            raise failure(self._adopted.server, failed) from failed
        except (TimeoutError, OSError, httpx2.HTTPError) as failed:
            await self._leave(client)
            raise unavailable(self._adopted.server, _said(failed), ran="unknown") from failed
        except (RuntimeError, Misshapen) as failed:
            raise ValidationError(
                "SCHEMA_VIOLATION",
                "The server of MCP answered with something else than it promised",
                ran="yes",
                detail=_said(failed),
                hint="tell who runs it",
            ) from failed

    def _require(self, tool: Adopted) -> None:
        """Raise VERSION_MISMATCH unless the server offers this very tool."""
        now = self._now.get(tool.name)
        if now == tool.digest:
            return
        what = "is no longer offered" if now is None else "was changed after it was adopted"
        raise ValidationError(
            "VERSION_MISMATCH",
            f"The tool {tool.name!r} of the server {self._adopted.name!r} {what}",
            ran="no",
            detail=f"adopted {tool.digest}, offered {now}",
            hint="look at what changed and adopt it again: `altar mcp import FILE`, then with --adopt",
        )

    async def _doubt(self, message: object) -> None:
        """The server says that its tools have changed: the next call looks again."""
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._looked = -math.inf

    async def _leave(self, broken: Client | None = None) -> BaseException | None:
        """End the connection and give what it failed with.

        When ``broken`` is not the one of now, another call has ended that one already.
        """
        if self._client is None or (broken is not None and broken is not self._client):
            return None
        self._client = None  # nobody begins a request on it from here on
        ended = asyncio.wrap_future(self._ended)
        self._leaving.set()
        await asyncio.wait((ended,))
        atexit.unregister(self.close)
        failed = None if ended.cancelled() else ended.exception()
        return None if failed is None else _cause(failed)

    def _forget(self) -> None:
        self._lock = asyncio.Lock()
        self._client = None
        self._looked = -math.inf
        self._now = {}


async def look(
    server: McpServer,
    *,
    name: str,
    secrets: Mapping[str, Secret],
    patience: float,
    mode: str,
    stderr: str,
    auth: httpx2.Auth | None = None,
) -> Adoption:
    """What a server offers now, with the digest of each tool; for a person to look at, and to adopt.

    Raises DEPENDENCY_UNAVAILABLE for a server that is not to be had, or offers what cannot be taken.
    """
    try:
        async with asyncio.timeout(patience), AsyncExitStack() as stack:
            client = await connect(server, secrets, stack=stack, mode=mode, patience=patience, stderr=stderr, auth=auth)
            info = client.server_info
            title = "" if info is None else f"{info.title or info.name} {info.version}"[:MAX_TEXT]
            return Adoption(name, server, order(await listing(client)), str(client.protocol_version), title)
    except BaseException as failed:
        raise refused(server, failed) from failed


async def connect(
    server: McpServer,
    secrets: Mapping[str, Secret],
    *,
    stack: AsyncExitStack,
    mode: str,
    patience: float,
    stderr: str,
    auth: httpx2.Auth | None = None,
    changed: Callable[[object], Awaitable[None]] | None = None,
) -> Client:
    """A client that is connected for as long as the stack is open; the program of a server is started for it."""
    given = secrets_for(server, secrets)
    transport: Any
    if isinstance(server, StdioServer):
        if auth is not None:
            raise ConfigurationError("INVALID_CONFIG", "Nobody signs in to a server that is a program", ran="no")
        transport = program(server, given, errors=stack.enter_context(_opened(stderr)))
    else:
        headers = {"accept-encoding": "identity", **given}
        http = await stack.enter_async_context(
            httpx2.AsyncClient(
                headers=headers,
                auth=auth,
                timeout=httpx2.Timeout(_CONNECTING, read=_SILENT),
                mounts={"http://": None},  # what is in the clear stays on this machine: no proxy gets it
                event_hooks={"request": [near(server)], "response": [bound_answer]},
            )
        )
        transport = streamable_http_client(server.url, http_client=http)
    client = Client(
        transport,
        mode=mode,
        message_handler=changed,
        client_info=mcp_types.Implementation(name="altar", version=altar.__version__),
        cache=None,
    )
    async with asyncio.timeout(patience):
        return await stack.enter_async_context(client)


def near(server: HttpServer) -> Callable[[httpx2.Request], Awaitable[None]]:
    """What refuses requests in the clear, save those to this machine on behalf of a server that is here itself.

    Where somebody signs in is what the server says, and no server is to send requests into the network around us.
    """
    is_here = is_loopback(httpx2.URL(server.url).host)

    async def refuse(request: httpx2.Request) -> None:
        host = request.url.host
        if not (is_here if is_loopback(host) else request.url.scheme == "https"):
            raise httpx2.UnsupportedProtocol(f"The server leads to {host!r}, which it may not", request=request)

    return refuse


async def bound_answer(response: httpx2.Response) -> None:
    """Let the body of an answer be at most MAX_ANSWER bytes, and none that grows as it is unpacked.

    An answer in events is bounded by the client itself, event by event.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("The answer is compressed, which was not asked for", request=response.request)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_asked = _EVENTS in response.request.headers.get("accept", "") and response.status_code == httpx2.codes.OK
    if kind != _EVENTS or not is_asked:
        response.stream = _Bounded(response)


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer up to MAX_ANSWER bytes."""

    def __init__(self, response: httpx2.Response) -> None:
        self._held: Any = response.stream
        self._request = response.request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each part as it comes; raises what a connection that broke does when there is too much."""
        taken = 0
        async for part in self._held:
            taken += len(part)
            if taken > MAX_ANSWER:
                raise httpx2.ReadError(f"The answer has more than {MAX_ANSWER} bytes", request=self._request)
            yield part

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._held.aclose()


def _opened(file: str) -> TextIO:
    """What a program writes on its stderr goes there; nowhere without a file."""
    return Path(file or os.devnull).open("a", encoding="utf-8")


async def listing(client: Client) -> list[Adopted]:
    """Every tool that a server offers, page by page. Raises DEPENDENCY_UNAVAILABLE for a list without an end."""
    found: list[Adopted] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [entry(document_of(tool)) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found
        if len(found) > MAX_TOOLS:
            break
    order(found)
    raise ExecutionError("DEPENDENCY_UNAVAILABLE", "The server of MCP offers tools without an end", ran="no")


def document_of(model: Any) -> dict[str, Any]:
    """A message of the protocol as JSON."""
    document: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document


def refused(server: McpServer, failed: BaseException) -> BaseException:
    """The error for a connection that did not come about; interrupts and our own errors stay what they are."""
    failed = _cause(failed)
    if isinstance(failed, AltarError) or not isinstance(failed, Exception):
        return failed
    return unavailable(server, _said(failed))


def unavailable(server: McpServer, why: str, *, ran: Any = "no") -> AltarError:
    """The error for a server that is not to be had."""
    kind = "the program must be installed" if isinstance(server, StdioServer) else "the address must be reachable"
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"The server of MCP cannot be used: {why}",
        ran=ran,
        detail=server.shown,
        hint=f"{kind} where the tool runs; give stderr=FILE to see what it writes",
    )


def failure(server: McpServer, failed: MCPError) -> AltarError:
    """The error for a request that the server or its connection did not carry out."""
    if failed.code == mcp_types.CONNECTION_CLOSED:
        return TransportError(
            "CONNECTION_FAILED", "The server of MCP left during the call", ran="unknown", detail=server.shown
        )
    if failed.code == mcp_types.REQUEST_TIMEOUT:
        return ExecutionError("TIMEOUT", "The server of MCP did not answer in time", ran="unknown")
    return ExecutionError(
        "TOOL_EXECUTION_FAILED",
        f"The server of MCP refused the request: {failed.message[:MAX_TEXT]}",
        ran="unknown",
        detail=f"JSON-RPC {failed.code}",
    )


def _cause(failed: BaseException) -> BaseException:
    """What stands alone in groups of exceptions."""
    while isinstance(failed, BaseExceptionGroup) and len(failed.exceptions) == 1:
        failed = failed.exceptions[0]
    return failed


def _said(failed: BaseException) -> str:
    text = str(failed).strip() or type(failed).__name__
    return text[:MAX_TEXT]
