"""Health and reflection on a host's own port, and a host that leaves: in which order, and what becomes of calls."""

from __future__ import annotations

import asyncio
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from altar.testing import PATIENCE, LocalGrid
from tests.integration import observe_tools
from tests.integration.auditing import stop_and_audit

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles, Role

pytestmark = pytest.mark.timeout(180)

SERVICES = ["", "altar.grid.v1.HostService", "altar.grid.v1.RuntimeService"]


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([observe_tools.__file__], runtimes=1) as running:
        yield running
        stop_and_audit(running)


@contextmanager
def channel(grid: LocalGrid, files: CertificateFiles) -> Iterator[Any]:
    """A connection to the host, as the holder of a certificate."""
    from altar.grid.trust.tls import channel_credentials, require_tls13

    require_tls13()
    import grpc

    with grpc.secure_channel(f"127.0.0.1:{grid.port}", channel_credentials(files)) as opened:
        yield opened


def health(opened: Any) -> Any:
    """The standard client of the health service."""
    from grpc_health.v1 import health_pb2_grpc

    return health_pb2_grpc.HealthStub(opened)


def asked(service: str) -> Any:
    """A question of the health service."""
    from grpc_health.v1 import health_pb2

    return health_pb2.HealthCheckRequest(service=service)


def name_of(answer: Any) -> str:
    """The word for the state in an answer."""
    from grpc_health.v1 import health_pb2

    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.mark.parametrize("role", ["client", "runtime", "host"])
def test_whoever_has_a_certificate_of_the_grid_may_ask_for_its_health(grid: LocalGrid, role: Role) -> None:
    with channel(grid, grid.certificate(role, "probe")) as opened:
        told = [name_of(health(opened).Check(asked(service), timeout=PATIENCE)) for service in SERVICES]

    assert ["SERVING"] * 3 == told


def test_a_service_that_a_host_has_not_is_not_found_by_check_and_unknown_to_watch(grid: LocalGrid) -> None:
    import grpc

    with channel(grid, grid.client) as opened:
        with pytest.raises(grpc.RpcError) as refused:
            health(opened).Check(asked("other"), timeout=PATIENCE)
        watched = health(opened).Watch(asked("other"), timeout=PATIENCE)
        told = name_of(next(watched))
        watched.cancel()

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert told == "SERVICE_UNKNOWN"


def test_without_a_certificate_of_the_grid_there_is_no_answer(grid: LocalGrid, tmp_path: Path) -> None:
    import grpc

    from altar.grid.trust.authority import Authority
    from altar.grid.trust.certificates import CertificateFiles

    stranger = Authority.create(tmp_path / "other").issue("client", "client-1", tmp_path / "files")
    files = CertificateFiles(stranger.certificate, stranger.key, grid.client.authority)
    with channel(grid, files) as opened, pytest.raises(grpc.RpcError) as refused:
        health(opened).Check(asked(""), timeout=PATIENCE)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_watches_beyond_the_limit_are_refused_and_a_place_is_free_when_one_ends(grid: LocalGrid) -> None:
    import grpc

    from altar.grid.host.health import MOST_STREAMS

    with channel(grid, grid.client) as opened:
        watches = [health(opened).Watch(asked(""), timeout=PATIENCE) for _ in range(MOST_STREAMS)]
        assert {"SERVING"} == {name_of(next(watch)) for watch in watches}
        with pytest.raises(grpc.RpcError) as refused:
            next(health(opened).Watch(asked(""), timeout=PATIENCE))
        for watch in watches:
            watch.cancel()
        told = ""
        while not told:
            try:
                told = name_of(next(health(opened).Watch(asked(""), timeout=PATIENCE)))
            except grpc.RpcError as full:
                assert full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - until the host has noticed

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_reflection_tells_the_services_and_their_messages_under_both_of_its_names(grid: LocalGrid) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from grpc_reflection.v1alpha import reflection_pb2

    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="altar.grid.v1.HostService"),
    ]
    for version in ("v1", "v1alpha"):
        with channel(grid, grid.client) as opened:
            method = opened.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            listed, described = method(iter(requests), timeout=PATIENCE)

        names = {service.name for service in listed.list_services_response.service}
        assert {*SERVICES[1:], "grpc.health.v1.Health"} <= names
        files = [
            FileDescriptorProto.FromString(file) for file in described.file_descriptor_response.file_descriptor_proto
        ]
        (host,) = (service for file in files for service in file.service if service.name == "HostService")
        assert {"Connect", "CallTool"} <= {method.name for method in host.method}


# ------------------------------------------------------------------------------------------------------------ leaving


async def test_a_host_that_leaves_says_so_first_and_waits_for_the_calls_it_has(tmp_path: Path) -> None:
    settings = {"host.operations": "127.0.0.1:0"}
    with LocalGrid([observe_tools.__file__], runtimes=1, settings=settings) as grid:
        assert grid.host is not None
        url = grid.host.announced[0]["operations"]
        async with grid.session() as session:
            call = asyncio.create_task(session.call("wait_for_word", directory=str(tmp_path), name="x"))
            while not (tmp_path / "x.began").exists():  # noqa: ASYNC110 - another process touches it
                await asyncio.sleep(0.01)
            told = await asyncio.to_thread(_told_while_leaving, grid, url)
            refused = await session.call("plus", a=1)
            (tmp_path / "go").touch()
            result = await call
        code = await asyncio.to_thread(grid.host.wait)
        entries = grid.entries()
        stop_and_audit(grid)

    assert ["SERVING", "NOT_SERVING", "NOT_SERVING", "draining", "alive"] == told
    assert refused.error is not None
    assert ("NOT_ACTIVE", "no") == (refused.error.type, refused.error.ran)
    assert ("x", 0) == (result.unwrap(), code)
    assert [("wait_for_word", "SUCCESS")] == ended(entries)


def _told_while_leaving(grid: LocalGrid, url: str) -> list[str]:
    """What a watch says before and after SIGTERM, and then a check, /readyz and /healthz."""
    assert grid.host is not None
    with channel(grid, grid.client) as opened:
        watch = health(opened).Watch(asked(""), timeout=PATIENCE)
        told = [name_of(next(watch))]
        grid.host.send(signal.SIGTERM)
        told += [name_of(next(watch)), name_of(health(opened).Check(asked(""), timeout=PATIENCE))]
        watch.cancel()
    with pytest.raises(urllib.error.HTTPError) as unready:
        urllib.request.urlopen(f"{url}/readyz")
    assert unready.value.code == 503
    told.append(unready.value.read().decode().strip())
    with urllib.request.urlopen(f"{url}/healthz") as answer:
        told.append(answer.read().decode().strip())
    return told


async def test_sigterm_under_load_loses_no_call_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    refused: set[tuple[str | None, str | None]] = set()
    with LocalGrid([observe_tools.__file__], runtimes=2) as grid:
        assert grid.host is not None
        enough = asyncio.Event()

        async def load(session: Any) -> None:
            while True:
                result = await session.call("give_back", secret="x")
                if result.error is not None:
                    refused.add((result.error.type, result.error.ran))
                    return
                acknowledged.append(result.call_id)
                if len(acknowledged) >= 300:
                    enough.set()

        async with grid.session() as session:
            workers = [asyncio.create_task(load(session)) for _ in range(64)]
            await enough.wait()
            grid.host.send(signal.SIGTERM)
            await asyncio.gather(*workers)
        code = await asyncio.to_thread(grid.host.wait)
        entries = grid.entries()
        stop_and_audit(grid)

    assert code == 0
    assert {("NOT_ACTIVE", "no")} == refused
    intents = {entry["invocation"]: entry["call"] for entry in entries if entry["kind"] == "intent"}
    succeeded = {
        intents[entry["invocation"]] for entry in entries if entry["kind"] == "outcome" and entry["status"] == "SUCCESS"
    }
    assert set() == set(acknowledged) - succeeded
    assert len(acknowledged) == len(succeeded)


def ended(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The calls of a log: their tool, and how they ended."""
    tools = {entry["invocation"]: entry["tool"] for entry in entries if entry["kind"] == "intent"}
    return [(tools[entry["invocation"]], entry["status"]) for entry in entries if entry["kind"] == "outcome"]
