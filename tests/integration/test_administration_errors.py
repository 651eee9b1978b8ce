"""What the client of administration makes of a host's refusal, and of no answer at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import AltarError, error_of
from altar.aesp.service.client import administration_of
from altar.grid.client.authentication import Authentication
from altar.grid.status import abort
from altar.grid.trust.tls import Authority, CertificateFiles, server_credentials

METHOD = "EnterpriseTenantService/ListTenants"


@asynccontextmanager
async def answering(files: CertificateFiles, refusal: AltarError | None) -> AsyncIterator[str]:
    """The address of a server with TLS that refuses every request with this error; None: it knows no method."""
    credentials = server_credentials(files)
    import grpc

    async def refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        assert refusal is not None
        await abort(context, refusal)

    class Every(grpc.GenericRpcHandler):
        def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            return grpc.unary_unary_rpc_method_handler(refuse) if refusal is not None else None

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Every(),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[CertificateFiles, CertificateFiles]:
    """The certificates of a host and of a client that trust each other."""
    authority = Authority.create(tmp_path / "authority")
    return authority.issue("host", "host", tmp_path), authority.issue("client", "ann", tmp_path)


async def refused(target: str, files: CertificateFiles) -> AltarError:
    async with administration_of(f"grid://{target}", files) as client:
        with pytest.raises(AltarError) as caught:
            await client.ask(METHOD)
    return caught.value


async def refused_whoami(target: str, files: CertificateFiles) -> AltarError:
    def ask() -> None:
        with Authentication(target, files) as host:
            host.whoami("")

    with pytest.raises(AltarError) as caught:
        await asyncio.to_thread(ask)
    return caught.value


def told(error: AltarError) -> tuple[Any, ...]:
    return (type(error), error.code, error.message, error.hint)


@pytest.mark.parametrize("code", ["DEPENDENCY_UNAVAILABLE", "FEATURE_UNAVAILABLE", "LOG_UNAVAILABLE"])
async def test_what_the_host_says_is_told_whatever_its_status(
    code: str, pairs: tuple[CertificateFiles, CertificateFiles]
) -> None:
    said = error_of(code, "The directory is away", hint="ask again", ran="no")

    async with answering(pairs[0], said) as target:
        errors = [await refused(target, pairs[1]), await refused_whoami(target, pairs[1])]

    assert [told(said)] * 2 == list(map(told, errors))


async def test_a_host_without_the_service_is_said_to_have_no_identities(
    pairs: tuple[CertificateFiles, CertificateFiles],
) -> None:
    async with answering(pairs[0], None) as target:
        errors = [await refused(target, pairs[1]), await refused_whoami(target, pairs[1])]

    assert ["FEATURE_UNAVAILABLE"] * 2 == [error.code for error in errors]
    assert {"This host has no identities and no tenants"} == {error.message for error in errors}


async def test_no_answer_is_still_explained(pairs: tuple[CertificateFiles, CertificateFiles]) -> None:
    async with answering(pairs[0], None) as target:
        pass

    assert "CONNECTION_FAILED" == (await refused(target, pairs[1])).code
