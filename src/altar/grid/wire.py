"""ADM and protobuf, errors and gRPC status: the one table between our words and the wire's.

What comes in here has been decoded and nothing more; what goes out is ours.
Only this module and the three edges that hold a stream (`client`, `runtime`, `service`) see generated code.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, variable_pb2
from altar.adm.codes import CODES
from altar.adm.defect import MAX_TOLD, Defect, Kind
from altar.adm.defect import told as defects_told
from altar.adm.errors import AltarError, Ran, TransportError, error_of
from altar.grid.beside import blobs_of, result_with
from altar.grid.frames import FRAME_BYTES
from altar.grid.telemetry import trace_of
from altar.later.app_records import RecordEvent
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, Outcome, Streamed, too_large
from altar.later.running import told
from altar.later.usage import read_usage, written_usage
from altar.later.variable_table import (
    MAX_VARIABLES,
    Declare,
    Delete,
    Read,
    Record,
    Request,
    Update,
    VariableConflictError,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = [
    "CHANNEL_OPTIONS",
    "MAX_MESSAGE_BYTES",
    "PROTOCOL_VERSION",
    "VariableAnswer",
    "VariableRequest",
    "add_call",
    "add_result",
    "add_variables",
    "crowded",
    "digest_from_wire",
    "digest_to_wire",
    "error_from_wire",
    "error_to_wire",
    "invocation_of",
    "message_options",
    "outcome_of",
    "too_large",
    "variable_request",
    "variable_request_of",
    "variables_of",
]

PROTOCOL_VERSION = "1.0"
MAX_ITEMS = 16_384
"""Most calls, results or the like in one frame that is received; the frames of this library hold far fewer."""
_HEADROOM = 64 * 1024
_MAX_MS = 2**32 - 1
_LONGEST_HANDLE = 128

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without it a keepalive that nobody answers ends nothing for a minute
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]

_RAN_TO_WIRE: dict[Ran, adm_pb2.Ran] = {
    "no": adm_pb2.RAN_NO,
    "yes": adm_pb2.RAN_YES,
    "unknown": adm_pb2.RAN_UNKNOWN,
}
_RAN_FROM_WIRE: dict[int, Ran] = {adm_pb2.RAN_NO: "no", adm_pb2.RAN_YES: "yes", adm_pb2.RAN_UNKNOWN: "unknown"}


def message_options(max_message_bytes: int | None = None) -> list[tuple[str, int]]:
    """Channel and server options that let a message of ``max_message_bytes`` pass, envelope included.

    The transport's own limit is wider than ours, so that a message that is too large is answered with a typed error
    and the stream goes on; only what is beyond twice the limit ends the stream.
    Without ``max_message_bytes`` the transport has no limit: that is for who dials, and hears the limit in the hello.
    """
    limit = 2 * max_message_bytes + FRAME_BYTES + _HEADROOM if max_message_bytes is not None else -1
    return [
        *CHANNEL_OPTIONS,
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
    ]


# ------------------------------------------------------------------------------------------------------------ calls


def invocation_of(call: call_pb2.ToolCall, *, now: float) -> Invocation:
    """A received ToolCall as an Invocation. ``now`` is the monotonic clock.

    Raises TransportError PROTOCOL_VIOLATION when the envelope itself breaks the protocol.
    """
    if call.remaining_ms == 0:
        raise TransportError(
            "PROTOCOL_VIOLATION",
            "The call says no time that is left for it (remaining_ms is 0)",
            ran="no",
            hint="set remaining_ms to the milliseconds the caller will wait",
        )
    function = call.call
    invocation = Invocation(
        function.name,
        function.args,
        function.call_id,
        version=call.version,
        known_digest=digest_from_wire(call.contract_digest),
        deadline=now + call.remaining_ms / 1000,
        session_id=call.session_id,
        correlation_id=call.correlation_id,
        invocation_id=call.invocation_id,
        tag=call.tag,
        once=call.once,
    )
    if call.traceparent:
        invocation.trace = trace_of(call.traceparent, call.tracestate)
    if call.blobs:
        invocation.blobs = blobs_of(call.blobs)
    return invocation


def add_call(call: call_pb2.ToolCall, invocation: Invocation, *, tag: int, now: float, takes_blobs: bool = True) -> int:
    """Write an invocation into a frame's new ToolCall; returns its approximate size in bytes.

    Blobs become base64 text for a peer that does not take them.
    """
    call.tag = tag
    call.invocation_id = invocation.invocation_id
    call.correlation_id = invocation.correlation_id
    call.session_id = invocation.session_id
    call.version = invocation.version
    if invocation.known_digest:
        call.contract_digest = digest_to_wire(invocation.known_digest)
    left = invocation.deadline - now
    call.remaining_ms = max(1, _milliseconds(left))
    if invocation.chunks is not None:
        call.window.chunks, call.window.bytes = invocation.chunks.feed.window()
    if invocation.tell is not None:
        call.notices = True
    if invocation.once:
        call.once = True
    if invocation.trace is not None:
        call.traceparent, call.tracestate = invocation.trace.parent, invocation.trace.state
    function = call.call
    function.call_id = invocation.call_id
    function.name = invocation.name
    if invocation.blobs is None:
        function.args = invocation.arguments
        return len(invocation.arguments) + 200
    function.args = invocation.arguments if takes_blobs else invocation.text
    for blob in invocation.blobs if takes_blobs else ():
        call.blobs.add(path=blob.path, data=blob.data)
    return invocation.size + 200


def add_result(result: call_pb2.ToolResult, invocation: Invocation, outcome: Outcome) -> int:
    """Write an outcome into a frame's new ToolResult; returns its approximate size in bytes."""
    result.tag = invocation.tag
    result.invocation_id = invocation.invocation_id
    result.correlation_id = invocation.correlation_id
    inner = result.result
    inner.call_id = invocation.call_id
    inner.name = invocation.name
    if outcome.error is None:
        inner.status = adm_pb2.RESULT_STATUS_SUCCESS
        inner.content = outcome.content
    else:
        inner.status = adm_pb2.RESULT_STATUS_ERROR
        error_to_wire(inner.error, outcome.error)
    if invocation.usage is not None and not outcome.replayed:
        result.usage = written_usage(invocation.usage)
    if outcome.replayed:
        result.replayed = True
    if outcome.streamed is not None:
        totals = outcome.streamed
        result.streamed.chunks, result.streamed.bytes = totals.chunks, totals.bytes
        result.streamed.digest = digest_to_wire(totals.digest)
    if outcome.blobs is None:
        return len(outcome.content) + 200
    for blob in outcome.blobs:
        result.blobs.add(path=blob.path, data=blob.data)
    return outcome.size + 200


def outcome_of(result: call_pb2.ToolResult, invocation: Invocation | None = None) -> Outcome:
    """A received ToolResult as an Outcome. An unset or unknown status is a failure, never a success.

    What the call took goes to the invocation that it answers.
    """
    inner = result.result
    if result.usage and invocation is not None:
        try:
            invocation.usage = read_usage(result.usage)
        except AltarError as broken:
            return Outcome(error=broken)
    streamed = _streamed(result.streamed) if result.HasField("streamed") else None
    if inner.status == adm_pb2.RESULT_STATUS_SUCCESS:
        return result_with(inner.content, result.blobs) if result.blobs else Outcome(inner.content, streamed=streamed)
    if inner.status == adm_pb2.RESULT_STATUS_ERROR:
        return Outcome(error=error_from_wire(inner.error), streamed=streamed)
    return Outcome(error=TransportError("PROTOCOL_VIOLATION", "The result came without a status", ran="unknown"))


def _streamed(totals: call_pb2.StreamTotals) -> Streamed:
    return Streamed(totals.chunks, totals.bytes, digest_from_wire(totals.digest))


# ----------------------------------------------------------------------------------------------------------- errors


def error_to_wire(target: adm_pb2.ErrorObject, error: AltarError) -> None:
    """Write an error for the other side. ``detail`` stays here: it is for our own log."""
    defects, more, handle = error.defects, error.more_defects, error.handle
    error = told(error)
    target.type = error.code
    target.message = error.message
    target.ran = _RAN_TO_WIRE[error.ran]
    if error.hint:
        target.hint = error.hint
    if error.path:
        target.field_path = error.path
    if error.retry_after is not None:
        target.retry_after_ms = _milliseconds(error.retry_after.total_seconds())
    defects, more = defects_told(defects, more=more)
    target.more_defects = min(max(0, more), _MAX_MS)
    if handle:
        target.handle = _text(handle)[:_LONGEST_HANDLE]
    for defect in defects:
        path = None if defect.path is None else _text(defect.path)
        target.defects.add(path=path, kind=_text(defect.category), message=_text(defect.message))


def _text(text: str) -> str:
    """Text that a message can hold: no half surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _milliseconds(seconds: float) -> int:
    """Seconds as the wire has them: whole milliseconds, nothing negative, at most what 32 bits hold."""
    return int(min(max(0.0, seconds * 1000), _MAX_MS))


def error_from_wire(source: adm_pb2.ErrorObject) -> AltarError:
    """An error as the other side sent it. A code of a newer peer becomes INTERNAL and keeps its words."""
    code = source.type if source.type in CODES else "INTERNAL"
    return error_of(
        code,
        source.message or "The other side failed without a word",
        hint=source.hint or None,
        path=source.field_path or None,
        ran=_RAN_FROM_WIRE.get(source.ran, "unknown"),
        retry_after=timedelta(milliseconds=source.retry_after_ms) if source.retry_after_ms else None,
        detail=None if source.type in CODES else f"unknown code {source.type!r}",
        defects=[
            Defect(each.path if each.HasField("path") else None, cast("Kind", each.kind), each.message)
            for each in source.defects[:MAX_TOLD]
        ],
        more_defects=source.more_defects,
        handle=source.handle,
    )


def digest_to_wire(digest: str) -> bytes:
    """``sha256:<hex>`` as 32 bytes."""
    return bytes.fromhex(digest.removeprefix("sha256:"))


def digest_from_wire(digest: bytes) -> str:
    """32 bytes as ``sha256:<hex>``; empty stays empty."""
    return f"sha256:{digest.hex()}" if digest else ""


# -------------------------------------------------------------------------------------------------------- variables

VariableRequest = variable_pb2.VariableRequest
VariableAnswer = variable_pb2.VariableAnswer


def variable_request(request: Request) -> VariableRequest:
    """A request as the wire has it, without the tag and the session it is for."""
    message = VariableRequest()
    match request:
        case Declare():
            message.declare.name, message.declare.schema, message.declare.value = (
                request.name,
                request.schema,
                request.value,
            )
        case Update():
            message.update.SetInParent()
            for name, value in request.values.items():
                message.update.values.add(name=name, value=value)
            for name, version in request.expected.items():
                message.update.expected.add(name=name, version=max(0, version))
        case Delete():
            message.delete.name = request.name
            if request.expected is not None:
                message.delete.expected_version = request.expected
        case Read():
            message.read.names.extend(request.names)
            message.read.SetInParent()
        case RecordEvent():
            message.record.event, message.record.data = request.event, request.data
            message.record.id, message.record.correlation_id = request.id, request.correlation
    return message


def variable_request_of(message: VariableRequest) -> Request:
    """A received request. Raises TransportError PROTOCOL_VIOLATION for one that asks for nothing, or for too much."""
    operation = message.WhichOneof("operation")
    if operation == "declare":
        return Declare(message.declare.name, message.declare.schema, message.declare.value)
    if operation == "delete":
        return Delete(message.delete.name, message.delete.expected_version or None)
    if operation == "record":
        asked = message.record
        return RecordEvent(asked.event, asked.data, asked.id, asked.correlation_id)
    if operation == "read" and len(message.read.names) <= MAX_VARIABLES:
        return Read(tuple(message.read.names))
    update = message.update
    if operation == "update" and max(len(update.values), len(update.expected)) <= MAX_VARIABLES:
        return Update(
            {each.name: each.value for each in update.values}, {each.name: each.version for each in update.expected}
        )
    raise TransportError(
        "PROTOCOL_VIOLATION",
        f"The request for variables asks for nothing, or names more than {MAX_VARIABLES}",
        ran="no",
        hint="declare, update, delete, read or watch variables",
    )


def add_variables(answer: VariableAnswer, records: Iterable[Record], error: AltarError | None = None) -> int:
    """Write records, or an error, into an answer; returns its approximate size in bytes."""
    size = 40
    for record in records:
        answer.variables.add(name=record.name, version=record.version, schema=record.schema, value=record.value)
        size += record.size + 16
    if error is not None:
        error_to_wire(answer.error, error)
        if isinstance(error, VariableConflictError):
            for name, version in error.current.items():
                answer.variables.add(name=name, version=version)
    return size


def variables_of(answer: VariableAnswer) -> tuple[tuple[Record, ...], AltarError | None]:
    """The records of a received answer, or the error; a conflict says the versions as they are."""
    records = tuple(Record(each.name, each.version, each.schema, each.value) for each in answer.variables)
    if not answer.HasField("error"):
        return records, None
    error = error_from_wire(answer.error)
    if error.code != "VARIABLE_CONFLICT":
        return (), error
    current = {record.name: record.version for record in records}
    return (), VariableConflictError(
        error.code,
        error.message,
        current=current,
        hint=error.hint,
        path=error.path,
        ran=error.ran,
        defects=error.defects,
        more_defects=error.more_defects,
    )


# ----------------------------------------------------------------------------------------------------------- frames


def crowded(frame: Message) -> AltarError | None:
    """PROTOCOL_VIOLATION for a frame of too many items, which cost the sender two bytes each and us a thousand."""
    for field, value in frame.ListFields():
        if not field.is_repeated:
            inner = crowded(value) if field.message_type is not None else None
            if inner is not None:
                return inner
        elif len(value) > MAX_ITEMS:
            return TransportError(
                "PROTOCOL_VIOLATION",
                f"The frame has {len(value)} {field.name!r} and the limit is {MAX_ITEMS}",
                ran="unknown",
                hint="spread them over several frames",
            )
    return None
