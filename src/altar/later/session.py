"""What an application holds: a session, and its synchronous front.

``async with altar.session(...)`` gives a :class:`Session`; ``with altar.session(...)`` gives a :class:`SyncSession`.
The second is the first seen from outside an event loop, so nothing is written twice.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.later.executor import Executor
from altar.later.gate import OpenGate
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, Outcome, Work, require_call_id, too_large
from altar.later.json_form import ARGUMENTS
from altar.later.portal import portal
from altar.later.registry import REGISTRY, SessionTools, unknown_tool
from altar.later.source import LocalSource, Request, open_source
from altar.later.tool import ToolFunction
from altar.later.workplace import CallerThread, LoopThreads

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.source import SessionCatalog, ToolSource

__all__ = ["Options", "Session", "SyncSession", "time_of"]

_log = logging.getLogger("altar.later")

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_TTL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Options:
    """How a session is opened.

    ``tools`` names what the session may use, empty for every declared tool.
    ``timeout`` is the limit of a call that the caller asked for; without it the tool's own limit holds, and
    without that ``default_timeout``.
    ``source_options`` are settings of the source's own kind, such as certificates.
    Raises ConfigurationError INVALID_CONFIG for a time that is negative.
    """

    tools: tuple[str, ...] = ()
    source: str = "later:"
    timeout: timedelta | None = None
    default_timeout: timedelta = DEFAULT_TIMEOUT
    ttl: timedelta | None = None
    principal: str = "local"
    source_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a time that is negative."""
        for name in ("timeout", "default_timeout", "ttl"):
            time_of(getattr(self, name), name=name)


def time_of(value: float | timedelta | None, *, name: str) -> timedelta | None:
    """A time that somebody gave, in seconds or as a timedelta; None stays None.

    Raises ConfigurationError INVALID_CONFIG, with the ``name`` of the option, for one that is negative or endless.
    """
    try:
        given = value if value is None or isinstance(value, timedelta) else timedelta(seconds=value)
    except (OverflowError, ValueError, TypeError):  # infinite, or beyond what a timedelta holds; or no number
        given = timedelta.min
    if given is not None and given < timedelta():
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The {name} is {value!r}, and must be a time that is neither negative nor endless",
            ran="no",
            hint=f"give seconds, or a timedelta: {name}=2.5",
        )
    return given


Named = str | ToolFunction[..., Any] | FunctionCall
"""What names a tool to call."""


def name_of(tool: Named) -> str:
    """The name of a tool, or of the one that a call is for."""
    return tool if isinstance(tool, str) else tool.name


class Session:
    """A set of tools that one principal may call for a while, wherever they run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        ttl = options.ttl if options.ttl is not None else DEFAULT_TTL
        self._tools = SessionTools(_declared(options), ttl=ttl) if _is_local(options) else None
        self._live = _Live()

    # ------------------------------------------------------------------------------------------- opening, closing

    async def __aenter__(self) -> Self:
        live = self._live
        if live.executor is not None or live.closed:
            raise _not_open("A session is opened once", hint="call altar.session(...) again for another one")
        live.opened()
        live.loop = asyncio.get_running_loop()
        catalog: SessionCatalog
        source: ToolSource
        if self._tools is not None:
            workplace = LoopThreads()
            live.stack.callback(workplace.close)
            catalog, source = self._tools, LocalSource(workplace)
        else:
            request = Request(
                self._options.source,
                tools=self._options.tools,
                ttl=self._options.ttl,
                options=self._options.source_options or {},
            )
            catalog, source = await live.stack.enter_async_context(open_source(request))
        live.catalog, live.source = catalog, source
        answer = _answer_here if self._tools is not None else _answer  # on a grid, the host holds results to its limit
        live.executor = Executor(catalog, OpenGate(), source, answer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.executor = None
        self._live.closed = True
        if self._live.is_ours:
            await self._live.stack.__aexit__(kind, value, trace)

    def __enter__(self) -> SyncSession:
        front = SyncSession(self)
        front.open()
        return front

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.executor is not None and self._live.is_ours:
            portal().run(self.__aexit__(kind, value, trace))
        self._live.closed = True

    # ------------------------------------------------------------------------------------------------------ calling

    async def call(self, name: Named, /, **arguments: Any) -> ToolResult:
        """Call a tool, by its name or itself, with its arguments, or as an ADM FunctionCall, and wait for its result.

        A failed call is a value: look at ``result.status``, or let ``result.unwrap()`` raise.
        """
        executor = self._live.executor
        if executor is None:
            raise _not_open("This session is not open", hint="use `async with altar.session(...) as s:`")
        self._live.require_here()
        invocation = self._invocation(name, arguments)
        if isinstance(invocation, ToolResult):
            return invocation
        waiter = _Waiter()
        invocation.reply_to = waiter
        executor.execute((invocation,))
        if type(invocation.handle) is CoroutineType:
            await _in_this_task(invocation.handle, waiter)
        elif waiter.outcome is None:
            await self._answered(invocation, waiter)
        return _result(invocation, waiter.outcome)

    def options(self, *, timeout: float | timedelta | None = None) -> Session:
        """The same session with other options for the calls made through it. ``timeout`` in seconds."""
        other = object.__new__(Session)
        other.__dict__.update(self.__dict__)
        other._options = replace(self._options, timeout=time_of(timeout, name="timeout"))
        return other

    @property
    def tools(self) -> list[str]:
        """The names of the tools this session may use; on a grid, once it is open."""
        catalog = self._catalog
        return catalog.names if catalog is not None else []

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """The contract of a tool; None for one that is not in this session."""
        catalog = self._catalog
        return catalog.declaration(name) if catalog is not None else None

    @property
    def _catalog(self) -> SessionCatalog | None:
        return self._tools or self._live.catalog

    async def _answered(self, invocation: Invocation, waiter: _Waiter) -> None:
        waiter.future = asyncio.get_running_loop().create_future()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if self._live.source is not None:
                self._live.source.cancel(invocation)
            raise

    def _invocation(self, call: Named, arguments: Mapping[str, Any]) -> Invocation | ToolResult:
        if isinstance(call, FunctionCall):
            call_id, name, arguments = call.call_id, call.name, call.args
        else:
            call_id, name = self._live.names.next_call(), name_of(call)
        timeout = self._timeout(name)
        try:
            if isinstance(call, FunctionCall):
                require_call_id(call_id)
            encoded = ARGUMENTS.write(arguments)
        except AltarError as unfit:
            return _result(Invocation(name, b"", call_id), Outcome(error=unfit))
        return Invocation(
            name,
            encoded,
            call_id,
            deadline=time.monotonic() + timeout.total_seconds(),
            principal=self._options.principal,
            correlation_id=self._live.names.correlation,
        )

    def _timeout(self, name: str) -> timedelta:
        if self._options.timeout is not None:
            return self._options.timeout
        declaration = self.declaration(name)
        return (declaration.timeout if declaration is not None else None) or self._options.default_timeout


class SyncSession:
    """A session for code that has no event loop, or must not wait in the one it has.

    A plain local function runs in the caller's own thread, unless a timeout was asked for: then it runs in another
    one, so that the caller can be answered in time.
    Everything else waits in the process's portal thread.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._here: Executor | None = None

    def open(self) -> None:
        """Open the session; starts no thread for a local one."""
        tools = self._session._tools
        if tools is not None:
            self._session._live.opened()
        if self._session._live.closed or tools is None:
            portal().run(self._session.__aenter__())
        else:
            self._here = Executor(tools, OpenGate(), LocalSource(CallerThread()), _answer_here)

    def call(self, name: Named, /, **arguments: Any) -> ToolResult:
        """Call a tool and wait for its result, as :meth:`Session.call` does."""
        if self._session._live.closed:
            raise _not_open("This session is not open", hint="use `with altar.session(...) as s:`")
        self._session._live.require_process()
        if self._here is None or not self._runs_here(name):
            return portal().run(self._elsewhere(name, arguments))
        invocation = self._session._invocation(name, arguments)
        if isinstance(invocation, ToolResult):
            return invocation
        waiter = _Waiter()
        invocation.reply_to = waiter
        self._here.execute((invocation,))
        return _result(invocation, waiter.outcome)

    def options(self, *, timeout: float | timedelta | None = None) -> SyncSession:
        """The same session with other options for the calls made through it. ``timeout`` in seconds."""
        other = SyncSession(self._session.options(timeout=timeout))
        other._here = self._here
        return other

    @property
    def tools(self) -> list[str]:
        """The names of the tools this session may use."""
        return self._session.tools

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """The contract of a tool; None for one that is not in this session."""
        return self._session.declaration(name)

    def _runs_here(self, name: Named) -> bool:
        if self._session._options.timeout is not None:
            return False
        tools = self._session._tools
        return tools is not None and tools.runs_in(name_of(name)) == "caller"

    async def _elsewhere(self, name: Named, arguments: Mapping[str, Any]) -> ToolResult:
        if self._session._live.executor is None:
            await self._session.__aenter__()
        return await self._session.call(name, **arguments)


class _Live:
    """What is open while a session is; a session and its copies with other options share it."""

    __slots__ = ("catalog", "closed", "executor", "loop", "names", "process", "source", "stack")

    def __init__(self) -> None:
        self.process = os.getpid()
        self.names = _Names()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stack = AsyncExitStack()
        self.executor: Executor | None = None
        self.catalog: SessionCatalog | None = None
        self.source: ToolSource | None = None
        self.closed = False

    def opened(self) -> None:
        """Belong to the process that opens it, which may be a forked child, and share no call ids with another."""
        if self.executor is None and not self.is_ours:
            self.process = os.getpid()
            self.names = _Names()

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that opened the session, and not a forked child."""
        return self.process == os.getpid()

    def require_process(self) -> None:
        """Raise INVALID_SESSION in a forked child: connections and threads of a session stay with the parent."""
        if not self.is_ours:
            raise _not_open("This session was opened in another process", hint="open a session after the fork")

    def require_here(self) -> None:
        """Raise as :meth:`require_process` does, and INCOMPATIBLE_MODE in a loop that nothing would wake."""
        self.require_process()
        if self.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "INCOMPATIBLE_MODE",
                "This session was opened in another event loop",
                ran="no",
                hint="open a session in the loop that calls, or use `with altar.session(...)`, which has no loop",
            )


class _Waiter:
    """Where the answer of one call is put, and who waits for it."""

    __slots__ = ("future", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.future: asyncio.Future[None] | None = None


def _answer_here(invocation: Invocation, outcome: Outcome) -> None:
    """Hold a local result to the limit that a host has unless it says otherwise."""
    size = len(outcome.content)
    if size > MAX_MESSAGE_BYTES:
        outcome = Outcome(error=too_large("contents of the result", size, MAX_MESSAGE_BYTES, ran="yes"))
    _answer(invocation, outcome)


def _answer(invocation: Invocation, outcome: Outcome) -> None:
    waiter: _Waiter = invocation.reply_to
    if outcome.error is not None and outcome.error.detail:
        _log.info(
            "call failed",
            extra={"tool": invocation.name, "code": outcome.error.code, "detail": outcome.error.detail},
        )
    waiter.outcome = outcome
    if waiter.future is not None and not waiter.future.done():
        waiter.future.set_result(None)


async def _in_this_task(work: Work, waiter: _Waiter) -> None:
    """Await the user's coroutine; a cancellation that it made up itself is its outcome and stays inside."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if waiter.outcome is None or task is None or task.cancelling():
            raise


class _Names:
    """Call ids that nobody else makes: 64 random bits and a count; cheaper than a UUID, as unique."""

    __slots__ = ("_count", "_prefix", "correlation")

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._count = itertools.count(1)
        self.correlation = f"client-{self._prefix}"

    def next_call(self) -> str:
        """A new call id, at most 128 printable ASCII characters (ADM §4.4)."""
        return f"{self._prefix}-{next(self._count)}"


def _result(invocation: Invocation, outcome: Outcome | None) -> ToolResult:
    if outcome is None:
        raise RuntimeError("an invocation was not answered")
    if outcome.error is not None:
        told = ErrorObject.of(outcome.error)
        if told.field_path == "":
            told = replace(told, field_path=None)  # the whole value; a wire cannot tell this from no path
        return ToolResult(invocation.call_id, invocation.name, ResultStatus.ERROR, error=told)
    return ToolResult(invocation.call_id, invocation.name, ResultStatus.SUCCESS, content=orjson.loads(outcome.content))


def _not_open(message: str, *, hint: str) -> AltarError:
    return ValidationError("INVALID_SESSION", message, hint=hint, ran="no")


def _declared(options: Options) -> list[ToolFunction[..., Any]]:
    if not options.tools:
        return REGISTRY.tools()
    found = []
    for name in options.tools:
        tool = REGISTRY.get(name)
        if tool is None:
            raise unknown_tool(name, [known.name for known in REGISTRY.tools()])
        found.append(tool)
    return found


def _is_local(options: Options) -> bool:
    return options.source.partition(":")[0] == "later"
