"""A connection to a host that opens no session of its own: to see, extend and end those that the principal has.

One request at a time, and each waits for its answer.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from altar import __version__
from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, ConfigurationError, TransportError
from altar.grid import wire
from altar.grid.client.client_credential import credential_in
from altar.grid.client.client_stream import whole_seconds
from altar.grid.client.remote_sessions import info_of, require_sessions
from altar.grid.status import error_of_rpc
from altar.grid.trust.handshake import explain_handshake_failure
from altar.grid.trust.tls import channel_credentials

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles
    from altar.later.session_info import SessionInfo

__all__ = ["SessionAdmin", "administration"]

_ANSWER_SECONDS = 15.0

Call = grpc.aio.StreamStreamCall[Any, host_pb2.ConnectResponse]


@asynccontextmanager
async def administration(
    address: str, files: CertificateFiles, *, options: Mapping[str, Any] | None = None
) -> AsyncIterator[SessionAdmin]:
    """Connect to the host at ``grid://host:port`` while the context lasts.

    ``options`` hold what proves who asks, where that is not the certificate, as for a session.
    Raises INVALID_CONFIG for an address that is none, and what explains why there is no connection:
    CONNECTION_FAILED, TLS_HANDSHAKE_FAILED, CERTIFICATE_ERROR, PERMISSION_DENIED.
    """
    scheme, _, target = address.rstrip("/").partition("://")
    if scheme != "grid" or ":" not in target or "/" in target:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The sessions of {address!r} are not kept on a host",
            ran="no",
            hint="name a host: grid://host:port",
        )
    async with grpc.aio.secure_channel(target, channel_credentials(files), options=wire.message_options()) as channel:
        connect = channel.stream_stream(
            "/altar.grid.v1.HostService/Connect",
            request_serializer=host_pb2.ConnectRequest.SerializeToString,
            response_deserializer=host_pb2.ConnectResponse.FromString,
        )
        shown = credential_in(options or {}, target=target, files=files)
        bearer = (("authorization", f"Bearer {(await shown.fresh()).decode()}"),) if shown is not None else ()
        call = connect(metadata=bearer)
        try:
            yield SessionAdmin(call)
        except grpc.aio.AioRpcError as failed:
            if failed.code() is not grpc.StatusCode.UNAVAILABLE:
                raise error_of_rpc(failed, ran="no") from failed
            details = failed.details() or failed.code().name
            raise await asyncio.to_thread(explain_handshake_failure, target, files, details) from failed
        finally:
            call.cancel()


class SessionAdmin:
    """The requests. Each raises what the host refuses it with: INVALID_SESSION for a session that is not there."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._tags = itertools.count(1)
        self._hello: host_pb2.ClientHello | None = host_pb2.ClientHello(
            protocol_versions=[wire.PROTOCOL_VERSION], language="python", sdk_version=__version__
        )

    async def sessions(self) -> list[SessionInfo]:
        """The sessions that the principal has open, the oldest first."""
        return await self._ask(host_pb2.SessionRequest(list={}))

    async def describe(self, session_id: str) -> SessionInfo:
        """One session."""
        (info,) = await self._ask(host_pb2.SessionRequest(describe={"session_id": session_id}))
        return info

    async def extend(self, session_id: str, *, ttl: timedelta | None) -> SessionInfo:
        """Let a session live for so long from now on, and after each use; None for as long as it did so far."""
        wanted = host_pb2.ExtendSession(session_id=session_id, ttl_seconds=whole_seconds(ttl))
        (info,) = await self._ask(host_pb2.SessionRequest(extend=wanted))
        return info

    async def destroy(self, session_id: str, *, force: bool) -> None:
        """End a session. INVALID_SESSION while calls run in it, unless forced; they are cancelled then."""
        tag = next(self._tags)
        ended = host_pb2.DestroySession(tag=tag, session_id=session_id, force=force)
        await self._send(host_pb2.ConnectRequest(destroy_sessions=[ended]))
        while True:
            frame = await self._read()
            for destroyed in frame.sessions_destroyed:
                if destroyed.tag == tag:
                    if destroyed.HasField("error"):
                        raise wire.error_from_wire(destroyed.error)
                    return

    async def _ask(self, request: host_pb2.SessionRequest) -> list[SessionInfo]:
        request.tag = next(self._tags)
        await self._send(host_pb2.ConnectRequest(session_requests=[request]))
        while True:
            frame = await self._read()
            for answer in frame.session_answers:
                if answer.tag == request.tag:
                    if answer.HasField("error"):
                        raise wire.error_from_wire(answer.error)
                    return [info_of(session) for session in answer.sessions]

    async def _send(self, frame: host_pb2.ConnectRequest) -> None:
        if self._hello is not None:
            frame.hello.CopyFrom(self._hello)
            self._hello = None
        await self._call.write(frame)

    async def _read(self) -> host_pb2.ConnectResponse:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                frame = await self._call.read()
        except TimeoutError:
            raise _silent() from None
        if not isinstance(frame, host_pb2.ConnectResponse):
            raise TransportError("CONNECTION_FAILED", "The host ended the connection", ran="unknown")
        if frame.HasField("closing"):
            raise wire.error_from_wire(frame.closing)
        if frame.HasField("hello"):
            require_sessions(frame.hello.capabilities)
        return frame


def _silent() -> AltarError:
    return TransportError(
        "CONNECTION_FAILED",
        f"The host has not answered within {_ANSWER_SECONDS:g} s",
        ran="unknown",
        hint="it may be overloaded; ask again",
    )
