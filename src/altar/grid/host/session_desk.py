"""What a client may ask of sessions beside opening and ending them: which there are, what one is, more time for it.

Comes in: the requests of one stream. Goes out: an answer to each, under its tag.
A principal hears of its own sessions only; one of somebody else is refused in the words of one that never was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.grid import wire
from altar.grid.host.callers import Caller
from altar.grid.host.host import Host
from altar.grid.host.sessions import HostSession
from altar.grid.host.stream import Fill

__all__ = ["SessionDesk"]

MOST = 64
"""Requests of one frame that are carried out; a list of many sessions is work."""


class Put(Protocol):
    """Queues an answer for the client; ``size`` in bytes holds up whoever does not read."""

    def __call__(self, item: Fill, *, size: int) -> None:
        """Queue one."""
        ...


class Names(Protocol):
    """In whose name a stream uses its sessions."""

    def caller_of(self, session_id: str) -> Caller:
        """That of one session; of the connection where the stream does not have it open."""
        ...

    def renew(self, session_id: str, credential: bytes) -> Caller:
        """The same, by a fresh credential unless that is empty."""
        ...


class SessionDesk:
    """Answers the requests of one stream; an extension when it is durable, all others at once."""

    def __init__(self, host: Host, names: Names, put: Put) -> None:
        self._host = host
        self._names = names
        self._put = put

    def take(self, requests: Iterable[host_pb2.SessionRequest]) -> None:
        """Answer each request of a frame; RATE_LIMIT_EXCEEDED to those beyond MOST."""
        for place, asked in enumerate(requests):
            try:
                if place >= MOST:
                    raise _too_many()
                self._carry_out(asked)
            except AltarError as refused:
                self._answer(asked.tag, error=refused)

    def _carry_out(self, asked: host_pb2.SessionRequest) -> None:
        operation = asked.WhichOneof("operation")
        if operation == "list":
            self._answer(asked.tag, self._host.sessions.of(self._caller("").id))
        elif operation == "describe":
            session_id = asked.describe.session_id
            self._answer(asked.tag, (self._host.sessions.owned(session_id, self._caller(session_id).id),))
        elif operation == "extend":
            self._extend(asked.tag, asked.extend)
        else:
            raise ValidationError(
                "MALFORMED_REQUEST",
                "The request asks for nothing",
                ran="no",
                hint="name one operation: list, describe or extend",
            )

    def _extend(self, tag: int, asked: host_pb2.ExtendSession) -> None:
        def durable(failed: AltarError | None) -> None:
            if failed is None:
                self._answer(tag, (session,))
            else:
                self._answer(tag, error=failed)

        caller = self._names.renew(asked.session_id, asked.credential).require()
        self._host.callers.admit(caller, "use")
        session = self._host.sessions.owned(asked.session_id, caller.id)
        if asked.credential:
            session.until = self._host.until(caller)
            session.who = caller.who
        self._host.sessions.extend(session.session_id, caller.id, ttl=asked.ttl_seconds, then=durable)

    def _caller(self, session_id: str) -> Caller:
        caller = self._names.caller_of(session_id).require()
        self._host.callers.admit(caller, "use")
        return caller

    def _answer(self, tag: int, sessions: Iterable[HostSession] = (), *, error: AltarError | None = None) -> None:
        answer = host_pb2.SessionAnswer(tag=tag)
        for session in sessions:
            self._describe(session, answer.sessions.add())
        size, limit = answer.ByteSize(), self._host.limits.max_message_bytes
        if size > limit:
            error = wire.too_large("sessions of the list", size, limit, ran="no")
            answer = host_pb2.SessionAnswer(tag=tag)
        if error is not None:
            wire.error_to_wire(answer.error, error)
            size = answer.ByteSize()
        self._put(lambda frame: _add(frame, answer), size=size)

    def _describe(self, session: HostSession, info: host_pb2.SessionInfo) -> None:
        info.session_id = session.session_id
        info.created_ms = session.created_ms
        info.ttl_seconds = int(session.ttl)
        info.seconds_left = int(self._host.sessions.seconds_left(session))
        info.tools.extend(sorted(session.tools))
        info.calls_in_flight = len(session.calls)
        info.variables = len(session.variables)
        info.connections = session.attached
        info.labels.update(session.labels)


def _too_many() -> AltarError:
    return AuthorizationError(
        "RATE_LIMIT_EXCEEDED",
        f"One frame asks for more than {MOST} things of sessions",
        ran="no",
        hint="ask again",
        retry_after=timedelta(milliseconds=100),
    )


def _add(frame: host_pb2.ConnectResponse, answer: host_pb2.SessionAnswer) -> int:
    frame.session_answers.append(answer)
    return answer.ByteSize()
