"""At the host: the calls that tools make of other tools, as runtimes ask for them.

In: ToolCalls of an AttachRequest, each with the tag of the call that its function runs in.
Out: invocations like those of a client, and their results on the stream they came by.
Who asks, for which tenant, in which session and by when is read from the parent as the host holds it, never from the
message: a runtime can make calls only in the name of somebody whose call it is running.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from altar._proto.altar.grid.v1 import call_pb2
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.beside import blobs_of, needs_blobs, result_as_text
from altar.grid.capabilities import Capability
from altar.grid.host.families import leave
from altar.grid.notices import Notices
from altar.grid.telemetry import trace_of
from altar.later.invocation import Invocation, Outcome, require_call_id

if TYPE_CHECKING:
    from altar.grid.host.host import Host
    from altar.grid.host.runtimes import AttachedRuntime

__all__ = ["NestedDesk"]

_LONGEST_ID = 128
_NEEDS = (Capability.NESTED.value,)


class NestedDesk:
    """The nested calls that come by one stream of a runtime. ``put`` queues what is to be written on it."""

    __slots__ = ("_host", "_in_flight", "_notices", "_put", "_takes_blobs")

    def __init__(self, host: Host, put: Callable[..., None]) -> None:
        self._host = host
        self._put = put
        self._notices = Notices(put)
        self._in_flight: dict[int, Invocation] = {}
        self._takes_blobs = False

    def take(self, runtime: AttachedRuntime, calls: Iterable[call_pb2.ToolCall]) -> None:
        """Carry out what the runtime asks for in a frame; what cannot be is refused, each call by itself.

        Raises TransportError PROTOCOL_VIOLATION for a tag that is in use, which ends the stream.
        """
        self._takes_blobs = Capability.BLOBS in runtime.capabilities
        frame: list[Invocation] = []
        for call in calls:
            if call.tag in self._in_flight:
                self._host.execute(frame)  # those before it are calls like any other
                raise TransportError(
                    "PROTOCOL_VIOLATION",
                    f"Tag {call.tag} of a nested call is in use",
                    ran="unknown",
                    hint="give each nested call of a stream a tag of its own until it is answered",
                )
            try:
                invocation = self._invocation(runtime.in_flight.get(call.parent_tag), call)
                if call.HasField("window"):
                    self._host.streams.begin(invocation, call.window.chunks, call.window.bytes, self._put)
                self._host.families.add(invocation)
            except AltarError as refused:
                self._refuse(call, refused)
            else:
                if call.notices:
                    invocation.tell = self._notices.relay(call.tag)
                self._in_flight[call.tag] = invocation
                frame.append(invocation)
        if frame:
            self._host.execute(frame)

    def cancel(self, cancels: Iterable[call_pb2.CancelCall]) -> None:
        """The functions that made these calls wait for them no longer."""
        for cancel in cancels:
            invocation = self._in_flight.get(cancel.tag)
            if invocation is not None:
                leave(invocation, self._host.cancel)

    def grant(self, credits_: Iterable[call_pb2.StreamCredit]) -> None:
        """The functions that read streams have read so much."""
        for credit in credits_:
            reading = self._in_flight.get(credit.tag)
            if reading is not None and reading.chunks is not None:
                reading.chunks.grant(credit.more.chunks, credit.more.bytes)

    def close(self) -> None:
        """The stream is over: nobody waits for its calls, and each still gets its outcome."""
        for invocation in list(self._in_flight.values()):
            leave(invocation, self._host.cancel)

    def _invocation(self, parent: Invocation | None, call: call_pb2.ToolCall) -> Invocation:
        """The call in the name of its parent. Raises what says why there is none."""
        if not call.parent_tag:
            raise AuthorizationError(
                "PERMISSION_DENIED", "A runtime makes calls only inside of one that it is running", ran="no"
            )
        if parent is None:
            raise ValidationError(
                "INVALID_SESSION",
                "The call that this one was made in has ended, or is not run here",
                ran="no",
                hint="call other tools only while your function runs",
            )
        if parent.cancelled:
            raise ExecutionError("CANCELLED", "The call that this one was made in was cancelled", ran="no")
        require_call_id(call.call.call_id)
        if max(len(call.version), len(call.call.name)) > _LONGEST_ID:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The name or the version of the tool is longer than {_LONGEST_ID} characters",
                ran="no",
                hint="use the name and version of a tool of this session",
            )
        made = Invocation(
            call.call.name,
            call.call.args,
            call.call.call_id,
            version=call.version,
            known_digest=wire.digest_from_wire(call.contract_digest),
            deadline=_deadline(call, parent),
            principal=parent.principal,
            tenant=parent.tenant,
            who=parent.who,
            source=parent.source,
            session_id=parent.session_id,
            correlation_id=parent.correlation_id,
            tag=call.tag,
            reply_to=self._answer,
            parent=parent,
            depth=parent.depth + 1,
            once=call.once,
            needs=_NEEDS,
            trace=_trace(call, parent),
            blobs=blobs_of(call.blobs) if call.blobs else None,
        )
        size, limit = made.size, self._host.limits.max_message_bytes
        if size > limit:
            raise wire.too_large("arguments", size, limit, ran="no")
        if made.blobs is not None:
            needs_blobs(made, limit)
        return made

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self._in_flight.pop(invocation.tag, None)
        if outcome.blobs is not None and not self._takes_blobs:
            limit = self._host.limits.max_message_bytes
            outcome = result_as_text(invocation, outcome, limit=limit, who="the runtime that called it")
        self._put(lambda frame: self._add_result(frame, invocation, outcome), size=outcome.size)

    def _add_result(self, frame: Any, invocation: Invocation, outcome: Outcome) -> int:
        """Write what waits of a stream, then the result, which may have to wait for a frame with room for both."""
        size = 0 if invocation.chunks is None else int(invocation.chunks.drain(frame))
        if invocation.chunks is not None and invocation.chunks.waits:
            self._put(lambda later: self._add_result(later, invocation, outcome))
            return size
        return size + wire.add_result(frame.nested_results.add(), invocation, outcome)

    def _refuse(self, call: call_pb2.ToolCall, error: AltarError) -> None:
        function = call.call
        refused = Invocation(function.name[:_LONGEST_ID], b"", function.call_id[:_LONGEST_ID], tag=call.tag)
        self._put(lambda frame: wire.add_result(frame.nested_results.add(), refused, Outcome(error=error)))


def _trace(call: call_pb2.ToolCall, parent: Invocation) -> Any:
    """The place in the trace of its parent, as the runtime says it; of no other trace."""
    said = trace_of(call.traceparent, call.tracestate) if call.traceparent else None
    known = parent.trace
    return said if said is not None and known is not None and said.trace_id == known.trace_id else known


def _deadline(call: call_pb2.ToolCall, parent: Invocation) -> float:
    """The moment that the tool asked for, but not after its own; endless as long as the contract is to say it."""
    if not call.remaining_ms:
        return math.inf
    return min(parent.deadline, time.monotonic() + call.remaining_ms / 1000)
