"""A toolset of Pydantic-AI over a session: what a model may call is what the session has, at each step of a run.

In: calls of a model. Out: what the session gives, or what the model is to do about it.
Arguments are checked by the contract before anything is called; a call that waits for a person ends the run with the
handle in its metadata; usage is added to that of the run; progress and values are events of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_ai import RunContext, RunUsage, Tool
from pydantic_ai.exceptions import ApprovalRequired, ModelRetry, ToolFailed
from pydantic_ai.messages import BinaryContent, CustomEvent, ToolReturn
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets.abstract import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from altar.adm.call import ErrorObject, ToolResult
from altar.adm.codes import CODES
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.later.both_ways import BothWays
from altar.later.context import Progress
from altar.later.front import SyncSession
from altar.later.options import ApprovalMode
from altar.later.session import Session

__all__ = ["HANDLE", "SessionToolset", "ToolProgress", "ToolValue", "single"]

HANDLE: Final = "altar_handle"
"""The member of a deferred call's metadata that has the handle of its request for approval."""

OnResult = Callable[[ToolResult], object]
"""Told the result of a call before the framework is."""

_TOLD: Final = 256
_OBJECT: Final = SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()))
_OURS: Final = frozenset({"INVALID_SESSION", "SESSION_EXPIRED", "INVALID_CREDENTIALS"})
"""What is wrong with the session: nothing that a model could do about."""


@dataclass(kw_only=True)
class ToolProgress(CustomEvent, name="altar_tool_progress"):  # type: ignore[call-arg]  # what its base takes
    """How far a call is, as an event of the run."""

    done: float
    total: float | None = None
    message: str | None = None


@dataclass(kw_only=True)
class ToolValue(CustomEvent, name="altar_tool_value"):  # type: ignore[call-arg]  # what its base takes
    """One value of a tool that streams, as an event of the run."""

    index: int
    value: Any = None


class SessionToolset(AbstractToolset[Any]):
    """The tools of a session, for any number of agents and runs at once."""

    def __init__(
        self,
        session: Session | SyncSession,
        names: Iterable[str] | None,
        *,
        id: str | None,
        streams: frozenset[str],
        retries: int,
        approval: ApprovalMode | None = "return",
        on_result: OnResult | None = None,
    ) -> None:
        self._session = session
        self._names = None if names is None else tuple(names)
        self._id = id
        self._streams = streams
        self._retries = retries
        self._approval = approval
        self._on_result = on_result
        BothWays(session).contracts(self._names)  # a wrong name is told here, not in the middle of a run

    @property
    def id(self) -> str | None:
        """What tells this toolset from others of an agent."""
        return self._id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """The contracts as they are now."""
        return {one.name: self._tool(one) for one in BothWays(self._session).contracts(self._names)}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """What a call gives; raises what the model, or a person, is to do about it."""
        asked = (tool.tool_def.metadata or {}).get("altar_contract", name)
        return await call(
            self._session,
            asked,
            tool_args,
            ctx,
            streams=name in self._streams,
            approval=self._approval,
            on_result=self._on_result,
        )

    def _tool(self, declaration: FunctionDeclaration) -> ToolsetTool[Any]:
        return ToolsetTool(
            toolset=self,
            tool_def=definition(declaration),
            max_retries=self._retries,
            args_validator=_OBJECT,
            args_validator_func=checking(declaration),
        )


def single(session: Session | SyncSession, name: str, *, retries: int) -> Any:
    """One tool of a session, as a tool of the framework."""
    (declaration,) = BothWays(session).contracts([name])
    defined = definition(declaration)

    async def ask(ctx: RunContext[Any], /, **arguments: Any) -> Any:
        return await call(session, f"{declaration.name}@{declaration.version}", arguments, ctx)

    made = Tool.from_schema(
        ask,
        name=declaration.name,
        description=declaration.description,
        json_schema=defined.parameters_json_schema,
        takes_ctx=True,
        sequential=defined.sequential,
        args_validator=checking(declaration),
    )
    made.max_retries = retries
    made.metadata = defined.metadata
    made.function_schema.return_schema = defined.return_schema or {}
    return made


def definition(declaration: FunctionDeclaration) -> ToolDefinition:
    """A contract as the framework tells it to a model; the schema is the same."""
    metadata = {
        "altar_contract": f"{declaration.name}@{declaration.version}",
        "altar_digest": declaration.digest,
        "altar_annotations": declaration.annotations.to_adm(),
    }
    return ToolDefinition(
        name=declaration.name,
        description=declaration.description,
        parameters_json_schema=dict(declaration.parameters.json_schema),
        return_schema=None if declaration.returns is None else dict(declaration.returns.json_schema),
        metadata=metadata,
        sequential=declaration.annotations.stateful,  # it depends on the calls before it
    )


def checking(declaration: FunctionDeclaration) -> Any:
    """A function that checks arguments by the contract, and has the model correct them."""

    def check(_: RunContext[Any], /, **arguments: Any) -> None:
        try:
            declaration.check_arguments(arguments)
        except AltarError as wrong:
            raise ModelRetry(ErrorObject.of(wrong).text) from wrong

    return check


async def call(
    session: Session | SyncSession,
    name: str,
    arguments: Mapping[str, Any],
    ctx: Any,
    *,
    streams: bool = False,
    approval: ApprovalMode | None = "return",
    on_result: OnResult | None = None,
) -> Any:
    """Make a call for a run: under the handle, once a person has approved it; gives what the model is told."""
    here, told = asyncio.get_running_loop(), asyncio.Queue[Any](_TOLD)

    def tell(progress: Progress) -> None:
        here.call_soon_threadsafe(_put, told, progress)  # the session may live in another loop

    given = (ctx.tool_call_metadata or {}).get(HANDLE) if ctx.tool_call_approved else None
    asking = session.options(on_progress=tell, idempotency_key=given, approval=approval)
    work = _answered(BothWays(asking), name, arguments, told, streams=streams)
    async with asyncio.TaskGroup() as beside:
        beside.create_task(_pass_on(told, ctx))
        try:
            answer = await work
        finally:
            await told.put(None)
    if isinstance(answer, ToolResult):
        if on_result is not None:
            on_result(answer)
        return _given(answer, session.declaration(name), ctx)
    if isinstance(answer, AltarError):
        raise _raised(ErrorObject.of(answer)) from answer
    return answer


async def _answered(
    asking: BothWays, name: str, arguments: Mapping[str, Any], told: asyncio.Queue[Any], *, streams: bool
) -> ToolResult | AltarError | list[Any]:
    """The result of a call, or all values of a stream, or the error that was raised instead."""
    try:
        if streams:
            return await _streamed(asking, name, arguments, told)
        return await asking.acall(name, arguments)
    except AltarError as failed:
        return failed


async def _streamed(asking: BothWays, name: str, arguments: Mapping[str, Any], told: asyncio.Queue[Any]) -> list[Any]:
    """Every value of a stream; each is an event of the run as it comes."""
    values: list[Any] = []
    async for value in asking.avalues(name, arguments):
        await told.put(ToolValue(index=len(values), value=value))
        values.append(value)
    return values


async def _pass_on(told: asyncio.Queue[Any], ctx: Any) -> None:
    """Emit what is told into the events of the run, where there is one."""
    while (one := await told.get()) is not None:
        event = ToolProgress(done=one.done, total=one.total, message=one.message) if isinstance(one, Progress) else one
        if ctx._event_stream_buffer is not None:  # noqa: SLF001 - `emit` refuses without one, and has no other way to ask
            await ctx.emit(event)


def _put(told: asyncio.Queue[Any], progress: Progress) -> None:
    if not told.full():
        told.put_nowait(progress)


def _given(result: ToolResult, declaration: FunctionDeclaration | None, ctx: Any) -> Any:
    """The content for the model, and beside it what the application may know."""
    if result.usage:
        _count(ctx.usage, result.usage)
    if result.error is not None:
        raise _raised(result.error)
    metadata = {"call_id": result.call_id, "usage": dict(result.usage or {}), **(result.metadata or {})}
    return ToolReturn(return_value=_seen(result, declaration), metadata={"altar": metadata})


def _raised(error: ErrorObject) -> Any:
    """What a failed call is to the framework.

    Wrong arguments: the model corrects them. A person must approve: the run stops. The session itself is at fault: the
    application is told. Anything else: the model reads it, and does something else.
    """
    code = error.type or ""
    if code == "APPROVAL_PENDING" and error.ran == "no" and error.handle:
        return ApprovalRequired(metadata={HANDLE: error.handle, "message": error.message})
    category = CODES[code].category if code in CODES else "EXECUTION"
    if category == "CONFIGURATION" or code in _OURS:
        return error.to_error()
    if category == "VALIDATION" and error.ran == "no":
        return ModelRetry(error.text)
    return ToolFailed(error.text)


def _count(usage: Any, used: Mapping[str, Any]) -> None:
    """Add what a tool's own language models took to the usage of the run, so that the run's limits hold for them."""
    whole = {name: held for name, held in used.items() if type(held) is int and held >= 0}
    taken = RunUsage(
        requests=whole.pop("lm_calls", 0),
        input_tokens=whole.pop("input_tokens", 0),
        output_tokens=whole.pop("output_tokens", 0),
        cache_read_tokens=whole.pop("cached_tokens", 0),
        details={f"altar_{name}": held for name, held in whole.items() if name != "total_tokens"},
    )
    usage.incr(taken)


def _seen(result: ToolResult, declaration: FunctionDeclaration | None) -> Any:
    """The content, with images and sounds as a model can see and hear them, where the contract or MCP says so."""
    content = result.content
    if isinstance(content, list) and declaration is not None and declaration.metadata.get("framework") == "mcp":
        return [_block(one) for one in content]
    if declaration is None or declaration.returns is None:
        return content
    schema = declaration.returns.json_schema
    if kind := _media(schema):
        return BinaryContent(result.bytes_at(""), media_type=kind)
    if not isinstance(content, dict):
        return content
    media = {name: _media(one) for name, one in schema.get("properties", {}).items() if name in content}
    places = {name: f"/{name.replace('~', '~0').replace('/', '~1')}" for name, kind in media.items() if kind}
    seen = {
        name: BinaryContent(result.bytes_at(place), media_type=media[name])
        for name, place in places.items()
        if content[name] is not None
    }
    return content | seen if seen else content


def _media(schema: Any) -> str:
    """The type of media that a schema says its bytes have; "" for anything that a model cannot look at."""
    if not isinstance(schema, Mapping) or schema.get("contentEncoding") != "base64":
        return ""
    kind = str(schema.get("contentMediaType", ""))
    return kind if kind.partition("/")[0] in {"image", "audio", "video"} or kind == "application/pdf" else ""


def _block(block: Any) -> Any:
    """A block of MCP as the framework has it: text, an image or a sound; anything else as it stands."""
    if not isinstance(block, Mapping):
        return block
    if block.get("type") == "text":
        return block.get("text")
    if block.get("type") in {"image", "audio"} and isinstance(block.get("data"), str):
        from altar.adm.blobs import bytes_in

        return BinaryContent(bytes_in(block["data"], ""), media_type=str(block.get("mimeType", "")))
    return block
