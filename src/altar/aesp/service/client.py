"""The client of administration: one request at a time, over the grid's own port, by certificate and credential."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import json_format, message_factory

from altar._proto.altar.aesp.v1 import (
    artefact_pb2,
    audit_pb2,
    authentication_pb2,
    authorization_pb2,
    contract_pb2,
    governance_pb2,
    identity_pb2,
    policy_pb2,
    tenant_pb2,
)
from altar.adm.errors import ConfigurationError, ValidationError
from altar.grid import wire
from altar.grid.client.authentication import no_identities
from altar.grid.status import error_of_rpc
from altar.grid.trust.handshake import explain_handshake_failure
from altar.grid.trust.tls import channel_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import MethodDescriptor

    from altar.grid.trust.certificates import CertificateFiles

__all__ = ["SERVICES", "AdminClient", "administration_of"]

SERVICES: Mapping[str, Any] = {
    service.name: service
    for module in (
        artefact_pb2,
        authentication_pb2,
        identity_pb2,
        authorization_pb2,
        contract_pb2,
        audit_pb2,
        governance_pb2,
        policy_pb2,
        tenant_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
}
"""The descriptor of each service, by its short name."""

_SECONDS = 60.0


@asynccontextmanager
async def administration_of(
    address: str, files: CertificateFiles, *, credential: str = ""
) -> AsyncIterator[AdminClient]:
    """Reach the host at ``grid://host:port`` while the context lasts; without a credential the certificate asks.

    Raises INVALID_CONFIG for an address that is none; a request raises what the host refuses it with.
    """
    scheme, _, target = address.rstrip("/").partition("://")
    if scheme != "grid" or ":" not in target or "/" in target:
        raise ConfigurationError(
            "INVALID_CONFIG", f"{address!r} is no host", ran="no", hint="name a host: grid://host:port"
        )
    async with grpc.aio.secure_channel(target, channel_credentials(files), options=wire.message_options()) as channel:
        yield AdminClient(channel, target, files, credential=credential)


class AdminClient:
    """Sends requests. Messages are given and returned as JSON objects, with the names of the proto."""

    def __init__(self, channel: grpc.aio.Channel, target: str, files: CertificateFiles, *, credential: str) -> None:
        self._channel = channel
        self._target = target
        self._files = files
        self._metadata = (("authorization", f"Bearer {credential}"),) if credential else ()

    async def ask(self, method: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call ``Service/Method``; the answer has every member, also those with their default value."""
        described, message = _message(method, request or {})
        call: Any = self._channel.unary_unary(
            _path(described),
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )
        try:
            return _told(await call(message, metadata=self._metadata, timeout=_SECONDS))
        except grpc.aio.AioRpcError as failed:
            raise await self._error(failed) from failed

    async def stream(self, method: str, request: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """Call a method that answers in parts; gives each message as it is."""
        described, message = _message(method, request or {})
        call: Any = self._channel.unary_stream(
            _path(described),
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )
        try:
            async for part in call(message, metadata=self._metadata):
                yield part
        except grpc.aio.AioRpcError as failed:
            raise await self._error(failed) from failed

    async def _error(self, failed: grpc.aio.AioRpcError) -> Exception:
        error = error_of_rpc(failed, ran="no")  # what the host said, where it said anything
        if error.code == "VERSION_MISMATCH" and failed.code() is grpc.StatusCode.UNIMPLEMENTED:
            return no_identities()
        if error.code != "CONNECTION_FAILED":
            return error
        details = failed.details() or failed.code().name
        return await asyncio.to_thread(explain_handshake_failure, self._target, self._files, details)


def _message(method: str, request: Mapping[str, Any]) -> tuple[MethodDescriptor, Any]:
    service, _, name = method.partition("/")
    described = SERVICES[service].methods_by_name[name]
    message = message_factory.GetMessageClass(described.input_type)()
    try:
        json_format.ParseDict(dict(request), message)
    except json_format.ParseError as wrong:
        raise ValidationError(
            "MALFORMED_REQUEST", "The request cannot be written", ran="no", detail=str(wrong)
        ) from wrong
    return described, message


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def _told(message: Any) -> dict[str, Any]:
    told: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return told
