"""The stream of one client at the host: sessions, calls and cancellations in, results out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.errors import AltarError, AuthorizationError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.beside import needs_blobs, result_as_text
from altar.grid.capabilities import HOST, MOST, Capability
from altar.grid.frames import FrameWriter
from altar.grid.host.callers import Caller
from altar.grid.host.contract_desk import ClientContracts, add_contracts
from altar.grid.host.host import Host
from altar.grid.host.permit_desk import PermitDesk
from altar.grid.host.session_desk import SessionDesk
from altar.grid.host.sessions import HostSession
from altar.grid.host.stream import SMALL, Fill, Link, require_protocol, twice
from altar.grid.host.variables import VariableDesk
from altar.grid.notices import Notices
from altar.grid.reports import Report
from altar.grid.trust.tls import Identity
from altar.later.invocation import Invocation, Outcome, require_call_id
from altar.later.labels import labels_of

__all__ = ["ClientLink", "add_refusal", "client_invocation", "source_of"]

_LONGEST_ID = 128


class ClientLink(Link):
    """The stream of one client."""

    def __init__(
        self,
        host: Host,
        identity: Identity,
        context: grpc.aio.ServicerContext[bytes, bytes],
        caller: Caller | None = None,
    ) -> None:
        super().__init__(host, identity, context)
        self._caller = caller or host.callers.of(b"", identity)
        self._source = source_of(context.peer())
        self._in_flight: dict[int, Invocation] = {}
        self._takes_blobs = False
        self._sessions: dict[str, Caller] = {}  # which this stream has open, and in whose name
        self.writer: FrameWriter[host_pb2.ConnectResponse, Fill | tuple[Invocation, Outcome]] = FrameWriter(
            self._write, host_pb2.ConnectResponse, self._add
        )
        self._desk = VariableDesk(host.variables, self.writer.put)
        self._session_desk = SessionDesk(host, self, self.writer.put)
        self._notices = Notices(self.writer.put)
        self._contracts = ClientContracts(host, self.writer.put, sessions=self._sessions)
        self._permits = PermitDesk(
            host,
            self.writer.put,
            made=lambda call, answer: client_invocation(
                call, self.caller_of(call.session_id), host, answer, source=self._source
            ),
            reporter=self._reporter,
        )

    def caller_of(self, session_id: str) -> Caller:
        """In whose name this stream uses a session: of who opened it or took it up here, else of the connection."""
        return self._sessions.get(session_id, self._caller)

    def renew(self, session_id: str, credential: bytes) -> Caller:
        """The caller of a session, by a fresh credential where one is given.

        Raises INVALID_CREDENTIALS for that of another principal.
        """
        known = self.caller_of(session_id)
        if not credential:
            return known
        fresh = self._host.callers.of(credential, self._identity)
        if fresh.id != known.id:
            raise AuthorizationError(
                "INVALID_CREDENTIALS", "The credential is not that of the session's principal", ran="no"
            )
        if session_id in self._sessions:
            self._sessions[session_id] = fresh
        return fresh

    def _reporter(self, report: Report) -> str:
        """Who reports on a call: whoever made it, if this stream may speak in that name."""
        if report.fallback is not None:
            return self.caller_of(report.fallback.session).id
        holder = self._host.permits.holder_of(report.permit)
        return holder if any(holder == caller.id for caller in self._sessions.values()) else self._caller.id

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
            caller = self._sessions.get(call.session_id, self._caller)
            invocation = client_invocation(call, caller, self._host, self._answer, source=self._source)
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
            if invocation.once and invocation.chunks is None:
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
        if outcome.blobs is not None and not self._takes_blobs:
            limit = self._host.limits.max_message_bytes
            outcome = result_as_text(invocation, outcome, limit=limit, who="its caller")
        self.writer.put((invocation, outcome), size=outcome.size)

    def _hello(self, frame: host_pb2.ConnectRequest) -> Fill:
        require_protocol(frame.hello.protocol_versions)
        can = frame.hello.capabilities[:MOST]
        self._takes_blobs = Capability.BLOBS in can
        if Capability.CONTRACTS in can:
            self._contracts.hear()
        hello = host_pb2.HostHello(
            protocol_version=wire.PROTOCOL_VERSION,
            host=self._host.name,
            max_message_bytes=self._host.limits.max_message_bytes,
            capabilities=HOST,
            development=self._host.registrations.development,
        )
        if self._host.permits.allows(self._caller.id):
            hello.capabilities.append(Capability.LOCAL_DISPATCH)
        if self._host.callers.known:
            hello.capabilities.append(Capability.CREDENTIALS)
        return lambda response: response.hello.CopyFrom(hello)

    def _create_session(self, wanted: host_pb2.CreateSession) -> None:
        """Open a session and say so: not before it is durable, so that one that was told of is there after a crash."""
        tag, opened = wanted.tag, list[HostSession]()

        def answer(failed: AltarError | None) -> None:
            self.writer.put(fill if failed is None else lambda frame: _add_refused(frame, tag, failed))

        def fill(frame: host_pb2.ConnectResponse) -> int:  # not before: a small frame can open many sessions
            (session,) = opened
            created = frame.sessions_created.add(tag=tag, session_id=session.session_id, ttl_seconds=int(session.ttl))
            add_contracts(created, self._host, session, self.caller_of(session.session_id).who)
            return created.ByteSize()

        try:
            opened.append(self._session(wanted, answer))
        except AltarError as refused:
            answer(refused)

    def _session(self, wanted: host_pb2.CreateSession, answer: Callable[[AltarError | None], None]) -> HostSession:
        """A new session, or the one to take up again; this stream has it open from here on."""
        caller = self._caller
        if wanted.credential:
            caller = self._host.callers.of(wanted.credential, self._identity)
        if not wanted.session_id:
            labels = dict(labels_of(wanted.labels, what="the session"))
            session = self._host.open_session(
                caller, list(wanted.tools), ttl=wanted.ttl_seconds, labels=labels, then=answer
            )
        else:
            session = self._host.take_up(wanted.session_id, caller)
            session.attached += session.session_id not in self._sessions
            answer(None)
        if len(self._sessions) >= self._host.limits.sessions_per_principal:
            for gone in [one for one in self._sessions if self._host.sessions.look(one) is None]:
                del self._sessions[gone]
        self._sessions[session.session_id] = caller
        return session

    def _session_of(self, asked: wire.VariableRequest) -> HostSession:
        caller = self.caller_of(asked.session_id)
        self._host.callers.admit(caller, "use")
        return self._host.sessions.get(asked.session_id, caller.id)

    def _destroy_session(self, ended: host_pb2.DestroySession) -> None:
        """End a session and say so: not before that is durable."""

        def answer(failed: AltarError | None) -> None:
            destroyed = host_pb2.SessionDestroyed(tag=ended.tag)
            if failed is not None:
                wire.error_to_wire(destroyed.error, failed)
            self.writer.put(lambda response: response.sessions_destroyed.append(destroyed))

        try:
            principal = self.caller_of(ended.session_id).id
            self._host.close_session(ended.session_id, principal, force=ended.force, then=answer)
            self._sessions.pop(ended.session_id, None)
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
    call: call_pb2.ToolCall,
    caller: Caller,
    host: Host,
    answer: Callable[[Invocation, Outcome], None],
    *,
    source: str = "",
) -> Invocation:
    """A client's call, refused here when its envelope is not one; what it asks for is looked at later.

    ``source`` is the address that it came from, see `source_of`.
    """
    if caller.refusal is not None:
        raise caller.refusal
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
    size, limit = invocation.size, host.limits.max_message_bytes
    if size > limit:
        raise wire.too_large("arguments", size, limit, ran="no")
    if invocation.blobs is not None:
        needs_blobs(invocation, limit)
    invocation.invocation_id = ""
    invocation.principal = caller.id
    invocation.tenant = caller.tenant
    invocation.who = caller.who
    invocation.source = source
    invocation.reply_to = answer
    return invocation


def source_of(peer: str) -> str:
    """The IP address in gRPC's word for a peer, such as ``ipv4:127.0.0.1:4711``; "" where it has none."""
    kind, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if kind in {"ipv4", "ipv6"} else ""


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
