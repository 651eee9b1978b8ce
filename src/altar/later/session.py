"""What an application holds: a session.

``async with altar.session(...)`` gives a :class:`Session`; ``with altar.session(...)`` gives a :class:`SyncSession`.
The second is the first seen from outside an event loop, so nothing is written twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from altar.adm.call import ToolResult
from altar.later.approvals import again, await_decision, call_under, waits_for_person
from altar.later.asking import Asker, Named, Waiter, answer, answer_here, arguments_of, asked_of, result_of
from altar.later.batch import CONCURRENCY, Call, OnResult, batch
from altar.later.context import Listener, LogLine, Mailbox, Nested, Progress, ToolContext
from altar.later.executor import Executor
from altar.later.front import SyncSession
from altar.later.invocation import Invocation
from altar.later.live import not_open
from altar.later.options import ApprovalMode, Options, time_of, tools_of
from altar.later.portal import portal
from altar.later.session_info import SessionInfo, describe, extend
from altar.later.session_variables import end_variables, record, variable_source, variables_of
from altar.later.source import GatedSource, LocalSource, Request, open_source
from altar.later.stream import Stream
from altar.later.workplace import LoopThreads

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.source import SessionCatalog, ToolSource
    from altar.later.variables import Variables

__all__ = ["Options", "Session", "SyncSession", "time_of", "tools_of"]


class Session:
    """A set of tools that one principal may call for a while, wherever they run."""

    def __init__(self, options: Options, *, asker: Asker | None = None) -> None:
        self.asker = asker or Asker.of(options)
        self._live = self.asker.live

    # ------------------------------------------------------------------------------------------- opening, closing

    async def __aenter__(self) -> Self:
        live = self._live
        if live.executor is not None or live.closed:
            raise not_open("A session is opened once", hint="call altar.session(...) again for another one")
        live.opened()
        live.loop = asyncio.get_running_loop()
        catalog: SessionCatalog
        source: ToolSource
        if self.asker.tools is not None:
            workplace = LoopThreads()
            live.stack.callback(workplace.close)
            catalog, source = self.asker.tools, LocalSource(workplace, context=_context_of)
        else:
            options = self.asker.options
            request = Request(
                options.source, tools=options.tools, ttl=options.ttl, options=options.source_options or {}
            )
            catalog, source = await live.stack.enter_async_context(open_source(request))
        live.catalog, live.source = catalog, source
        reply = answer_here if self.asker.tools is not None else answer  # a host holds results to its own limit
        gate = self.asker.options.gate
        if isinstance(source, GatedSource):
            gate = source.gate(gate, context=_context_of)
        live.executor = Executor(catalog, gate, source, reply)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.executor = None
        self._live.closed = True
        end_variables(self.asker)
        if self._live.is_ours:
            try:
                await asyncio.gather(*(leave() for leave in tuple(self._live.streams)))
            finally:  # also when a person, or a timeout, waits no longer for a stream to close
                await self._live.stack.__aexit__(kind, value, trace)

    def __enter__(self) -> SyncSession:
        front = SyncSession(self, self.asker, context=_context_of)
        front.open()
        return front

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for leave in tuple(self._live.pulled):
            leave()
        if self._live.executor is not None and self._live.is_ours:
            portal().run(self.__aexit__(kind, value, trace))
        self._live.closed = True
        end_variables(self.asker)

    # ------------------------------------------------------------------------------------------------------ calling

    async def call(self, name: Named, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult:
        """Call a tool, by its name or itself, or as an ADM FunctionCall, and wait for its result.

        The arguments are one mapping, or given by name.
        A failed call is a value: look at ``result.status``, or let ``result.unwrap()`` raise.
        Raises MALFORMED_REQUEST for what names no tool, for arguments that are no mapping, and for both ways at once.
        """
        executor = self._live.executor
        if executor is None:
            raise not_open("This session is not open", hint="use `async with altar.session(...) as s:`")
        self._live.require_here()
        plainly = arguments is None and type(name) is str
        invocation = self.asker.invocation(name, named if plainly else arguments_of(name, arguments, named))
        if not isinstance(invocation, Invocation):
            return invocation
        if invocation.once and self.asker.tools is not None:
            keys, version = self._live.local_keys(), self.asker.exact_version(invocation)
            return await keys.call(invocation, version, lambda: self._carry_out(executor, invocation))
        result = await self._carry_out(executor, invocation)
        if result.error is not None and self.asker.options.approval == "wait":
            return await self._approved(executor, invocation, result)
        return result

    async def resume(self, handle: str) -> ToolResult:
        """Make a call again that was answered with APPROVAL_PENDING, by the handle of that error.

        It is the call as it was approved, which the host has kept, so that another process can do this too; it runs
        once, and later resumptions are given the same result for some minutes.
        Until it is approved the answer is APPROVAL_PENDING again, or waits for it, as the option ``approval`` says.
        Raises APPROVAL_VOID for a handle that is not one's own, FEATURE_UNAVAILABLE where nobody is asked.
        """
        if self._live.executor is None:
            raise not_open("This session is not open", hint="use `async with altar.session(...) as s:`")
        self._live.require_here()
        asker, name, arguments = await call_under(self.asker, handle)
        return await Session(asker.options, asker=asker).call(name, arguments)

    async def _approved(self, executor: Executor, invocation: Invocation, pending: ToolResult) -> ToolResult:
        """The result of a call that a person has decided on; what it met at first when nobody does in time."""
        if pending.error is None or not waits_for_person(pending):
            return pending
        if not await await_decision(self.asker, invocation, pending):
            return pending
        result = await self._carry_out(executor, again(invocation, pending.error.handle))
        return replace(result, call_id=invocation.call_id)

    async def _carry_out(self, executor: Executor, invocation: Invocation) -> ToolResult:
        waiter = Waiter(self.asker)
        invocation.reply_to = waiter
        executor.execute((invocation,))
        if type(invocation.handle) is CoroutineType:
            await invocation.handle
        elif waiter.outcome is None:
            await self._answered(invocation, waiter)
        return result_of(invocation, waiter.outcome)

    def stream(self, name: Named, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Stream:
        """Call a tool and read its values one by one as they come; one value from a tool that does not stream.

        What is called, with which arguments, is said as for :meth:`call`.
        A failed call raises its error where the reading comes to it.
        One that a person must approve is read once, under the handle of its request as the option ``idempotency_key``,
        or waits for the decision, as the option ``approval`` says.
        Raises FEATURE_UNAVAILABLE there when a host or a runtime of an older release cannot stream.
        """
        return Stream(self.asker, name, arguments_of(name, arguments, named))

    async def batch(
        self, calls: Iterable[Call], *, concurrency: int = CONCURRENCY, on_result: OnResult | None = None
    ) -> list[ToolResult]:
        """Make many calls, at most ``concurrency`` at a time, and return a result for each, in their order.

        A call is a pair of a tool and its arguments, or an ADM FunctionCall.
        ``on_result`` is told the place and the result of each call as it ends; when it raises, or the batch is
        cancelled, the calls that run are cancelled and the others never begin.
        """
        return await batch(self.call, calls, concurrency=concurrency, on_result=on_result)

    def options(
        self,
        *,
        timeout: float | timedelta | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        on_log: Callable[[LogLine], object] | None = None,
        idempotency_key: str | None = None,
        approval: ApprovalMode | None = None,
    ) -> Session:
        """The same session with other options for the calls made through it; what is not given stays as it is.

        ``timeout`` is in seconds.
        ``idempotency_key`` makes the call repeatable: what was run under it once is answered with the same result, for
        some minutes, and never run again; 1 to 128 printable ASCII characters.
        ``approval`` says what a call does that a person must approve: ``wait`` until its deadline, or ``return``.
        ``on_progress`` and ``on_log`` are told, in the event loop, what a running tool tells its ToolContext, wherever
        it runs; of progress the latest, and nothing after the result.
        """
        asker = self.asker.with_options(
            timeout=time_of(timeout, name="timeout"),
            listener=Listener(on_progress, on_log),
            key=idempotency_key,
            approval=approval,
        )
        if asker.listener is not None and asker.listener is not self.asker.listener:
            asker = replace(asker, tell=Mailbox(asker.listener, self._live.carry).tell)
        return Session(asker.options, asker=asker)

    @property
    def tools(self) -> list[str]:
        """The names of the tools this session may use; on a grid, once it is open."""
        catalog = self.asker.catalog
        return catalog.names if catalog is not None else []

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """The contract of a tool, by its name or `name@range`; None for one that is not in this session."""
        catalog = self.asker.catalog
        return catalog.declaration(*asked_of(name)) if catalog is not None else None

    @property
    def variables(self) -> Variables:
        """The variables of this session: values with a type and a version that its calls, tools and clients share."""
        live = self._live
        guard = live.require_process if self.asker.tools is not None else live.require_here
        return variables_of(self.asker, guard=guard)

    async def record(self, event: str, data: Mapping[str, Any] | None = None, /) -> None:
        """Put an event of the application into the record of the host, as ``app.<event>``; there when this returns.

        ``event`` is small letters with ``_`` and ``.`` between them, such as ``order.paid``; ``data`` is flat, at most
        1 KiB, and text under a key that looks like a secret is withheld.
        Raises FEATURE_UNAVAILABLE where there is no host, PERMISSION_DENIED without ``audit:record``,
        MALFORMED_REQUEST and MESSAGE_TOO_LARGE for what cannot be recorded.
        """
        self._live.require_here()
        await record(self.asker, event, data)

    async def describe(self) -> SessionInfo:
        """What this session is: since when, for how long, with which tools. To ask is not to use it.

        Raises SESSION_EXPIRED when it is over, FEATURE_UNAVAILABLE where its source cannot say.
        """
        return await describe(self.asker)

    async def extend(self, ttl: float | timedelta | None = None) -> SessionInfo:
        """Let this session live for ``ttl`` from now on, and after each use; in seconds, or a timedelta.

        None is for as long as it did so far. A host caps it; what it became is in what is returned.
        Raises as :meth:`describe` does, and INVALID_CONFIG for a time that is negative.
        """
        return await extend(self.asker, ttl)

    @property
    def session_id(self) -> str:
        """The id of this session; on a grid, once it is open, another client of the principal can join it by its id."""
        return variable_source(self.asker).session_id

    async def _answered(self, invocation: Invocation, waiter: Waiter) -> None:
        waiter.future = asyncio.get_running_loop().create_future()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if self._live.source is not None:
                self._live.source.cancel(invocation)
            raise


def _context_of(invocation: Invocation) -> ToolContext:
    """What a tool of this process is given that asks for its context: it calls others through the same session."""
    asker: Asker = invocation.reply_to.asker

    def nested(context: ToolContext) -> Nested:
        inner = replace(asker, parent=context, key="")
        session = Session(inner.options, asker=inner)
        return Nested(session, SyncSession(session, inner, context=_context_of, is_open=True))

    return ToolContext(
        invocation,
        session_id=asker.live.names.session,
        tell=asker.tell,
        nested=nested,
        language_model=asker.options.language_model,
    )
