"""The synchronous front of a session: for code that has no event loop, or must not wait in the one it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from altar.adm.call import ToolResult
from altar.later.asking import Asker, Named, Waiter, answer_here, arguments_of, result_of
from altar.later.batch import CONCURRENCY, Call, OnResult
from altar.later.context import LogLine, Mailbox, Progress, ToolContext
from altar.later.executor import Executor
from altar.later.invocation import Invocation
from altar.later.live import not_open
from altar.later.options import ApprovalMode
from altar.later.portal import Errands, portal, wait_in
from altar.later.pulling import PulledHere, PulledThere, SyncStream
from altar.later.session_variables import record, sync_variables_of
from altar.later.source import LocalSource
from altar.later.variables import at_once
from altar.later.workplace import CallerThread

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.session import Session
    from altar.later.session_info import SessionInfo
    from altar.later.variables import SyncVariables

__all__ = ["SyncSession"]

T = TypeVar("T")

ContextOf = Callable[[Invocation], ToolContext]
"""Makes what a tool of this process is given that asks for its context."""


class SyncSession:
    """A session for code that has no event loop, or must not wait in the one it has.

    A plain local function runs in the caller's own thread, unless a timeout was asked for: then it runs in another
    one, so that the caller can be answered in time.
    Everything else waits in the process's portal thread.
    """

    def __init__(self, session: Session, asker: Asker, *, context: ContextOf, is_open: bool = False) -> None:
        self._session = session
        self._asker = asker
        self._context = context
        self._here = self._in_this_thread() if is_open else None

    def open(self) -> None:
        """Open the session; starts no thread for a local one."""
        tools, live = self._asker.tools, self._asker.live
        if tools is not None:
            live.opened()
        if live.closed or tools is None:
            portal().run(self._session.__aenter__())
        else:
            self._here = self._in_this_thread()

    def call(self, name: Named, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult:
        """Call a tool and wait for its result, as :meth:`Session.call` does."""
        self._require_open()
        plainly = arguments is None and type(name) is str
        given = named if plainly else arguments_of(name, arguments, named)
        if self._here is None or not self._asker.runs_here(name):
            return self._call_there(name, given)
        invocation = self._asker.invocation(name, given)
        if not isinstance(invocation, Invocation):
            return invocation
        here = self._here
        if invocation.once:
            keys, version = self._asker.live.local_keys(), self._asker.exact_version(invocation)
            return keys.call_here(invocation, version, lambda: self._carry_out(here, invocation))
        return self._carry_out(here, invocation)

    def resume(self, handle: str) -> ToolResult:
        """Make a call again that waited for approval, as :meth:`Session.resume` does."""
        self._require_open()
        return self._wait(lambda session: session.resume(handle))

    def stream(self, name: Named, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> SyncStream:
        """Call a tool and read its values one by one as they come, as :meth:`Session.stream` does.

        A plain generator runs in this thread, and only while its next value is asked for, unless a timeout was set.
        """
        self._require_open()
        given = arguments_of(name, arguments, named)
        if self._here is not None and self._asker.runs_here(name):
            return SyncStream(name, PulledHere(self._asker, self._here, name, given))
        return SyncStream(name, self._there(name, given))

    def batch(
        self, calls: Iterable[Call], *, concurrency: int = CONCURRENCY, on_result: OnResult | None = None
    ) -> list[ToolResult]:
        """Make many calls, as :meth:`Session.batch` does; ``on_result`` is told in this thread."""
        self._require_open()
        errands: Errands | None = None
        tell = on_result
        if on_result is not None:
            errands = SimpleQueue()
            tell = _through(errands, on_result)
        return self._wait(
            lambda session: session.batch(calls, concurrency=concurrency, on_result=tell), errands=errands
        )

    def begin(self, wanted: Callable[[Session], Coroutine[Any, Any, T]]) -> Future[T]:
        """Do something with :attr:`underneath`, in its own event loop, and wait for it in another one or not at all."""
        self._require_open()
        loop = self._asker.live.loop
        opened = self._opened(wanted, self._session)
        return portal().begin(opened) if loop is None else asyncio.run_coroutine_threadsafe(opened, loop)

    @property
    def underneath(self) -> Session:
        """The session that this is the front of; whoever listens to it is told in the session's own event loop."""
        return self._session

    def options(
        self,
        *,
        timeout: float | timedelta | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        on_log: Callable[[LogLine], object] | None = None,
        idempotency_key: str | None = None,
        approval: ApprovalMode | None = None,
    ) -> SyncSession:
        """The same session with other options for the calls made through it, as :meth:`Session.options` gives it.

        ``on_progress`` and ``on_log`` are told in the thread that calls.
        """
        session = self._session.options(
            timeout=timeout,
            on_progress=on_progress,
            on_log=on_log,
            idempotency_key=idempotency_key,
            approval=approval,
        )
        asker = session.asker
        if asker.listener is not None:
            asker = replace(asker, tell=asker.listener.hear)
        other = SyncSession(session, asker, context=self._context)
        other._here = self._here
        return other

    @property
    def tools(self) -> list[str]:
        """The names of the tools this session may use."""
        return self._session.tools

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """The contract of a tool; None for one that is not in the session."""
        return self._session.declaration(name)

    @property
    def variables(self) -> SyncVariables:
        """The variables of this session; see :attr:`Session.variables`."""
        return sync_variables_of(self._asker)

    def record(self, event: str, data: Mapping[str, Any] | None = None, /) -> None:
        """Put an event of the application into the record of the host, as :meth:`Session.record` does."""
        self._require_open()
        if self._asker.tools is not None:
            at_once(record(self._asker, event, data))
        else:
            self._wait(lambda session: session.record(event, data))

    def describe(self) -> SessionInfo:
        """What this session is, as :meth:`Session.describe` says."""
        self._require_open()
        if self._asker.tools is not None:
            return at_once(self._session.describe())
        return self._wait(lambda session: session.describe())

    def extend(self, ttl: float | timedelta | None = None) -> SessionInfo:
        """Let this session live longer, as :meth:`Session.extend` does."""
        self._require_open()
        if self._asker.tools is not None:
            return at_once(self._session.extend(ttl))
        return self._wait(lambda session: session.extend(ttl))

    @property
    def session_id(self) -> str:
        """The id of this session."""
        return self._session.session_id

    def _in_this_thread(self) -> Executor | None:
        """What runs plain functions where they are called; None for a session that runs no functions itself."""
        tools = self._asker.tools
        if tools is None:
            return None
        source = LocalSource(CallerThread(), context=self._context)
        return Executor(tools, self._asker.options.gate, source, answer_here)

    def _carry_out(self, executor: Executor, invocation: Invocation) -> ToolResult:
        waiter = Waiter(self._asker)
        invocation.reply_to = waiter
        executor.execute((invocation,))
        return result_of(invocation, waiter.outcome)

    def _require_open(self) -> None:
        live = self._asker.live
        if live.closed:
            raise not_open("This session is not open", hint="use `with altar.session(...) as s:`")
        live.require_process()

    def _call_there(self, name: Named, arguments: Mapping[str, Any]) -> ToolResult:
        return self._wait(lambda session: session.call(name, arguments))

    def _wait(self, wanted: Callable[[Session], Coroutine[Any, Any, T]], *, errands: Errands | None = None) -> T:
        """Do something in the loop of the session, which is opened there if need be, and wait for it here."""
        session, errands = self._heard(errands)
        return self._in_loop(lambda: self._opened(wanted, session), errands)

    def _there(self, name: Named, arguments: Mapping[str, Any]) -> PulledThere:
        session, errands = self._heard(None)
        stream = session.stream(name, arguments)

        def waits(made: Callable[[], Coroutine[Any, Any, T]]) -> T:
            self._asker.live.require_process()
            return self._in_loop(lambda: self._opened(lambda _: made(), session), errands)

        return PulledThere(stream, waits)

    def _heard(self, errands: Errands | None) -> tuple[Session, Errands | None]:
        """The session for one wait, with whoever listens being told in the thread that waits."""
        listener = self._asker.listener
        if listener is None or self._asker.parent is not None:  # inside of a call its own caller listens
            return self._session, errands
        errands = errands or SimpleQueue()
        asker = replace(self._asker, tell=Mailbox(listener, errands.put).tell)
        return type(self._session)(asker.options, asker=asker), errands

    def _in_loop(self, coroutine: Callable[[], Coroutine[Any, Any, T]], errands: Errands | None) -> T:
        loop = self._asker.live.loop
        if loop is None:
            return portal().run(coroutine(), errands=errands)
        return wait_in(loop, coroutine(), errands=errands)

    async def _opened(self, wanted: Callable[[Session], Coroutine[Any, Any, T]], session: Session) -> T:
        if self._asker.live.executor is None and not self._asker.live.closed:
            await self._session.__aenter__()
        return await wanted(session)


def _through(errands: Errands, on_result: OnResult) -> OnResult:
    return lambda place, result: errands.put(lambda: _done(on_result(place, result)))


def _done(_: object) -> None:
    """Whatever a listener returned is of no use to anybody."""
