"""The health of a host over a plain connection: what makes it serve, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import AuthorizationError
from altar.grid.host.host import Host
from altar.grid.trust.tls import require_tls13
from tests.unit.grid.contracts import MANIFEST
from tests.unit.ledger.samples import open_ledger, signer_in

require_tls13()
import grpc  # noqa: E402 - gRPC reads its TLS settings when it is imported
import grpc.aio  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402

from altar.grid.host.health import SERVICES, Probes  # noqa: E402
from altar.grid.status import abort  # noqa: E402


class Place:
    """A host, and a client of its health."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.stub: Any = None
        self.let_in = True

    async def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if not self.let_in:
            await abort(context, AuthorizationError("INVALID_CREDENTIALS", "Who are you?"))

    async def told(self, service: str = "") -> str:
        answer = await self.stub.Check(health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path), deliver=lambda answer: answer())
    made = Place(Host(name="host-1", manifest=MANIFEST, ledger=ledger))
    made.host.listening = True
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(Probes(made.host, identify=made.identify).handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        made.stub = health_pb2_grpc.HealthStub(channel)
        yield made
    await server.stop(0)
    await asyncio.to_thread(ledger.close)


async def test_a_host_that_listens_serves_and_so_do_its_services(place: Place) -> None:
    assert ["SERVING"] * 3 == [await place.told(service) for service in ("", *SERVICES)]


async def test_a_host_that_does_not_listen_yet_is_starting(place: Place) -> None:
    place.host.listening = False

    assert ("NOT_SERVING", "starting") == (await place.told(), place.host.state)


async def test_a_host_that_is_leaving_does_not_serve(place: Place) -> None:
    place.host.gate.closing = True

    assert ("NOT_SERVING", "draining") == (await place.told(), place.host.state)


async def test_a_host_whose_manifest_has_expired_does_not_serve_until_it_has_another(place: Place) -> None:
    place.host.manifest_status = lambda: {"expired": True}
    assert ("NOT_SERVING", "expired") == (await place.told(), place.host.state)

    place.host.manifest_status = lambda: {"expired": False}
    assert ("SERVING", "serving") == (await place.told(), place.host.state)


async def test_a_host_whose_ledger_has_failed_does_not_serve_whatever_else_holds(place: Place) -> None:
    place.host.gate.closing = True
    place.host._ledger._fail(OSError("no space left on device"))

    assert ("NOT_SERVING", "failed") == (await place.told(), place.host.state)


async def test_who_may_not_be_here_is_told_nothing(place: Place) -> None:
    place.let_in = False

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await place.told()

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_watch_tells_each_change_and_nothing_twice(place: Place) -> None:
    watch = place.stub.Watch(health_pb2.HealthCheckRequest(service=""))
    told = [(await watch.read()).status]
    place.host.listening = False
    told.append((await watch.read()).status)
    place.host.listening = True
    told.append((await watch.read()).status)
    watch.cancel()

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert [serving, not_serving, serving] == told
