"""Permits and reports on the stream of one client, at the host: from messages to :mod:`permits` and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import governed_pb2
from altar.adm.errors import AltarError, Ran, ValidationError
from altar.grid import wire
from altar.grid.reports import FallbackCall, Report
from altar.later.invocation import Invocation, Outcome

if TYPE_CHECKING:
    from altar._proto.altar.grid.v1 import call_pb2, host_pb2
    from altar.grid.host.host import Host

__all__ = ["PermitDesk"]

_RAN: dict[int, Ran] = {adm_pb2.RAN_NO: "no", adm_pb2.RAN_YES: "yes", adm_pb2.RAN_UNKNOWN: "unknown"}
_STATUS: dict[int, Literal["SUCCESS", "ERROR"]] = {
    adm_pb2.RESULT_STATUS_SUCCESS: "SUCCESS",
    adm_pb2.RESULT_STATUS_ERROR: "ERROR",
}
_LONGEST = 128

Made = Callable[["call_pb2.ToolCall", Callable[[Invocation, Outcome], None]], Invocation]
"""Makes the invocation of a client's call, or raises what is wrong with its envelope."""


class PermitDesk:
    """Takes what one client asks and reports, and puts the answers into its frames.

    ``put`` queues something for the next frame of the stream; ``made`` reads the envelope of a call.
    ``reporter`` says in whose name a report is made.
    """

    def __init__(self, host: Host, put: Callable[..., None], *, made: Made, reporter: Callable[[Report], str]) -> None:
        self._host = host
        self._reporter = reporter
        self._put = put
        self._made = made

    def take(self, frame: host_pb2.ConnectRequest) -> None:
        """Let the host decide on the calls of a frame and record its reports; each of both is answered once."""
        if frame.authorizations:
            self._authorize(frame.authorizations)
        if frame.reports:
            self._report(frame.reports)

    def _authorize(self, asked: Iterable[governed_pb2.AuthorizeToolCall]) -> None:
        calls = []
        for each in asked:
            try:
                calls.append(self._made(each.call, self._answer))
            except AltarError as malformed:
                self._refuse(each.call.tag, malformed)
        if calls:
            self._host.authorize(calls)

    def _report(self, reports: Iterable[governed_pb2.LogToolResult]) -> None:
        for each in reports:
            tag = each.tag
            try:
                report = _report(each)
            except AltarError as malformed:
                self._taken(tag, malformed)
            else:
                self._host.permits.report(report, self._reporter(report), self._teller(tag))

    def _teller(self, tag: int) -> Callable[[AltarError | None], None]:
        return lambda error: self._taken(tag, error)

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._refuse(invocation.tag, outcome.error)
            return
        answer = governed_pb2.AuthorizeToolCallResponse(
            tag=invocation.tag,
            status=governed_pb2.AUTHORIZATION_STATUS_APPROVED,
            invocation_id=invocation.invocation_id,
            authorization_ttl_ms=int(self._host.limits.permits.ttl.total_seconds() * 1000),
            variables=wire.digest_to_wire(invocation.variables),
        )
        self._put(lambda frame: frame.authorized.append(answer))

    def _refuse(self, tag: int, error: AltarError) -> None:
        answer = governed_pb2.AuthorizeToolCallResponse(tag=tag, status=governed_pb2.AUTHORIZATION_STATUS_DENIED)
        wire.error_to_wire(answer.error, error)
        self._put(lambda frame: frame.authorized.append(answer))

    def _taken(self, tag: int, error: AltarError | None) -> None:
        logged = governed_pb2.LOG_STATUS_LOGGED if error is None else governed_pb2.LOG_STATUS_REJECTED
        answer = governed_pb2.LogToolResultResponse(tag=tag, status=logged)
        if error is not None:
            wire.error_to_wire(answer.error, error)
        self._put(lambda frame: frame.reports_taken.append(answer))


def _report(message: governed_pb2.LogToolResult) -> Report:
    """A received report. Raises ValidationError MALFORMED_REQUEST for one that leaves something open."""
    status, ran = _STATUS.get(message.status), _RAN.get(message.ran)
    fallback = message.fallback if message.HasField("fallback") else None
    ids: list[str] = [message.invocation_id, message.call_id, message.code, message.journal]
    digests: list[bytes] = [message.result_digest] if message.result_digest else []
    if fallback is not None:
        ids += [fallback.contract.name, fallback.contract.version, fallback.session_id, fallback.correlation_id]
        digests += [fallback.contract.digest, fallback.arguments_digest]
    if status is None or ran is None or max(map(len, ids)) > _LONGEST or any(len(each) != 32 for each in digests):
        raise ValidationError(
            "MALFORMED_REQUEST",
            "The report lacks its status or whether the tool ran, or has an id or digest of a wrong length",
            ran="unknown",
            hint="set status and ran; digests are 32 bytes",
        )
    return Report(
        permit=message.invocation_id,
        call_id=message.call_id,
        status=status,
        code=message.code,
        ran=ran,
        result=wire.digest_from_wire(message.result_digest),
        began_ms=message.began_ms,
        ended_ms=message.ended_ms,
        journal=message.journal,
        position=message.position,
        fallback=None if fallback is None else _fallback(fallback),
    )


def _fallback(message: Any) -> FallbackCall:
    return FallbackCall(
        tool=message.contract.name,
        version=message.contract.version,
        contract=wire.digest_from_wire(message.contract.digest),
        arguments=wire.digest_from_wire(message.arguments_digest),
        session=message.session_id,
        correlation=message.correlation_id,
    )
