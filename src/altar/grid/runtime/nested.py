"""On a runtime: the calls that running tools make of other tools, over the stream that their own call came by.

In: what a tool asks of ``context.session`` or ``context.sync``.
Out: the same results as in a local session; the host finds, decides, records and routes each call as if a client had
made it, in the name of whoever called the tool.
A call names its parent by the tag under which the host sent it, so it can only be made while that call runs here.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.errors import AltarError, ExecutionError, Ran, TransportError
from altar.grid import wire
from altar.grid.beside import is_too_large_as_text, refusal_as_text
from altar.grid.capabilities import Capability, lacking, missing
from altar.grid.client_streams import ReceivedStream
from altar.grid.notices import hear
from altar.grid.remote_variables import CallVariables, RemoteVariables
from altar.later.asking import Asker, answer
from altar.later.context import Nested, ToolContext
from altar.later.executor import Executor
from altar.later.front import SyncSession
from altar.later.gate import OpenGate
from altar.later.invocation import Answer, Invocation, Outcome, late
from altar.later.live import Live
from altar.later.options import Options
from altar.later.session import Session

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.registry import Registry

__all__ = ["CallOut", "NestedCalls", "caller_of"]

_NO_LIMIT = timedelta(days=365)
"""The time of a call for which nobody asked for a limit: the host knows that of the contract."""


@dataclass(slots=True, eq=False)
class CallOut:
    """A nested call that waits for its place in a frame."""

    invocation: Invocation
    tag: int


class NestedCalls:
    """The nested calls of one connection to a host. A source for the executor of all of them; for the loop's thread.

    ``put`` queues an item for the next frame, and :meth:`add` writes it there.
    ``registry`` knows the declarations of the tools that run here, ``variables`` are those of the connection.
    """

    def __init__(self, put: Callable[[object], None], registry: Registry, variables: RemoteVariables) -> None:
        self._put = put
        self._variables = variables
        self._loop = asyncio.get_running_loop()
        self._tags = itertools.count(1)
        self._in_flight: dict[int, Invocation] = {}
        self._lost = False
        self._host_has: frozenset[str] = frozenset()
        self._max_message_bytes = wire.MAX_MESSAGE_BYTES
        self.catalog = _Catalog(registry)
        self._executor = Executor(self.catalog, OpenGate(), self, answer)

    def announced(self, told: runtime_pb2.AnnounceRuntimeResponse) -> None:
        """Take what the host says of itself: what it can do, how much it takes, which tools there are."""
        self._host_has = frozenset(told.capabilities)
        self._max_message_bytes = told.max_message_bytes
        self.catalog.names = sorted({contract.name for contract in told.available_contracts})

    def of(self, context: ToolContext) -> Nested:
        """The session that a tool was called in, for its calls of other tools.

        Raises ConfigurationError FEATURE_UNAVAILABLE when the host takes no such calls.
        """
        if lacking((Capability.NESTED,), self._host_has):
            raise missing(
                Capability.NESTED,
                what=f"{context.invocation.name!r} calls other tools: it",
                who="this host",
            )
        live = Live()
        live.loop, live.executor, live.catalog = self._loop, self._executor, self.catalog
        live.source = _CallSource(self, self._variables, context)
        options = Options(source="grid:", default_timeout=_NO_LIMIT, principal=context.principal)
        asker = replace(Asker(options, None, live), parent=context)
        session = Session(options, asker=asker)
        return Nested(session, SyncSession(session, asker, context=ToolContext, is_open=True))

    # ------------------------------------------------------------------------------------------------------- a source

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Queue the call for the next frame."""
        parent = invocation.parent
        if parent is None or self._lost:
            raise _gone("no")
        if parent.cancelled:
            raise ExecutionError("CANCELLED", "The call was cancelled", ran="no")
        if time.monotonic() >= invocation.deadline:
            raise late(invocation, ran="no")
        size, limit = invocation.size, self._max_message_bytes
        if size > limit:
            raise wire.too_large("arguments", size, limit, ran="no")
        if Capability.BLOBS not in self._host_has and is_too_large_as_text(invocation, limit):
            raise refusal_as_text(invocation, who="this host")
        if invocation.chunks is not None and lacking((Capability.STREAMING,), self._host_has):
            raise missing(Capability.STREAMING, what=f"Reading {invocation.name!r} value by value", who="this host")
        invocation.trace = parent.trace
        invocation.tag = next(self._tags)
        invocation.record = settle
        if invocation.chunks is not None:
            self._receive(invocation)
        self._in_flight[invocation.tag] = invocation
        self._put(CallOut(invocation, invocation.tag))

    def cancel(self, invocation: Invocation) -> None:
        """Settle the call as CANCELLED, and tell the host if it knows of it: what became of it is recorded there."""
        if self._in_flight.pop(invocation.tag, None) is None:
            return
        if invocation.attempts:
            self._put(runtime_pb2.AttachRequest(nested_cancels=[call_pb2.CancelCall(tag=invocation.tag)]))
            if invocation.chunks is not None and not invocation.cancelled:
                invocation.cancelled = True  # the host says how it ended, once its generator has closed
                invocation.chunks.leave()
                self._in_flight[invocation.tag] = invocation
                return
        error = ExecutionError("CANCELLED", "The call was cancelled", ran=_ran(invocation))
        invocation.record(invocation, Outcome(error=error))

    # --------------------------------------------------------------------------------------------------- the stream

    def add(self, frame: runtime_pb2.AttachRequest, out: CallOut) -> int:
        """Write a call into a frame, unless nobody waits for it any more; returns its approximate size in bytes."""
        invocation, parent = out.invocation, out.invocation.parent
        if out.tag not in self._in_flight or parent is None:
            return 0
        invocation.attempts += 1
        call = frame.nested_calls.add()
        takes = Capability.BLOBS in self._host_has
        size = wire.add_call(call, invocation, tag=out.tag, now=time.monotonic(), takes_blobs=takes)
        call.parent_tag = parent.tag
        if invocation.reply_to.asker.options.timeout is None:
            call.remaining_ms = 0  # as its contract says: nobody asked for another limit
        return size

    def take(self, frame: runtime_pb2.AttachResponse) -> None:
        """What the host said of nested calls, in a frame: values of streams, notices, then results."""
        for chunk in frame.stream_chunks:
            self._arrived(chunk)
        for notice in frame.notices:
            heard = self._in_flight.get(notice.tag)
            if heard is not None and heard.tell is not None:
                hear(heard, notice)
        for result in frame.nested_results:
            invocation = self._in_flight.pop(result.tag, None)
            if invocation is not None:
                invocation.invocation_id = result.invocation_id
                outcome = wire.outcome_of(result, invocation)
                outcome.replayed = result.replayed
                invocation.record(invocation, outcome)

    def lost(self) -> None:
        """The stream is over, and with it each of these calls; the host ends them."""
        self._lost = True
        calls, self._in_flight = self._in_flight, {}
        for invocation in calls.values():
            invocation.record(invocation, Outcome(error=_gone(_ran(invocation))))

    def _receive(self, invocation: Invocation) -> None:
        """Make ready for the values of a stream that is about to be sent for."""
        tag = invocation.tag

        def grant(chunks: int, size: int) -> None:
            more = call_pb2.StreamCredit(tag=tag, more=call_pb2.Window(chunks=chunks, bytes=size))
            self._put(runtime_pb2.AttachRequest(stream_credits=[more]))

        ReceivedStream(invocation.chunks, grant)

    def _arrived(self, chunk: call_pb2.StreamChunk) -> None:
        """Take values of a stream; what breaks the protocol ends it, and the host is told so."""
        invocation = self._in_flight.get(chunk.tag)
        if invocation is None or invocation.chunks is None:
            return
        try:
            invocation.chunks.feed.arrived(chunk.index, list(chunk.payloads))
        except AltarError as broken:
            del self._in_flight[chunk.tag]
            self._put(runtime_pb2.AttachRequest(nested_cancels=[call_pb2.CancelCall(tag=chunk.tag)]))
            invocation.record(invocation, Outcome(error=broken))


def caller_of(call: call_pb2.ToolCall) -> Invocation:
    """What a runtime knows of the call whose function made this one: its id, and how deep it is."""
    return Invocation("", b"", call.parent_call_id[:128], depth=call.depth - 1)


class _CallSource(CallVariables):
    """What the session inside of one call asks: variables of the host's session, and the end of its own calls."""

    def __init__(self, calls: NestedCalls, variables: RemoteVariables, context: ToolContext) -> None:
        super().__init__(variables, context)
        self._calls = calls

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Queue the call for the next frame."""
        self._calls.run(invocation, settle)

    def cancel(self, invocation: Invocation) -> None:
        """Settle the call as CANCELLED, and tell the host."""
        self._calls.cancel(invocation)


class _HostsContract:
    """A contract that only the host holds: it checks arguments and result, and names the version."""

    __slots__ = ("version",)
    digest = ""

    def __init__(self, version: str) -> None:
        self.version = version

    def check(self, arguments: bytes) -> None:
        """Left to the host."""

    def check_result(self, content: bytes) -> None:
        """Left to the host."""

    def check_beside(self, invocation: Invocation) -> None:
        """Left to the host."""

    def check_result_beside(self, outcome: Outcome) -> None:
        """Left to the host."""


class _Catalog:
    """The catalog of the sessions inside of calls: every name may be asked for, and the host says what it means."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.names: list[str] = []

    def find(self, invocation: Invocation) -> _HostsContract:
        """Whatever is asked for."""
        return _HostsContract(invocation.version)

    def declaration(self, name: str, asked: str = "") -> FunctionDeclaration | None:
        """What a tool is, if it runs here as well; None for others."""
        tool = self._registry.get(name, asked)
        return None if tool is None else tool.declaration


def _ran(invocation: Invocation) -> Ran:
    """A call that was never in a frame cannot have run."""
    return "unknown" if invocation.attempts else "no"


def _gone(ran: Ran) -> AltarError:
    return TransportError(
        "CONNECTION_FAILED",
        "The connection to the host, by which this tool was called, was lost",
        ran=ran,
        hint="the host ends what was called through it",
    )
