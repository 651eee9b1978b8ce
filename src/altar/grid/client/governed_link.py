"""What a client asks its host for calls that run in its own process, and what it reports of them: messages and tags.

A question that no host has answered is asked again on the next stream, because nothing has run; a report is sent again
until it is answered, because the host records it once.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import governed_pb2, host_pb2
from altar.adm.errors import AltarError, Ran, TransportError
from altar.grid import wire
from altar.grid.reports import Report
from altar.later.invocation import Invocation, late

__all__ = ["GovernedLink", "Grant", "Granted", "Told"]

_RAN: dict[Ran, adm_pb2.Ran] = {"no": adm_pb2.RAN_NO, "yes": adm_pb2.RAN_YES, "unknown": adm_pb2.RAN_UNKNOWN}
_STATUS = {"SUCCESS": adm_pb2.RESULT_STATUS_SUCCESS, "ERROR": adm_pb2.RESULT_STATUS_ERROR}
_MOST_SENT = 256
"""Reports that are on their way at once."""
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit: its id, and until when (seconds of the monotonic clock) the function may begin.

    ``variables`` is the digest of the variables that the contract binds, as the host recorded it; "" where it binds
    none.
    """

    permit: str
    until: float
    variables: str = ""


Granted = Callable[[Grant | AltarError], None]
"""Told the permit, or why there is none; called once."""

Told = Callable[[AltarError | None], None]
"""Told that the host has recorded a report, or why it never will; called once."""


@dataclass(slots=True)
class _Question:
    """A call that waits for its permit. ``sent`` is when it was last asked, infinite while it is not."""

    invocation: Invocation
    then: Granted
    unused: Callable[[Grant], None]
    sent: float = math.inf
    withdrawn: bool = False


@dataclass(slots=True)
class _Waiting:
    """A report that the host has not answered; ``due`` is when it may be sent again."""

    report: Report
    told: Told
    due: float = 0.0
    pause: float = _FIRST_PAUSE


class GovernedLink:
    """The questions and reports of one session. For one thread, the session's loop.

    ``send`` puts a message on the stream, and is false when there is none.
    ``session_of`` gives the id of the session on the host.
    """

    def __init__(self, send: Callable[[host_pb2.ConnectRequest], bool], session_of: Callable[[], str]) -> None:
        self._send = send
        self._session_of = session_of
        self._tags = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._reports: dict[int, _Waiting] = {}
        self._unsent: dict[int, _Waiting] = {}  # of the reports, in the order in which they are to be sent

    @property
    def unanswered(self) -> int:
        """How many reports the host has not answered."""
        return len(self._reports)

    @property
    def asking(self) -> int:
        """How many calls wait for a permit."""
        return len(self._questions)

    def ask(self, invocation: Invocation, then: Granted, unused: Callable[[Grant], None]) -> int:
        """Ask for a permit; ``unused`` takes one that comes when nobody waits any more. Gives the question's number."""
        tag = next(self._tags)
        self._questions[tag] = question = _Question(invocation, then, unused)
        self._put_question(tag, question)
        return tag

    def withdraw(self, number: int) -> bool:
        """Nobody waits for this permit any more; false when it is here, or was refused."""
        question = self._questions.get(number)
        if question is None or question.withdrawn:
            return False
        question.withdrawn = True
        if math.isinf(question.sent):
            del self._questions[number]
        return True

    def report(self, report: Report, told: Told) -> None:
        """Tell the host how a call ended, for as long as it takes."""
        tag = next(self._tags)
        self._reports[tag] = self._unsent[tag] = _Waiting(report, told)
        self._send_reports()

    def answered(self, frame: host_pb2.ConnectResponse) -> None:
        """Take what the host says."""
        for answer in frame.authorized:
            question = self._questions.pop(answer.tag, None)
            if question is not None:
                self._decided(question, answer)
        for taken in frame.reports_taken:
            waiting = self._reports.get(taken.tag)
            if waiting is not None:
                self._taken(waiting, taken)

    def resume(self) -> None:
        """There is a stream: ask and report what is not answered."""
        for tag, question in list(self._questions.items()):
            self._put_question(tag, question)
        self._unsent = dict(self._reports)
        self._send_reports()

    def lost(self) -> None:
        """The stream is gone; what was asked on it is asked again on the next."""
        for tag, question in list(self._questions.items()):
            question.sent = math.inf
            if question.withdrawn:
                del self._questions[tag]
        self._unsent = dict(self._reports)

    def fail(self, error: AltarError) -> None:
        """There will be no stream for now: nobody is kept waiting for a permit."""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            if not question.withdrawn:
                question.then(error)

    def sweep(self, now: float) -> None:
        """End the questions that are late, and send again what the host could not take."""
        late_ones = [tag for tag, each in self._questions.items() if now >= each.invocation.deadline]
        for tag in late_ones:
            question = self._questions[tag]
            if not question.withdrawn:
                self.withdraw(tag)
                question.then(late(question.invocation, ran="no"))
        if self._unsent:
            self._send_reports()

    def _put_question(self, tag: int, question: _Question) -> None:
        if question.withdrawn:
            return
        now = time.monotonic()
        question.invocation.session_id = self._session_of()
        message = host_pb2.ConnectRequest()
        wire.add_call(message.authorizations.add().call, question.invocation, tag=tag, now=now)
        if self._send(message):
            question.sent = now

    def _decided(self, question: _Question, answer: governed_pb2.AuthorizeToolCallResponse) -> None:
        if answer.status == governed_pb2.AUTHORIZATION_STATUS_APPROVED and answer.invocation_id:
            # counted from when it was asked for, so that it ends here before it ends there
            until = question.sent + answer.authorization_ttl_ms / 1000
            grant = Grant(answer.invocation_id, until, wire.digest_from_wire(answer.variables))
            (question.unused if question.withdrawn else question.then)(grant)
        elif not question.withdrawn:
            question.then(_refusal(answer))

    def _taken(self, waiting: _Waiting, taken: governed_pb2.LogToolResultResponse) -> None:
        error: AltarError | None = None
        if taken.status != governed_pb2.LOG_STATUS_LOGGED:
            error = wire.error_from_wire(taken.error)
            if error.retry_after is not None or taken.status != governed_pb2.LOG_STATUS_REJECTED:
                self._unsent[taken.tag] = waiting
                waiting.due = time.monotonic() + waiting.pause
                waiting.pause = min(_LONGEST_PAUSE, 2 * waiting.pause)
                return
        del self._reports[taken.tag]
        waiting.told(error)
        self._send_reports()

    def _send_reports(self) -> None:
        """Send what is due, as far as there is a stream and not too much is on its way."""
        now = time.monotonic()
        for tag in list(itertools.islice(self._unsent, _MOST_SENT)):
            waiting = self._unsent[tag]
            if len(self._reports) - len(self._unsent) >= _MOST_SENT:
                return
            if waiting.due > now:
                self._unsent[tag] = self._unsent.pop(tag)  # to the end, so that it holds up nobody
            elif self._send(_message(tag, waiting.report)):
                del self._unsent[tag]
            else:
                return


def _refusal(answer: governed_pb2.AuthorizeToolCallResponse) -> AltarError:
    """Why there is no permit; an answer that says nothing, or that a person must decide, is none either."""
    if answer.HasField("error"):
        error = wire.error_from_wire(answer.error)
        error.ran = "no"
        return error
    return TransportError("PROTOCOL_VIOLATION", "The host decided without saying what", ran="no")


def _message(tag: int, report: Report) -> host_pb2.ConnectRequest:
    message = governed_pb2.LogToolResult(
        tag=tag,
        invocation_id=report.permit,
        call_id=report.call_id,
        status=_STATUS[report.status],
        code=report.code,
        ran=_RAN[report.ran],
        result_digest=wire.digest_to_wire(report.result),
        began_ms=report.began_ms,
        ended_ms=report.ended_ms,
        journal=report.journal,
        position=report.position,
    )
    fallback = report.fallback
    if fallback is not None:
        message.fallback.contract.name, message.fallback.contract.version = fallback.tool, fallback.version
        message.fallback.contract.digest = wire.digest_to_wire(fallback.contract)
        message.fallback.arguments_digest = wire.digest_to_wire(fallback.arguments)
        message.fallback.session_id, message.fallback.correlation_id = fallback.session, fallback.correlation
    return host_pb2.ConnectRequest(reports=[message])
