"""gRPC at the host: decode, call the host, encode.

Two services, one stream each: clients on `HostService.Connect`, runtimes on `RuntimeService.Attach`.
Who is on the other end is read once, from the certificate of the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from altar import __version__
from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.host import Host
from altar.grid.runtimes import AttachedRuntime
from altar.grid.tls import Identity, identity_of
from altar.grid.wire import FrameWriter
from altar.later.invocation import Invocation, Outcome, require_call_id

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["Service", "serve"]

_log = logging.getLogger("altar.grid")
_HELLO_SECONDS = 10.0
_SMALL = 200
"""Bytes that anything but a call or a result is taken for when a frame is filled."""


@asynccontextmanager
async def serve(host: Host, *, listen: str, credentials: grpc.ServerCredentials) -> AsyncIterator[int]:
    """Serve a host on ``listen`` ("address:port") while the context lasts; gives the port that is bound.

    Leaves in order: no new calls, those in flight get their outcomes, then the streams end.
    Raises ConfigurationError when the port is taken.
    """
    service = Service(host)
    server = grpc.aio.server(options=[*wire.message_options(host.limits.max_message_bytes), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(service.handlers())
    try:
        port = server.add_secure_port(listen, credentials)
    except RuntimeError as taken:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The host cannot listen on {listen!r}",
            hint="the port is taken or the address is not of this machine; choose another with --listen",
            detail=str(taken),
        ) from taken
    await server.start()
    watch = asyncio.get_running_loop().create_task(host.watch())
    try:
        yield port
    finally:
        await host.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await service.flushed()
        watch.cancel()
        await server.stop(1.0)


class Service:
    """The handlers of both services over one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._links: set[_Link] = set()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to serve this host. Frames are decoded here, so that a bad one gets an answer."""
        return (
            grpc.method_handlers_generic_handler(
                "altar.grid.v1.HostService",
                {
                    "Connect": grpc.stream_stream_rpc_method_handler(self._connect),
                    "CallTool": grpc.unary_unary_rpc_method_handler(
                        self._call_tool,
                        request_deserializer=host_pb2.CallToolRequest.FromString,
                        response_serializer=host_pb2.CallToolResponse.SerializeToString,
                    ),
                },
            ),
            grpc.method_handlers_generic_handler(
                "altar.grid.v1.RuntimeService",
                {"Attach": grpc.stream_stream_rpc_method_handler(self._attach)},
            ),
        )

    async def flushed(self) -> None:
        """Wait until what has been answered is on its way."""
        await asyncio.gather(*(link.writer.flushed() for link in self._links))

    async def _connect(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        identity = await _identify(context, "client")
        link = _ClientLink(self._host, identity, context)
        await self._hold(link)

    async def _attach(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        identity = await _identify(context, "runtime")
        link = _RuntimeLink(self._host, identity, context)
        await self._hold(link)

    async def _hold(self, link: _Link) -> None:
        self._links.add(link)
        try:
            await link.hold()
        finally:
            self._links.discard(link)

    async def _call_tool(
        self, request: host_pb2.CallToolRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> host_pb2.CallToolResponse:
        identity = await _identify(context, "client")
        response = host_pb2.CallToolResponse()
        answered: asyncio.Future[tuple[Invocation, Outcome]] = asyncio.get_running_loop().create_future()

        def answer(invocation: Invocation, outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result((invocation, outcome))

        try:
            invocation = _invocation(request.call, identity, self._host, answer)
        except AltarError as malformed:
            _add_refusal(response.result, request.call, malformed)
            return response
        self._host.execute((invocation,))
        try:
            wire.add_result(response.result, *await answered)
        except asyncio.CancelledError:
            self._host.cancel(invocation)
            raise
        return response


class _Link(ABC):
    """One stream: reads frames until it ends, writes frames from its queue, and says why when it closes."""

    writer: FrameWriter[Any, Any]

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._host = host
        self._identity = identity
        self._context = context
        self._closing: AltarError | None = None
        self._closed = asyncio.Event()

    async def hold(self) -> None:
        """Carry the stream until one of the two sides ends it."""
        tasks = [
            asyncio.get_running_loop().create_task(step)
            for step in (self._read(), self.writer.run(), self._closed.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self.lost(_reason(self._closing, ended))
        if self._closing is not None:
            await self._write(self._farewell(self._closing))

    def close(self, reason: AltarError) -> None:
        """End the stream, saying why."""
        self._closing = reason
        self._closed.set()

    @abstractmethod
    def lost(self, reason: str) -> None:
        """The stream is over."""

    @abstractmethod
    async def _frames(self) -> None:
        """Read frames until there are no more."""

    @abstractmethod
    def _farewell(self, reason: AltarError) -> Message:
        """The last frame, which says why."""

    async def _read(self) -> None:
        try:
            await self._frames()
        except AltarError as reason:
            self.close(reason)

    async def _next(self, kind: type[Frame]) -> Frame | None:
        data: object = await self._context.read()
        if not isinstance(data, bytes):  # the end of the stream
            return None
        try:
            return kind.FromString(data)
        except DecodeError as malformed:
            raise TransportError(
                "PROTOCOL_VIOLATION",
                "The frame is not a message of this protocol",
                ran="unknown",
                hint="check that both sides speak protocol " + wire.PROTOCOL_VERSION,
            ) from malformed

    async def _first(self, kind: type[Frame]) -> Frame | None:
        try:
            return await asyncio.wait_for(self._next(kind), _HELLO_SECONDS)
        except TimeoutError:
            raise TransportError("PROTOCOL_VIOLATION", "No first frame came in time", ran="no") from None

    async def _write(self, frame: Message) -> None:
        await self._context.write(frame.SerializeToString())


Frame = TypeVar("Frame", bound="Message")
Fill = Callable[[Any], object]
"""Adds one item to a frame."""


class _ClientLink(_Link):
    """The stream of one client."""

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(host, identity, context)
        self._in_flight: dict[int, Invocation] = {}
        self.writer: FrameWriter[host_pb2.ConnectResponse, Fill | tuple[Invocation, Outcome]] = FrameWriter(
            self._write, host_pb2.ConnectResponse, _add_to_client_frame
        )

    async def _frames(self) -> None:
        frame = await self._first(host_pb2.ConnectRequest)
        if frame is None:
            return
        self.writer.put(self._hello(frame))
        while frame is not None:
            self._take(frame)
            frame = await self._next(host_pb2.ConnectRequest)
            if frame is not None and frame.HasField("hello"):
                raise _twice("hello")

    def _take(self, frame: host_pb2.ConnectRequest) -> None:
        for wanted in frame.create_sessions:
            self.writer.put(self._create_session(wanted))
        calls = []
        for call in frame.calls:
            try:
                if call.tag in self._in_flight:
                    raise TransportError("PROTOCOL_VIOLATION", f"Tag {call.tag} is in use", ran="no")
                invocation = _invocation(call, self._identity, self._host, self._answer)
            except AltarError as malformed:
                self.writer.put(_refusal(call, malformed))
            else:
                self._in_flight[call.tag] = invocation
                calls.append(invocation)
        if calls:
            self._host.execute(calls)
        for cancel in frame.cancels:
            cancelled = self._in_flight.get(cancel.tag)
            if cancelled is not None:
                self._host.cancel(cancelled)
        for ended in frame.destroy_sessions:
            self.writer.put(self._destroy_session(ended))

    def lost(self, _reason: str) -> None:
        """The client is gone: nobody waits for its calls, and each still gets its outcome."""
        for invocation in list(self._in_flight.values()):
            self._host.cancel(invocation)

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self._in_flight.pop(invocation.tag, None)
        self.writer.put((invocation, outcome))

    def _hello(self, frame: host_pb2.ConnectRequest) -> Fill:
        _require_protocol(frame.hello.protocol_versions)
        hello = host_pb2.HostHello(
            protocol_version=wire.PROTOCOL_VERSION,
            host=self._host.name,
            max_message_bytes=self._host.limits.max_message_bytes,
        )
        return lambda response: response.hello.CopyFrom(hello)

    def _create_session(self, wanted: host_pb2.CreateSession) -> Fill:
        created = host_pb2.SessionCreated(tag=wanted.tag)
        try:
            session = self._host.open_session(self._identity.name, list(wanted.tools), ttl=wanted.ttl_seconds)
        except AltarError as refused:
            wire.error_to_wire(created.error, refused)
        else:
            created.session_id = session.session_id
            created.ttl_seconds = int(session.ttl)
            for contract in self._host.manifest:
                if not session.tools or contract.name in session.tools:
                    ref = created.contracts.add(declaration=contract.declaration_bytes).ref
                    ref.name, ref.version = contract.name, contract.version
                    ref.digest = wire.digest_to_wire(contract.digest)
        return lambda response: response.sessions_created.append(created)

    def _destroy_session(self, ended: host_pb2.DestroySession) -> Fill:
        destroyed = host_pb2.SessionDestroyed(tag=ended.tag)
        try:
            self._host.close_session(ended.session_id, self._identity.name, force=ended.force)
        except AltarError as refused:
            wire.error_to_wire(destroyed.error, refused)
        return lambda response: response.sessions_destroyed.append(destroyed)

    def _farewell(self, reason: AltarError) -> Message:
        response = host_pb2.ConnectResponse()
        wire.error_to_wire(response.closing, reason)
        return response


class _RuntimeLink(_Link):
    """The stream of one runtime."""

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(host, identity, context)
        self._runtime: AttachedRuntime | None = None
        self._beat: asyncio.Task[None] | None = None
        self.writer: FrameWriter[runtime_pb2.AttachResponse, Fill | Invocation] = FrameWriter(
            self._write, runtime_pb2.AttachResponse, _add_to_runtime_frame
        )

    # ------------------------------------------------------------------------------------- what the source sends

    def send_call(self, invocation: Invocation) -> None:
        """Queue a call for the next frame."""
        self.writer.put(invocation)

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
            frame = await self._next(runtime_pb2.AttachRequest)
            if frame is not None and frame.HasField("announce"):
                raise _twice("announcement")

    def _take(self, runtime: AttachedRuntime, frame: runtime_pb2.AttachRequest) -> None:
        runtimes = self._host.runtimes
        if frame.HasField("fulfill"):
            response = self._fulfil(runtime, frame.fulfill)
            self.writer.put(lambda out: out.fulfilled.CopyFrom(response))
        for result in frame.results:
            runtimes.result(runtime, result.tag, wire.outcome_of(result))
        if frame.HasField("drain"):
            runtimes.drain(runtime)
        if frame.credits:
            runtimes.credit(runtime, frame.credits)

    def lost(self, reason: str) -> None:
        """The runtime is gone, or this connection of it."""
        if self._beat is not None:
            self._beat.cancel()
        if self._runtime is not None:
            self._host.runtimes.detach(self._runtime, reason)

    def _announce(self, announce: runtime_pb2.AnnounceRuntime) -> AttachedRuntime:
        _require_protocol(announce.protocol_versions)
        if announce.runtime_id != self._identity.name:
            raise AuthorizationError(
                "PERMISSION_DENIED",
                f"The certificate is for {self._identity.name!r}, and the runtime calls itself {announce.runtime_id!r}",
                ran="no",
                hint="set runtime_id to the name in the certificate, or issue one for this name",
            )
        self._runtime = self._host.runtimes.attach(announce.runtime_id, self)
        announced = runtime_pb2.AnnounceRuntimeResponse(
            protocol_version=wire.PROTOCOL_VERSION,
            connection_epoch=self._runtime.connection_epoch,
            heartbeat_ms=int(self._host.limits.heartbeat.total_seconds() * 1000),
            max_message_bytes=self._host.limits.max_message_bytes,
        )
        for contract in self._host.manifest:
            announced.available_contracts.add(
                name=contract.name, version=contract.version, digest=wire.digest_to_wire(contract.digest)
            )
        self.writer.put(lambda frame: frame.announced.CopyFrom(announced))
        return self._runtime

    def _fulfil(
        self, runtime: AttachedRuntime, wanted: runtime_pb2.FulfillTools
    ) -> runtime_pb2.FulfillToolsResponse:
        response = runtime_pb2.FulfillToolsResponse()
        for ref in wanted.contracts:
            try:
                self._host.runtimes.fulfil(runtime, ref.name, ref.version, wire.digest_from_wire(ref.digest))
            except AltarError as refused:
                rejected = response.rejected.add()
                rejected.contract.CopyFrom(ref)
                wire.error_to_wire(rejected.error, refused)
                _log.warning(
                    "fulfilment refused",
                    extra={"runtime": runtime.runtime_id, "tool": ref.name, "reason": refused.message},
                )
            else:
                response.fulfilled.append(ref)
        response.status = _fulfilment_status(response)
        return response

    async def _heartbeat(self) -> None:
        every = self._host.limits.heartbeat.total_seconds()
        while True:
            await asyncio.sleep(every / 2)
            if time.monotonic() - self.writer.last_written >= every / 2:
                self.writer.put(lambda frame: frame.heartbeat.SetInParent())

    def _farewell(self, reason: AltarError) -> Message:
        frame = runtime_pb2.AttachResponse()
        wire.error_to_wire(frame.closing, reason)
        return frame


def _add_to_client_frame(
    frame: host_pb2.ConnectResponse, item: Fill | tuple[Invocation, Outcome]
) -> int:
    if isinstance(item, tuple):
        return wire.add_result(frame.results.add(), *item)
    item(frame)
    return _SMALL


def _add_to_runtime_frame(frame: runtime_pb2.AttachResponse, item: Fill | Invocation) -> int:
    if isinstance(item, Invocation):
        return wire.add_call(frame.calls.add(), item, tag=item.handle, now=time.monotonic())
    item(frame)
    return _SMALL


def _invocation(
    call: call_pb2.ToolCall, identity: Identity, host: Host, answer: Callable[[Invocation, Outcome], None]
) -> Invocation:
    """A client's call, refused here when its envelope is not one; what it asks for is looked at later."""
    require_call_id(call.call.call_id)
    if max(len(call.correlation_id), len(call.session_id), len(call.version)) > 128:
        raise ValidationError(
            "MALFORMED_REQUEST", "An id of the call is longer than 128 characters", ran="no", hint="use shorter ids"
        )
    if len(call.call.args) > host.limits.max_message_bytes:
        raise wire.too_large("arguments", len(call.call.args), host.limits.max_message_bytes, ran="no")
    invocation = wire.invocation_of(call, now=time.monotonic())
    invocation.invocation_id = ""
    invocation.principal = identity.name
    invocation.reply_to = answer
    return invocation


def _refusal(call: call_pb2.ToolCall, error: AltarError) -> Fill:
    return lambda frame: _add_refusal(frame.results.add(), call, error)


def _add_refusal(result: call_pb2.ToolResult, call: call_pb2.ToolCall, error: AltarError) -> None:
    result.tag = call.tag
    result.correlation_id = call.correlation_id
    result.result.call_id = call.call.call_id
    result.result.name = call.call.name
    result.result.status = adm_pb2.RESULT_STATUS_ERROR
    wire.error_to_wire(result.result.error, error)


async def _identify(context: grpc.aio.ServicerContext[Any, Any], role: str) -> Identity:
    try:
        identity = identity_of(context.auth_context())
        if identity.role != role:
            raise AuthorizationError(
                "PERMISSION_DENIED", f"A certificate of role {identity.role!r} may not connect as a {role}", ran="no"
            )
    except AltarError as refused:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{refused.message} ({refused.code})")
        raise
    return identity


def _require_protocol(versions: Any) -> None:
    if not any(version.partition(".")[0] == wire.PROTOCOL_VERSION.partition(".")[0] for version in versions):
        raise ValidationError(
            "VERSION_MISMATCH",
            f"This host speaks protocol {wire.PROTOCOL_VERSION}; the other side offers "
            + (", ".join(versions) or "none"),
            ran="no",
            hint=f"this host is altar {__version__}; use a release that speaks its protocol",
        )


def _twice(what: str) -> AltarError:
    return TransportError("PROTOCOL_VIOLATION", f"The {what} belongs in the first frame, and only there", ran="unknown")


def _fulfilment_status(response: runtime_pb2.FulfillToolsResponse) -> runtime_pb2.FulfillmentStatus:
    if not response.rejected:
        return runtime_pb2.FULFILLMENT_STATUS_SUCCESS
    if response.fulfilled:
        return runtime_pb2.FULFILLMENT_STATUS_PARTIAL_SUCCESS
    return runtime_pb2.FULFILLMENT_STATUS_FAILURE


def _reason(closing: AltarError | None, ended: list[Any]) -> str:
    if closing is not None:
        return closing.message
    failed = next((end for end in ended if isinstance(end, Exception)), None)
    return f"connection lost ({type(failed).__name__})" if failed is not None else "left"
