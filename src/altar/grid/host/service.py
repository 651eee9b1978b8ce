"""gRPC at the host: decode, call the host, encode.

Two services, one stream each: clients on `HostService.Connect`, runtimes on `RuntimeService.Attach`.
Who is on the other end is read once, from the certificate of the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import grpc
import grpc.aio

from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError
from altar.grid import wire
from altar.grid.beside import result_as_text
from altar.grid.host.approval_waits import no_approvals
from altar.grid.host.callers import Caller, bearer_of
from altar.grid.host.client_link import ClientLink, add_refusal, client_invocation, source_of
from altar.grid.host.health import Probes
from altar.grid.host.host import Host
from altar.grid.host.runtime_link import RuntimeLink
from altar.grid.host.stream import Link
from altar.grid.status import abort
from altar.grid.trust.revocation import Revocations
from altar.grid.trust.tls import Identity, identity_of
from altar.later.invocation import Invocation, Outcome

__all__ = ["Service", "serve"]

_FIRST_FRAME_SECONDS = 2.0
_HANDSHAKE_MS = 10_000
"""How long a connection may take for its handshake and the settings of HTTP/2, which costs its sender nothing."""


@asynccontextmanager
async def serve(
    host: Host,
    *,
    listen: str,
    credentials: grpc.ServerCredentials,
    trust_domain: str,
    more: Callable[[Service], Sequence[grpc.GenericRpcHandler]] | None = None,
    revocations: Revocations | None = None,
) -> AsyncIterator[int]:
    """Serve a host on ``listen`` ("address:port") while the context lasts; gives the port that is bound.

    ``more`` gives the handlers of further services on the same port, ``revocations`` the certificates to refuse.
    Leaves in order: no new calls, those in flight get their outcomes, then the streams end.
    Raises ConfigurationError when the port is taken.
    """
    service = Service(host, trust_domain=trust_domain, revocations=revocations)
    server = grpc.aio.server(
        options=[
            *wire.message_options(host.limits.max_message_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ]
    )
    server.add_generic_rpc_handlers((*service.handlers(), *(more(service) if more is not None else ())))
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
    host.listening = True
    watch = asyncio.get_running_loop().create_task(host.watch(service.sweep))
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

    def __init__(
        self,
        host: Host,
        *,
        trust_domain: str,
        now: Callable[[], datetime] | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        self._host = host
        self._trust_domain = trust_domain
        self._now = now or _now
        self._revocations = revocations
        self._revocations_seen = 0
        self._links: dict[Link, bytes] = {}

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
                    "AwaitApproval": grpc.unary_unary_rpc_method_handler(
                        self._await_approval,
                        request_deserializer=host_pb2.AwaitApprovalRequest.FromString,
                        response_serializer=host_pb2.AwaitApprovalResponse.SerializeToString,
                    ),
                },
            ),
            grpc.method_handlers_generic_handler(
                "altar.grid.v1.RuntimeService",
                {"Attach": grpc.stream_stream_rpc_method_handler(self._attach)},
            ),
            *Probes(self._host, identify=self._identify).handlers(),
        )

    async def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        """Whose certificate a request came with, of whatever role; ends the request for a foreign one."""
        return await self._identify(context)

    async def flushed(self) -> None:
        """Wait until what has been answered is on its way."""
        await asyncio.gather(*(link.writer.flushed() for link in self._links))

    def sweep(self) -> None:
        """End the streams whose certificate has ended, or was revoked, since they were opened."""
        now = self._now()
        for link in [link for link, certificate in self._links.items() if now > _not_after(certificate)]:
            link.certificate_ended()
        if self._revocations is not None:
            self._end_revoked(self._revocations, now)

    def _end_revoked(self, revocations: Revocations, now: datetime) -> None:
        revocations.refresh()
        if revocations.version == self._revocations_seen:
            return
        self._revocations_seen = revocations.version
        for link, certificate in list(self._links.items()):
            try:
                revocations.require(certificate, now=now)
            except AuthorizationError:
                link.certificate_ended()

    async def _connect(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        identity = await self._identify(context, "client", stream=True)
        caller = await self._caller(context, identity, stream=True)
        self._host.clients += 1
        try:
            await self._hold(ClientLink(self._host, identity, context, caller), context)
        finally:
            self._host.clients -= 1

    async def _attach(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        identity = await self._identify(context, "runtime", stream=True)
        await self._hold(RuntimeLink(self._host, identity, context), context)

    async def _hold(self, link: Link, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._links[link] = _certificate(context)
        try:
            await link.hold()
        finally:
            del self._links[link]

    async def _call_tool(
        self, request: host_pb2.CallToolRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> host_pb2.CallToolResponse:
        caller = await self._caller(context, await self._identify(context, "client"))
        response = host_pb2.CallToolResponse()
        answered: asyncio.Future[tuple[Invocation, Outcome]] = asyncio.get_running_loop().create_future()

        def answer(invocation: Invocation, outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result((invocation, outcome))

        try:
            _require_one_value(request.call)
            invocation = client_invocation(request.call, caller, self._host, answer, source=source_of(context.peer()))
        except AltarError as malformed:
            add_refusal(response.result, request.call, malformed)
            return response
        self._host.execute((invocation,))
        try:
            wire.add_result(response.result, *_as_text(*await answered, limit=self._host.limits.max_message_bytes))
        except asyncio.CancelledError:
            self._host.lost(invocation)
            raise
        return response

    async def _await_approval(
        self, request: host_pb2.AwaitApprovalRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> host_pb2.AwaitApprovalResponse:
        caller = await self._caller(context, await self._identify(context, "client"))
        try:
            if self._host.approvals is None:
                raise no_approvals()
            told = await self._host.approvals(
                caller.require(), request.handle, seconds=request.wait_ms / 1000, tell_call=request.tell_call
            )
        except AltarError as refused:
            await abort(context, refused)
        return host_pb2.AwaitApprovalResponse(
            state=f"APPROVAL_STATE_{told.state}", name=told.name, version=told.version, args=told.arguments
        )

    async def _identify(
        self, context: grpc.aio.ServicerContext[Any, Any], role: str = "", *, stream: bool = False
    ) -> Identity:
        """Who is on the other end, of that role, or of any; ends the request when it may not be made."""
        try:
            identity = identity_of(context.auth_context(), trust_domain=self._trust_domain)
            if self._now() > _not_after(_certificate(context)):
                raise AuthorizationError(
                    "INVALID_CREDENTIALS", "The certificate of this connection has ended", ran="no"
                )
            if self._revocations is not None:
                self._revocations.require(_certificate(context), now=self._now())
            if role and identity.role != role:
                raise AuthorizationError(
                    "PERMISSION_DENIED",
                    f"A certificate of role {identity.role!r} may not connect as a {role}",
                    ran="no",
                    hint=f"use a certificate of role {role!r} that this grid's authority issued",
                )
        except AltarError as refused:
            await _refuse(context, refused, stream=stream)
        return identity

    async def _caller(
        self, context: grpc.aio.ServicerContext[Any, Any], identity: Identity, *, stream: bool = False
    ) -> Caller:
        """In whose name a connection or request asks: of the bearer credential that came with it, else its certificate.

        A certificate that stands for nobody may connect all the same: its sessions can bring credentials of their own.
        """
        try:
            return self._host.callers.of(bearer_of(context.invocation_metadata()), identity)
        except AltarError as refused:
            await _refuse(context, refused, stream=stream)
            raise


def _require_one_value(call: call_pb2.ToolCall) -> None:
    """Raise FEATURE_UNAVAILABLE for a call that wants its values one by one, where there is room for one answer."""
    if call.HasField("window"):
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            "CallTool gives one result, and no values one by one",
            ran="no",
            hint="leave out the window, or make the call on a stream: HostService.Connect",
        )


async def _refuse(context: grpc.aio.ServicerContext[Any, Any], refused: AltarError, *, stream: bool) -> None:
    if stream:  # a peer whose first frame meets a refusal hears of a broken stream and never of the reason
        with suppress(TimeoutError):
            await asyncio.wait_for(context.read(), _FIRST_FRAME_SECONDS)
    await abort(context, refused)


def _as_text(invocation: Invocation, outcome: Outcome, *, limit: int) -> tuple[Invocation, Outcome]:
    """An answer without blobs, which a caller of CallTool has no way to ask for."""
    return invocation, result_as_text(invocation, outcome, limit=limit, who="a caller of CallTool")


def _now() -> datetime:
    return datetime.now(UTC)


def _certificate(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The caller's certificate (PEM), which gRPC has verified; without one there is no connection."""
    (certificate,) = context.auth_context()["x509_pem_cert"]
    return bytes(certificate)


@lru_cache(maxsize=256)
def _not_after(certificate: bytes) -> datetime:
    """The last moment at which a certificate (PEM) is valid (RFC 5280 §4.1.2.5)."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc
