"""Is this host serving? Answered by the standard gRPC health service, beside reflection, on the host's own port.

Whoever has a certificate of the grid, of any role, may ask; probes without one ask the operations endpoint.
`""` stands for the whole host; its two services have its state.
NOT_SERVING means that new calls are refused at the moment: the host is leaving, its ledger cannot write, or its
manifest has expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from altar.adm.errors import ExecutionError, ValidationError
from altar.grid.host.host import Host
from altar.grid.status import abort

__all__ = ["SERVICES", "Probes"]

SERVICES = ("altar.grid.v1.HostService", "altar.grid.v1.RuntimeService")
"""The services of a host, by their names in gRPC."""

HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""The two names of one protocol; grpcurl asks for the newer one first."""

MOST_STREAMS = 64
"""Watches and reflections at the same time; more are RESOURCE_EXHAUSTED."""

_LOOK_SECONDS = 0.1

Context = grpc.aio.ServicerContext[Any, Any]
Identify = Callable[[Context], Awaitable[object]]
"""Ends the call unless the certificate of its connection is one of this grid."""


class Probes:
    """The handlers of health and reflection over one host."""

    def __init__(self, host: Host, *, identify: Identify) -> None:
        self._host = host
        self._identify = identify
        self._reflection = reflection.aio.ReflectionServicer((*SERVICES, HEALTH, *REFLECTION))
        self._streams = 0

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to answer probes."""
        request, response = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
        health = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, request, response),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, request, response),
        }
        reflection = {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                self._reflect,
                reflection_pb2.ServerReflectionRequest.FromString,
                reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
        }
        return (
            grpc.method_handlers_generic_handler(HEALTH, health),
            *(grpc.method_handlers_generic_handler(name, reflection) for name in REFLECTION),
        )

    async def _check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        await self._identify(context)
        if not _is_known(request.service):
            unknown = ValidationError("UNSUPPORTED_TOOL", "This host has no service of that name", ran="no")
            await abort(context, unknown)
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        await self._identify(context)
        async with self._place(context):
            told = None
            while True:
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield health_pb2.HealthCheckResponse(status=status)
                await asyncio.sleep(_LOOK_SECONDS)

    async def _reflect(
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        await self._identify(context)
        async with self._place(context):
            async for answer in self._reflection.ServerReflectionInfo(requests, context):
                yield answer

    @asynccontextmanager
    async def _place(self, context: Context) -> AsyncIterator[None]:
        """One of the streams that probes may hold."""
        if self._streams >= MOST_STREAMS:
            full = f"There are {MOST_STREAMS} watches and reflections already"
            await abort(context, ExecutionError("RESOURCE_EXHAUSTED", full, ran="no", hint="use Check"))
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def _status(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus:
        if not _is_known(service):
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        if self._host.state == "serving":
            return health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse.NOT_SERVING


def _is_known(service: str) -> bool:
    return service in ("", *SERVICES)
