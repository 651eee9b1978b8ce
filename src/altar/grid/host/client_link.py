"""The stream of one client at the host: sessions, calls and cancellations in, results out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.errors import AltarError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.capabilities import HOST, MOST, Capability
from altar.grid.host.contract_desk import ClientContracts, add_contracts
from altar.grid.host.host import Host
from altar.grid.host.permit_desk import PermitDesk
from altar.grid.host.session_desk import SessionDesk
from altar.grid.host.sessions import HostSession
from altar.grid.host.stream import SMALL, Fill, Link, require_protocol, twice
from altar.grid.host.variables import VariableDesk
from altar.grid.notices import Notices
from altar.grid.trust.tls import Identity
from altar.grid.wire import FrameWriter
from altar.later.invocation import Invocation, Outcome, require_call_id
from altar.later.labels import labels_of

__all__ = ["ClientLink", "add_refusal", "client_invocation"]

_LONGEST_ID = 128


class ClientLink(Link):
    """The stream of one client."""

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(host, identity, context)
        self._in_flight: dict[int, Invocation] = {}
        self._sessions: set[str] = set()
        self.writer: FrameWriter[host_pb2.ConnectResponse, Fill | tuple[Invocation, Outcome]] = FrameWriter(
            self._write, host_pb2.ConnectResponse, self._add
        )
        self._desk = VariableDesk(host.variables, self.writer.put)
        self._session_desk = SessionDesk(host, identity.name, self.writer.put)
        self._notices = Notices(self.writer.put)
        self._contracts = ClientContracts(host, self.writer.put, principal=identity.name, sessions=self._sessions)
        self._permits = PermitDesk(
            host, identity.name, self.writer.put, lambda call, answer: client_invocation(call, identity, host, answer)
        )

    async def _frames(self) -> None:
        frame = await self._first(host_pb2.ConnectRequest)
        if frame is None:
            return
        self.writer.put(self._hello(frame))
        while frame is not None:
            self._take(frame)
            await self.writer.room()
            frame = await self._next(host_pb2.ConnectRequest)
            if frame is not None and frame.HasField("hello"):
                raise twice("hello")

    def _take(self, frame: host_pb2.ConnectRequest) -> None:
        for wanted in frame.create_sessions:
            self._create_session(wanted)
        self._session_desk.take(frame.session_requests)
        for asked in frame.variable_requests:
            self._desk.take(asked, self._session_of)
        calls = [made for call in frame.calls if (made := self._invocation(call)) is not None]
        if calls:
            self._host.execute(calls)
        self._permits.take(frame)
        for cancel in frame.cancels:
            cancelled = self._in_flight.get(cancel.tag)
            if cancelled is not None:
                self._cancel(cancelled)
        for credit in frame.stream_credits:
            reading = self._in_flight.get(credit.tag)
            if reading is not None and reading.chunks is not None:
                reading.chunks.grant(credit.more.chunks, credit.more.bytes)
        for ended in frame.destroy_sessions:
            self._destroy_session(ended)

    def _invocation(self, call: call_pb2.ToolCall) -> Invocation | None:
        """A call that has come; None for one whose envelope is not one, which has been answered."""
        if call.tag in self._in_flight:  # a second answer under one tag would be taken for the first
            raise TransportError(
                "PROTOCOL_VIOLATION",
                f"Tag {call.tag} is in use",
                ran="unknown",
                hint="give each call of a stream a tag of its own until it is answered",
            )
        try:
            invocation = client_invocation(call, self._identity, self._host, self._answer)
            if call.HasField("window"):
                self._host.streams.begin(invocation, call.window.chunks, call.window.bytes, self.writer.put)
        except AltarError as malformed:
            self.writer.put(_refusal(call, malformed))
            return None
        if call.notices:
            invocation.tell = self._notices.relay(call.tag)
        self._in_flight[call.tag] = invocation
        return invocation

    def lost(self, _reason: str) -> None:
        """The client is gone: nobody waits for its calls, and each still gets its outcome."""
        for invocation in list(self._in_flight.values()):
            if invocation.once:
                self._host.lost(invocation)
            else:
                self._cancel(invocation)
        self._desk.close()
        self._contracts.close()
        for session_id in self._sessions:  # they stay: the client may come back for them
            self._host.sessions.left(session_id)

    def _cancel(self, invocation: Invocation) -> None:
        if invocation.chunks is not None:
            invocation.chunks.leave()
        self._host.cancel(invocation)

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self._in_flight.pop(invocation.tag, None)
        self.writer.put((invocation, outcome), size=len(outcome.content))

    def _hello(self, frame: host_pb2.ConnectRequest) -> Fill:
        require_protocol(frame.hello.protocol_versions)
        if Capability.CONTRACTS in frame.hello.capabilities[:MOST]:
            self._contracts.hear()
        hello = host_pb2.HostHello(
            protocol_version=wire.PROTOCOL_VERSION,
            host=self._host.name,
            max_message_bytes=self._host.limits.max_message_bytes,
            capabilities=HOST,
            development=self._host.registrations.development,
        )
        if self._host.permits.allows(self._identity.name):
            hello.capabilities.append(Capability.LOCAL_DISPATCH)
        return lambda response: response.hello.CopyFrom(hello)

    def _create_session(self, wanted: host_pb2.CreateSession) -> None:
        """Open a session and say so: not before it is durable, so that one that was told of is there after a crash."""
        tag, opened = wanted.tag, list[HostSession]()

        def answer(failed: AltarError | None) -> None:
            self.writer.put(fill if failed is None else lambda frame: _add_refused(frame, tag, failed))

        def fill(frame: host_pb2.ConnectResponse) -> int:  # not before: a small frame can open many sessions
            (session,) = opened
            created = frame.sessions_created.add(tag=tag, session_id=session.session_id, ttl_seconds=int(session.ttl))
            add_contracts(created, self._host, session)
            return created.ByteSize()

        try:
            opened.append(self._session(wanted, answer))
        except AltarError as refused:
            answer(refused)

    def _session(self, wanted: host_pb2.CreateSession, answer: Callable[[AltarError | None], None]) -> HostSession:
        """A new session, or the one to take up again; this stream has it open from here on."""
        if not wanted.session_id:
            labels = dict(labels_of(wanted.labels, what="the session"))
            session = self._host.open_session(
                self._identity.name, list(wanted.tools), ttl=wanted.ttl_seconds, labels=labels, then=answer
            )
        else:
            session = self._host.sessions.get(wanted.session_id, self._identity.name)
            session.attached += session.session_id not in self._sessions
            answer(None)
        if len(self._sessions) >= self._host.limits.sessions_per_principal:
            self._sessions.difference_update([one for one in self._sessions if self._host.sessions.look(one) is None])
        self._sessions.add(session.session_id)
        return session

    def _session_of(self, asked: wire.VariableRequest) -> HostSession:
        return self._host.sessions.get(asked.session_id, self._identity.name)

    def _destroy_session(self, ended: host_pb2.DestroySession) -> None:
        """End a session and say so: not before that is durable."""

        def answer(failed: AltarError | None) -> None:
            destroyed = host_pb2.SessionDestroyed(tag=ended.tag)
            if failed is not None:
                wire.error_to_wire(destroyed.error, failed)
            self.writer.put(lambda response: response.sessions_destroyed.append(destroyed))

        try:
            self._host.close_session(ended.session_id, self._identity.name, force=ended.force, then=answer)
            self._sessions.discard(ended.session_id)
        except AltarError as refused:
            answer(refused)

    def _add(self, frame: host_pb2.ConnectResponse, item: Fill | tuple[Invocation, Outcome]) -> int:
        if isinstance(item, tuple):
            chunks, size = item[0].chunks, 0
            if chunks is not None:
                size = int(chunks.drain(frame))
                if chunks.waits:
                    self.writer.put(item)  # the result comes after the last value, in a frame that has room for both
                    return size
            return size + wire.add_result(frame.results.add(), *item)
        filled = item(frame)
        return filled if isinstance(filled, int) else SMALL

    def _farewell(self, reason: AltarError) -> Message:
        response = host_pb2.ConnectResponse()
        wire.error_to_wire(response.closing, reason)
        return response


def client_invocation(
    call: call_pb2.ToolCall, identity: Identity, host: Host, answer: Callable[[Invocation, Outcome], None]
) -> Invocation:
    """A client's call, refused here when its envelope is not one; what it asks for is looked at later."""
    invocation = wire.invocation_of(call, now=time.monotonic())
    require_call_id(invocation.call_id)
    if (
        len(invocation.correlation_id) > _LONGEST_ID
        or len(invocation.session_id) > _LONGEST_ID
        or len(invocation.version) > _LONGEST_ID
        or len(invocation.name) > _LONGEST_ID
    ):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"An id or name of the call is longer than {_LONGEST_ID} characters",
            ran="no",
            hint="use shorter ids",
        )
    size, limit = len(invocation.arguments), host.limits.max_message_bytes
    if size > limit:
        raise wire.too_large("arguments", size, limit, ran="no")
    invocation.invocation_id = ""
    invocation.principal = identity.name
    invocation.reply_to = answer
    return invocation


def _add_refused(frame: host_pb2.ConnectResponse, tag: int, error: AltarError) -> None:
    wire.error_to_wire(frame.sessions_created.add(tag=tag).error, error)


def _refusal(call: call_pb2.ToolCall, error: AltarError) -> Fill:
    result = call_pb2.ToolResult()
    add_refusal(result, call, error)  # now: a part of a frame keeps the whole frame in memory
    return lambda frame: frame.results.append(result)


def add_refusal(result: call_pb2.ToolResult, call: call_pb2.ToolCall, error: AltarError) -> None:
    """Write the refusal of a call whose envelope was not one."""
    result.tag = call.tag
    result.correlation_id = call.correlation_id[:_LONGEST_ID]
    result.result.call_id = call.call.call_id[:_LONGEST_ID]
    result.result.name = call.call.name[:_LONGEST_ID]
    result.result.status = adm_pb2.RESULT_STATUS_ERROR
    wire.error_to_wire(result.result.error, error)
