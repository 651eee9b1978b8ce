"""How a session asks: what names a tool, the invocation that is made of a call, the result that comes of it.

:class:`Asker` is what a session, its copies with other options and its synchronous front share: how to ask.
:class:`Waiter` is where the answer of one call is put.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from altar.adm.blobs import LargeBytes, result_beside
from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult, succeeded, succeeded_beside
from altar.adm.canonical import written_plainly
from altar.adm.errors import AltarError, ValidationError
from altar.later.context import Listener, LogLine, Progress, ToolContext
from altar.later.contracts import no_tool
from altar.later.fingerprint import require_key, require_no_key
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, Outcome, call_facts, require_call_id, too_large
from altar.later.json_form import ARGUMENTS
from altar.later.live import Live
from altar.later.options import DEFAULT_TTL, ApprovalMode, Options
from altar.later.registry import REGISTRY, SessionTools
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.later.source import SessionCatalog

__all__ = [
    "Asker",
    "Named",
    "Waiter",
    "answer",
    "answer_here",
    "arguments_of",
    "asked_of",
    "name_of",
    "result_of",
]

_log = logging.getLogger("altar.later")

Named = str | ToolFunction[..., Any] | FunctionCall
"""What names a tool to call."""


def name_of(tool: Named) -> str:
    """The name of a tool, or of the one that a call is for."""
    return asked_of(tool)[0]


def asked_of(tool: Named) -> tuple[str, str]:
    """The name of a tool, and the version or range asked for: `name@range`, a tool's own, or none for a call.

    Raises ValidationError MALFORMED_REQUEST for what names no tool, such as a function that is not declared.
    """
    if isinstance(tool, str):
        name, at, asked = tool.partition("@")
        return name, asked or at  # `name@` asks for something that no version is
    if isinstance(tool, ToolFunction):
        return tool.name, tool.version
    if isinstance(tool, FunctionCall):
        return tool.name, ""
    raise _malformed(*no_tool(tool))


def arguments_of(tool: Named, given: Mapping[str, Any] | None, named: dict[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call of ``tool``: ``given`` in one mapping, or ``named`` one by one.

    Raises ValidationError MALFORMED_REQUEST for both, for what is no mapping, for arguments beside those of an ADM
    FunctionCall, and for what names no tool.
    """
    name = name_of(tool)[:_LONGEST_NAME]
    if given is not None and not isinstance(given, Mapping):
        raise _malformed(
            f"The arguments of {name!r} are of type {type(given).__name__!r}, and must be a mapping",
            "name each argument, city='Oslo', or give one mapping, {'city': 'Oslo'}",
        )
    if given is not None and named:
        raise _malformed(
            f"The arguments of {name!r} are given in a mapping and by name",
            "put all of them into the mapping, or name all of them",
        )
    if isinstance(tool, FunctionCall) and (given or named):
        raise _malformed(
            f"The call of {name!r} has its own arguments, and is given others",
            "give the FunctionCall alone, or the name of the tool and its arguments",
        )
    return dict(given) if given else named


_LONGEST_NAME = 64
_MOST_PLANS = 4096


@dataclass(slots=True)
class _Plan:
    """What is the same for each call of a tool: name, version or range, seconds at most, and whether it runs here."""

    name: str
    asked: str
    seconds: float
    here: bool


@dataclass(frozen=True, slots=True)
class Asker:
    """Makes the invocations of a session.

    ``tools`` is the catalog of a local session, None for one that asks another process.
    ``live`` is what is open while the session is, and is shared by all copies of it.
    ``listener`` hears what running tools tell, and ``tell`` is how that gets to where it listens.
    ``parent`` is the context of the call inside of which is asked.
    ``key`` is the idempotency key of the calls made through it, or "".
    """

    options: Options
    tools: SessionTools | None
    live: Live = field(default_factory=Live)
    listener: Listener | None = None
    tell: Callable[[Progress | LogLine], None] | None = None
    parent: ToolContext | None = None
    key: str = ""
    plans: dict[str, _Plan] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, options: Options) -> Asker:
        """The asker of a session that is not open yet; raises UNSUPPORTED_TOOL for a local tool there is not."""
        ttl = options.ttl if options.ttl is not None else DEFAULT_TTL
        return cls(options, SessionTools(REGISTRY.choose(options.tools), ttl=ttl) if _is_local(options) else None)

    def with_options(
        self,
        *,
        timeout: timedelta | None,
        listener: Listener,
        key: str | None = None,
        approval: ApprovalMode | None = None,
    ) -> Asker:
        """The same with other options; what is not given stays as it is.

        Raises MALFORMED_REQUEST for a ``key`` that is none, INVALID_CONFIG for another word of ``approval``.
        """
        options = self.options if timeout is None else replace(self.options, timeout=timeout)
        if approval is not None:
            options = replace(options, approval=approval)
        key = self.key if key is None else require_key(key)
        if not listener:
            return replace(self, options=options, key=key)
        both = Listener(
            listener.on_progress or (self.listener and self.listener.on_progress) or None,
            listener.on_log or (self.listener and self.listener.on_log) or None,
        )
        return replace(self, options=options, listener=both, key=key)

    @property
    def catalog(self) -> SessionCatalog | None:
        """What the session may use; None for one on a grid that is not open."""
        return self.tools or self.live.catalog

    def invocation(self, call: Named, arguments: Mapping[str, Any]) -> Invocation | ToolResult:
        """The invocation for a call, or the result when its arguments cannot even be written."""
        plan = (self.plans.get(call) if type(call) is str else None) or self._plan(call)
        given = None if type(call) is str or not isinstance(call, FunctionCall) else call
        if given is not None:
            call_id, arguments = given.call_id, given.args
        elif self.key:
            call_id = self.key
        else:
            call_id = self.live.names.next_call()
        try:
            if given is not None:
                require_call_id(call_id)
                require_no_key(self.key)
            encoded, blobs = written_plainly(arguments), None
            if encoded is None:
                encoded, blobs = ARGUMENTS.write_beside(arguments)
        except AltarError as unfit:
            return result_of(Invocation(plan.name, b"", call_id), Outcome(error=unfit))
        invocation = Invocation(
            plan.name,
            encoded,
            call_id,
            plan.asked,
            deadline=time.monotonic() + plan.seconds,
            principal=self.options.principal,
            correlation_id=self.live.names.correlation,
        )
        if blobs:
            invocation.blobs = blobs
        if self.tell is not None:
            invocation.tell = self.tell
        if self.key:
            invocation.once = True
        return invocation if self.parent is None else _inside(self.parent, invocation)

    def exact_version(self, invocation: Invocation) -> str:
        """The version of the tool that a local call means; empty when there is none."""
        declaration = None if self.tools is None else self.tools.declaration(invocation.name, invocation.version)
        return "" if declaration is None else declaration.version

    def runs_here(self, name: Named) -> bool:
        """Whether a call without a loop can run in the caller's own thread: plain, local, and nobody set a limit."""
        plan = (self.plans.get(name) if type(name) is str else None) or self._plan(name)
        return plan.here

    def _plan(self, call: Named) -> _Plan:
        """How a tool is called; kept by name in a local session, whose tools never change."""
        name, asked = asked_of(call)
        limited = self.options.timeout is not None and self.parent is None
        here = self.tools is not None and not limited and self.tools.runs_in(name, asked) == "caller"
        plan = _Plan(name, asked, self._timeout(name, asked).total_seconds(), here)
        is_known = self.tools is not None and self.tools.declaration(name, asked) is not None
        if type(call) is str and is_known and len(self.plans) < _MOST_PLANS:
            self.plans[call] = plan
        return plan

    def _timeout(self, name: str, asked: str) -> timedelta:
        if self.options.timeout is not None:
            return self.options.timeout
        catalog = self.catalog
        declaration = None if catalog is None else catalog.declaration(name, asked)
        return (declaration.timeout if declaration is not None else None) or self.options.default_timeout


def _inside(context: ToolContext, invocation: Invocation) -> Invocation:
    """The same invocation as part of another call: no later than that, in its name, and one deeper."""
    context.require_running()
    parent = context.invocation
    invocation.parent = parent
    invocation.deadline = min(invocation.deadline, parent.deadline)
    invocation.correlation_id = parent.correlation_id
    invocation.trace = parent.trace
    invocation.depth = parent.depth + 1
    return invocation


def _malformed(what: str, hint: str) -> ValidationError:
    return ValidationError("MALFORMED_REQUEST", what, ran="no", hint=hint)


def _is_local(options: Options) -> bool:
    return options.source.partition(":")[0] == "later"


# ------------------------------------------------------------------------------------------------------- the answer


class Waiter:
    """Where the answer of one call is put, and who waits for it."""

    __slots__ = ("asker", "future", "outcome")

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.outcome: Outcome | None = None
        self.future: asyncio.Future[None] | None = None


def answer_here(invocation: Invocation, outcome: Outcome) -> None:
    """Hold a local result to the limit that a host has unless it says otherwise, then answer."""
    size = outcome.size
    if size > MAX_MESSAGE_BYTES:
        outcome = Outcome(error=too_large("contents of the result", size, MAX_MESSAGE_BYTES, ran="yes"))
    waiter: Waiter = invocation.reply_to
    if outcome.error is None and waiter.future is None:
        waiter.outcome = outcome  # most often the caller is still here, and there is nobody to wake
        return
    answer(invocation, outcome)


def answer(invocation: Invocation, outcome: Outcome) -> None:
    """Put the outcome where its call waits for it, and its detail into the log."""
    waiter: Waiter = invocation.reply_to
    if outcome.error is not None and outcome.error.detail:
        _log.info(
            "call failed",
            extra={**call_facts(invocation), "code": outcome.error.code, "detail": outcome.error.detail},
        )
    waiter.outcome = outcome
    if waiter.future is not None and not waiter.future.done():
        waiter.future.set_result(None)


def result_of(invocation: Invocation, outcome: Outcome | None) -> ToolResult:
    """The result that a caller is given for an outcome."""
    if outcome is None:
        raise RuntimeError("an invocation was not answered")
    fell_back = invocation.where == "fallback"
    if invocation.usage is not None:
        return _with_usage(invocation, outcome)
    if outcome.error is None and outcome.streamed is None and not (outcome.replayed or fell_back):
        if outcome.blobs is not None:
            return _beside(invocation, outcome)
        content = orjson.loads(outcome.content) if outcome.value is None else outcome.value
        return succeeded(invocation.call_id, invocation.name, content)
    metadata = None if outcome.streamed is None else asdict(outcome.streamed)
    if outcome.replayed:
        metadata = {"replayed": True}
    if fell_back:
        metadata = {"fallback": True}
    if outcome.error is not None:
        told = ErrorObject.of(outcome.error)
        if told.field_path == "":
            told = replace(told, field_path=None)  # the whole value; a wire cannot tell this from no path
        return ToolResult(invocation.call_id, invocation.name, ResultStatus.ERROR, error=told, metadata=metadata)
    if outcome.blobs is not None:
        return _beside(invocation, outcome, metadata)
    content = orjson.loads(outcome.content) if outcome.replayed or fell_back else None
    return ToolResult(invocation.call_id, invocation.name, ResultStatus.SUCCESS, content, metadata=metadata)


def _with_usage(invocation: Invocation, outcome: Outcome) -> ToolResult:
    """The result with what the call took beside it."""
    usage, invocation.usage = invocation.usage, None
    try:
        result = result_of(invocation, outcome)
    finally:
        invocation.usage = usage
    object.__setattr__(result, "usage", dict(usage or {}))  # fresh, and not replaced: its content may be made late
    return result


def _beside(invocation: Invocation, outcome: Outcome, metadata: Mapping[str, Any] | None = None) -> ToolResult:
    """The result for an outcome with blobs: its bytes, and base64 text for who wants the content."""
    try:
        beside = result_beside(orjson.loads(outcome.content), outcome.blobs or ())
    except AltarError as broken:
        return result_of(invocation, Outcome(error=broken))
    return succeeded_beside(invocation.call_id, invocation.name, LargeBytes(beside), metadata)
