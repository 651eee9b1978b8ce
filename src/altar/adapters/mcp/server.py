"""The tools of a session as a server of MCP, for the protocol of 2026-07-28 and those before it.

In: requests of clients. Out: the contracts of the session as tools, and what its calls give.
Each call goes through the session: arguments are checked against the contract, the gate decides, the record is kept.
A call that waits for a person is told so: as a question to the user of a client that can ask one, else as an error with
the handle, under which the same call is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

import altar
from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.formats import CALL_FORMATS
from altar.later.both_ways import BothWays
from altar.later.context import Progress
from altar.later.front import SyncSession
from altar.later.session import Session

__all__ = ["HANDLE", "serve"]

HANDLE: Final = "altar/approval"
"""The member of `_meta` under which a client gives the handle of an approved call."""

_MCP: Final = CALL_FORMATS["mcp"]
_PAGE: Final = 200
_QUESTION: Final = "approval"
_WAITS: Final = 24 * 3600.0
_TOLD: Final = 64
_BLOCKS: Final = frozenset({"text", "image", "audio", "resource", "resource_link"})


def serve(session: Session | SyncSession, *, names: frozenset[str], name: str, instructions: str) -> Server[Any]:
    """A server that offers the tools of an open session, or those of ``names`` alone."""
    served = _Served(session, names)
    server: Server[Any] = Server(
        name,
        version=altar.__version__,
        instructions=instructions or None,
        on_list_tools=served.list_tools,
        on_call_tool=served.call_tool,
        get_tool_input_schema=served.schema,
    )
    security = RequestStateSecurity.ephemeral(ttl=_WAITS)
    server.middleware.append(RequestStateBoundary(security, default_audience=name))
    return server


class _Served:
    """The handlers of one server."""

    def __init__(self, session: Session | SyncSession, names: frozenset[str]) -> None:
        self._session = session
        self._names = names

    async def list_tools(self, ctx: Any, params: Any) -> Any:
        """The tools of the session as they are now, a page at a time."""
        names = [name for name in sorted(self._session.tools) if not self._names or name in self._names]
        first = _place(None if params is None else params.cursor)
        listed = [self._session.declaration(name) for name in names[first : first + _PAGE]]
        tools = [types.Tool.model_validate(_entry(one)) for one in listed if one is not None]
        more = str(first + _PAGE) if first + _PAGE < len(names) else None
        return types.ListToolsResult(tools=tools, next_cursor=more)

    async def call_tool(self, ctx: Any, params: Any) -> Any:
        """What a call gives; a failure is a result that a model can read."""
        declaration = self._session.declaration(params.name) if self._offers(params.name) else None
        if declaration is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:64]!r}")
        handle = self._handle(params)
        if handle and _answer_of(params) not in {"", "accept"}:
            return _result({"content": [_text("The call was not pursued; it did not run")], "isError": True})
        result = await self._call(ctx, params, handle)
        question = _question(ctx, result)
        if question is not None:
            return question
        return _result(_document(result, declaration))

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """The schema of a tool's arguments, for the transport to hold headers against; None for one that is not there.

        Without this the transport would list all tools before each call.
        """
        declaration = self._session.declaration(name) if self._offers(name) else None
        return None if declaration is None else declaration.parameters.json_schema

    async def _call(self, ctx: Any, params: Any, handle: str) -> ToolResult:
        """Make the call, and tell the client how far it is, while it is."""
        told: asyncio.Queue[Progress | None] = asyncio.Queue(_TOLD)

        here = asyncio.get_running_loop()

        def put(progress: Progress) -> None:
            if not told.full():
                told.put_nowait(progress)

        def tell(progress: Progress) -> None:
            here.call_soon_threadsafe(put, progress)  # the session may live in another loop

        async def pass_on() -> None:
            while (one := await told.get()) is not None:
                await ctx.session.report_progress(one.done, one.total, one.message)

        async with anyio.create_task_group() as beside:
            beside.start_soon(pass_on)
            try:
                asking = self._session.options(on_progress=tell, idempotency_key=handle or None, approval="return")
                result = await BothWays(asking).acall(params.name, params.arguments or {})
            except AltarError as failed:  # of the session or the handle: told in the words that are meant for callers
                result = ToolResult("call", params.name, ResultStatus.ERROR, error=ErrorObject.of(failed))
            await told.put(None)
        return result

    def _offers(self, name: str) -> bool:
        return "@" not in name and (not self._names or name in self._names)

    @staticmethod
    def _handle(params: Any) -> str:
        """The handle of an approval that a client gives: in its state of the request, or in `_meta`."""
        given = params.request_state or (params.meta or {}).get(HANDLE) or ""
        return given if isinstance(given, str) else ""


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 9:
        raise MCPError(types.INVALID_PARAMS, "The cursor is none of this server's")
    return int(cursor)


def _entry(declaration: FunctionDeclaration) -> dict[str, Any]:
    """The entry of a tool under its name here, whatever it was called where it came from."""
    return {**_MCP.write(declaration).document, "name": declaration.name}


def _question(ctx: Any, result: ToolResult) -> Any:
    """What the user of a client is asked while a call waits for approval; None when it does not, or nobody can be."""
    error = result.error
    if error is None or error.type != "APPROVAL_PENDING" or error.ran != "no" or not error.handle:
        return None
    can = ctx.session.client_capabilities
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS or can is None or can.elicitation is None:
        return None
    message = (
        f"{error.message}\nIt waits under {error.handle}. Accept once it has been approved; decline to give it up."
    )
    asked = types.ElicitRequestFormParams(message=message, requested_schema={"type": "object", "properties": {}})
    return types.InputRequiredResult(
        input_requests={_QUESTION: types.ElicitRequest(params=asked)}, request_state=error.handle
    )


def _answer_of(params: Any) -> str:
    """What a user answered: accept, decline or cancel; nothing when none was asked."""
    answered = (params.input_responses or {}).get(_QUESTION)
    return str(getattr(answered, "action", "")) if answered is not None else ""


def _document(result: ToolResult, declaration: FunctionDeclaration) -> dict[str, Any]:
    """A result as the protocol writes it, with its images, sounds and blocks as what they are."""
    document = dict(_MCP.write_result(result, declaration=declaration).document)
    if result.error is not None:
        return document
    blocks = _blocks(result.content) if declaration.returns is None else None
    if blocks is not None:
        document.pop("structuredContent", None)
        document.pop("_meta", None)
        return {**document, "content": blocks}
    media = list(_media(result, declaration))
    return {**document, "content": [*document["content"], *media]} if media else document


def _blocks(content: Any) -> list[Any] | None:
    """The content, where it is blocks of MCP already, as a tool of another server gives them."""
    if not isinstance(content, list) or not content:
        return None
    known = all(isinstance(one, Mapping) and one.get("type") in _BLOCKS for one in content)
    try:
        return content if known and types.CallToolResult.model_validate({"content": content}) else None
    except ValueError:
        return None


def _media(result: ToolResult, declaration: FunctionDeclaration) -> Any:
    """The images and sounds of a result: bytes that its contract gives a type of media, as a whole or in a member."""
    schema = {} if declaration.returns is None else declaration.returns.json_schema
    places = {(): schema} | {(name,): one for name, one in schema.get("properties", {}).items()}
    for place, one in places.items():
        kind = str(one.get("contentMediaType", "")) if isinstance(one, Mapping) else ""
        content: Any = result.content
        held = content if not place else content.get(place[0]) if isinstance(content, Mapping) else None
        family = kind.partition("/")[0]
        if family in {"image", "audio"} and isinstance(held, str) and one.get("contentEncoding") == "base64":
            yield {"type": family, "data": held, "mimeType": kind}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(document: Mapping[str, Any]) -> Any:
    return types.CallToolResult.model_validate(document)
