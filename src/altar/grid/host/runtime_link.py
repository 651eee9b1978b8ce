"""The stream of one runtime at the host: announcement, fulfilment, results and credits in, calls out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.errors import AltarError, AuthorizationError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.capabilities import HOST, Capability, kind_of, read_capabilities
from altar.grid.frames import FrameWriter
from altar.grid.host.contract_desk import RuntimeContracts
from altar.grid.host.host import Host
from altar.grid.host.host_streams import Grant
from altar.grid.host.nested_desk import NestedDesk
from altar.grid.host.runtimes import MOST_AT_ONCE, AttachedRuntime
from altar.grid.host.sessions import HostSession
from altar.grid.host.stream import SMALL, Fill, Link, require_protocol, twice
from altar.grid.host.variables import VariableDesk
from altar.grid.trust.tls import Identity
from altar.grid.workers import may_announce
from altar.later.invocation import Invocation, Outcome
from altar.later.labels import labels_of

__all__ = ["RuntimeLink"]

_log = logging.getLogger("altar.grid")

_LONGEST_INSTANCE = 64


class RuntimeLink(Link):
    """The stream of one runtime."""

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(host, identity, context)
        self._runtime: AttachedRuntime | None = None
        self._takes_blobs = False
        self._beat: asyncio.Task[None] | None = None
        self.writer: FrameWriter[runtime_pb2.AttachResponse, Fill | Invocation] = FrameWriter(
            self._write, runtime_pb2.AttachResponse, self._add, on_room=self._has_room
        )
        self._desk = VariableDesk(host.variables, self.writer.put)
        self._nested = NestedDesk(host, self.writer.put)
        self._contracts = RuntimeContracts(host, self.writer.put)

    # ------------------------------------------------------------------------------------- what the source sends

    def send_call(self, invocation: Invocation) -> None:
        """Queue a call for the next frame."""
        if invocation.chunks is not None:
            invocation.chunks.sent_to(self._granting(invocation.handle))
        self.writer.put(invocation, size=invocation.size)

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits to be written that the runtime, which does not read, gets no more calls for now."""
        return self.writer.is_crowded

    def send_cancel(self, tag: int) -> None:
        """Queue a cancellation."""
        self.writer.put(lambda frame: frame.cancels.add(tag=tag))

    def unsent(self) -> list[Invocation]:
        """Take back the calls that never got into a frame."""
        return [item for item in self.writer.unsent() if isinstance(item, Invocation)]

    # ---------------------------------------------------------------------------------------- what the runtime says

    async def _frames(self) -> None:
        frame = await self._first(runtime_pb2.AttachRequest)
        if frame is None:
            return
        runtime = self._announce(frame.announce)
        self._beat = asyncio.get_running_loop().create_task(self._heartbeat())
        while frame is not None:
            self._host.runtimes.heard(runtime)
            self._take(runtime, frame)
            await self.writer.room()
            frame = await self._next(runtime_pb2.AttachRequest)
            if frame is not None and frame.HasField("announce"):
                raise twice("announcement")

    def _take(self, runtime: AttachedRuntime, frame: runtime_pb2.AttachRequest) -> None:
        runtimes = self._host.runtimes
        if frame.HasField("fulfill") or frame.HasField("register"):
            self._contracts.take(frame)
        for asked in frame.variable_requests:
            self._desk.take(asked, self._session_of)
        if frame.nested_calls or frame.nested_cancels or frame.stream_credits:
            self._nested.take(runtime, frame.nested_calls)
            self._nested.cancel(frame.nested_cancels)
            self._nested.grant(frame.stream_credits)
        for chunk in frame.stream_chunks:
            streaming = runtime.in_flight.get(chunk.tag)
            if streaming is not None:
                self._host.streams.arrived(streaming, chunk.index, list(chunk.payloads))
        for notice in frame.notices:
            telling = runtime.in_flight.get(notice.tag)
            if telling is not None and telling.tell is not None:
                telling.tell(notice)
        for result in frame.results:
            runtimes.result(runtime, result.tag, self._outcome(result, runtime.in_flight.get(result.tag)))
        if frame.HasField("drain"):
            runtimes.drain(runtime)
        if frame.credits:
            runtimes.credit(runtime, frame.credits)

    def certificate_ended(self) -> None:
        """End the stream in words that let the runtime dial again, with the certificate it has by then."""
        self.close(
            TransportError(
                "CONNECTION_FAILED",
                f"The certificate of {self._identity.name!r} has ended",
                ran="unknown",
                hint="renew the certificate",
            )
        )

    def lost(self, reason: str) -> None:
        """The runtime is gone, or this connection of it."""
        self._desk.close()
        self._nested.close()
        if self._beat is not None:
            self._beat.cancel()
        if self._runtime is not None:
            self._host.runtimes.detach(self._runtime, reason)
        self._contracts.close()

    def _has_room(self) -> None:
        if self._runtime is not None:
            self._host.runtimes.room(self._runtime)

    def _session_of(self, asked: wire.VariableRequest) -> HostSession:
        """The session of a call that this runtime is running, and of no other."""
        call = self._runtime.in_flight.get(asked.call_tag) if self._runtime is not None else None
        if call is None or not call.session_id:
            raise ValidationError(
                "INVALID_SESSION",
                "There is no session behind this call" if call is not None else "The call has ended",
                ran="no",
                hint="a tool has variables while it runs, for a call that was made in a session",
            )
        return self._host.sessions.get(call.session_id, call.principal)

    def _announce(self, announce: runtime_pb2.AnnounceRuntime) -> AttachedRuntime:
        require_protocol(announce.protocol_versions)
        if not may_announce(announce.runtime_id, certificate=self._identity.name):
            raise AuthorizationError(
                "PERMISSION_DENIED",
                f"The certificate is for {self._identity.name!r}, and the runtime calls itself {announce.runtime_id!r}",
                ran="no",
                hint="set runtime_id to the name in the certificate, or issue one for this name",
            )
        capabilities = read_capabilities(announce.capabilities)
        labels = labels_of(announce.labels, what=f"the runtime {announce.runtime_id!r}")
        if len(announce.instance_id) > _LONGEST_INSTANCE:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The instance id of {announce.runtime_id!r} is longer than {_LONGEST_INSTANCE} characters",
                ran="no",
                hint="give a shorter one, such as 16 random bytes in hexadecimal",
            )
        tenant = self._identity.tenant
        known_as = f"{tenant}:{announce.runtime_id}" if tenant else announce.runtime_id  # no name holds a colon
        self._runtime = self._host.runtimes.attach(known_as, self, tenant=tenant, instance=announce.instance_id)
        self._runtime.capabilities = capabilities
        self._takes_blobs = Capability.BLOBS in capabilities
        self._runtime.labels = labels
        self._runtime.kind = kind_of(announce.language, announce.sdk_version)
        self._runtime.concurrency = min(announce.concurrency, MOST_AT_ONCE)
        announced = runtime_pb2.AnnounceRuntimeResponse(
            capabilities=HOST,
            protocol_version=wire.PROTOCOL_VERSION,
            connection_epoch=self._runtime.connection_epoch,
            heartbeat_ms=int(self._host.limits.heartbeat.total_seconds() * 1000),
            max_message_bytes=self._host.limits.max_message_bytes,
        )
        self._contracts.announced(self._runtime, announced)
        self.writer.put(lambda frame: frame.announced.CopyFrom(announced))
        return self._runtime

    def _outcome(self, result: call_pb2.ToolResult, call: Invocation | None) -> Outcome:
        outcome, limit = wire.outcome_of(result, call), self._host.limits.max_message_bytes
        size = len(result.result.content) if outcome.blobs is None else outcome.size
        if size > limit:
            return Outcome(error=wire.too_large("contents of the result", size, limit, ran="yes"))
        return outcome

    def _granting(self, tag: int) -> Grant:
        """What lets this runtime send more values of the call with this tag."""
        more = call_pb2.StreamCredit

        def grant(chunks: int, size: int) -> None:
            credit = more(tag=tag, more=call_pb2.Window(chunks=chunks, bytes=size))
            self.writer.put(lambda frame: frame.stream_credits.append(credit))

        return grant

    async def _heartbeat(self) -> None:
        every = self._host.limits.heartbeat.total_seconds()
        while True:
            await asyncio.sleep(every / 2)
            if time.monotonic() - self.writer.last_written >= every / 2:
                self.writer.put(lambda frame: frame.heartbeat.SetInParent())

    def _add(self, frame: runtime_pb2.AttachResponse, item: Fill | Invocation) -> int:
        if isinstance(item, Invocation):
            call = frame.calls.add(principal=item.principal)
            if item.parent is not None:
                call.parent_call_id, call.depth = item.parent.call_id, item.depth
            if item.variables:
                call.variables = wire.digest_to_wire(item.variables)
            takes = item.blobs is None or self._takes_blobs
            return wire.add_call(call, item, tag=item.handle, now=time.monotonic(), takes_blobs=takes)
        size = item(frame)
        return size if isinstance(size, int) else SMALL

    def _farewell(self, reason: AltarError) -> Message:
        frame = runtime_pb2.AttachResponse()
        wire.error_to_wire(frame.closing, reason)
        return frame
