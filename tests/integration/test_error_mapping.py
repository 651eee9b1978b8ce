"""Every error code as a status of gRPC and of HTTP over real connections, and every status as an error."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from altar.adm.codes import CODES
from altar.adm.errors import AltarError, ConfigurationError, error_of
from altar.adm.statuses import STATUSES
from altar.grid.status import abort, error_of_http, error_of_rpc, error_of_status, http_answer
from altar.grid.trust.tls import require_tls13

require_tls13()
import grpc  # noqa: E402 - gRPC reads its TLS settings when it is imported
import grpc.aio  # noqa: E402

METHOD = "/test.Errors/Fail"
REPLACED = {  # where the transport's own words say more than its status
    "OK": "CONNECTION_FAILED",
    "CANCELLED": "CONNECTION_FAILED",
    "UNKNOWN": "INTERNAL",
    "INVALID_ARGUMENT": "MALFORMED_REQUEST",
    "DEADLINE_EXCEEDED": "NETWORK_TIMEOUT",
    "NOT_FOUND": "PROTOCOL_VIOLATION",
    "ALREADY_EXISTS": "PROTOCOL_VIOLATION",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED": "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION": "PROTOCOL_VIOLATION",
    "ABORTED": "PROTOCOL_VIOLATION",
    "OUT_OF_RANGE": "PROTOCOL_VIOLATION",
    "UNIMPLEMENTED": "VERSION_MISMATCH",
    "INTERNAL": "CONNECTION_FAILED",
    "UNAVAILABLE": "CONNECTION_FAILED",
    "DATA_LOSS": "PROTOCOL_VIOLATION",
    "UNAUTHENTICATED": "INVALID_CREDENTIALS",
}


def full(code: str) -> AltarError:
    """An error with all that may be told of it, and a detail, which may not."""
    return error_of(
        code,
        "Nö: it failed",
        hint="try it otherwise",
        path="/a/0",
        ran="unknown",
        retry_after=timedelta(milliseconds=1500),
        detail="secret 4711",
    )


def members(error: AltarError) -> tuple[Any, ...]:
    return (type(error), error.code, error.message, error.hint, error.path, error.ran, error.retry_after)


# ---------------------------------------------------------------------------------------------------------------- gRPC


@asynccontextmanager
async def answering(behaviour: Any, **options: int) -> AsyncIterator[Any]:
    """A unary method of a real server that does this, and a call of it."""
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Errors", {"Fail": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        pairs = [(f"grpc.{name}", value) for name, value in options.items()]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=pairs) as channel:
            yield _call_of(channel)
    finally:
        await server.stop(0)


def _call_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(METHOD)


@pytest.mark.parametrize("code", sorted(CODES))
async def test_every_code_has_its_status_in_grpc_and_comes_back_whole(code: str) -> None:
    async def fail(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await abort(context, full(code))

    async with answering(fail) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")

    assert CODES[code].grpc_status == failed.value.code().name
    assert f"Nö: it failed ({code})" == failed.value.details()
    assert members(full(code)) == members(error_of_rpc(failed.value))
    assert "4711" not in repr(failed.value.trailing_metadata())


@pytest.mark.parametrize("code", sorted(CODES))
async def test_an_error_that_is_too_long_for_metadata_keeps_its_code(code: str) -> None:
    async def fail(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await abort(context, error_of(code, "long " * 2_000))

    async with answering(fail) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")

    assert code == error_of_rpc(failed.value).code


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
async def test_every_status_that_comes_without_an_error_of_ours_is_told_as_one(status: grpc.StatusCode) -> None:
    async def fail(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(status, "words of a proxy")

    async with answering(fail) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")

    error = error_of_rpc(failed.value, ran="no")
    assert REPLACED[status.name] == error.code
    assert ("no", STATUSES[status.name].meaning) == (error.ran, error.message)
    assert error.detail == f"gRPC {status.name}: words of a proxy"
    assert error.hint


def test_all_seventeen_statuses_are_in_the_table() -> None:
    assert {status.name for status in grpc.StatusCode} == set(STATUSES) == set(REPLACED)
    assert {code.grpc_status for code in CODES.values()} <= set(STATUSES)


async def test_a_message_beyond_the_transports_limit_is_too_large_and_not_a_lack_of_room() -> None:
    async def answer(_request: bytes, _context: object) -> bytes:
        return b"x" * 10_000

    async with answering(answer, max_receive_message_length=1_000) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")

    assert "MESSAGE_TOO_LARGE" == error_of_rpc(failed.value).code


async def test_a_server_that_raises_is_a_failure_inside_of_the_other_side() -> None:
    async def answer(_request: bytes, _context: object) -> bytes:
        raise ConfigurationError("INVALID_CONFIG", "nobody caught this")

    async with answering(answer) as call:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call(b"")

    assert "INTERNAL" == error_of_rpc(failed.value).code


async def test_a_server_without_the_method_is_of_another_version() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await _call_of(channel)(b"")
    finally:
        await server.stop(0)

    assert "VERSION_MISMATCH" == error_of_rpc(failed.value).code


async def test_nobody_at_the_other_end_is_a_failed_connection_and_a_late_answer_a_timeout_of_the_network() -> None:
    async def never(_request: bytes, _context: object) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with answering(never) as call:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await call(b"", timeout=0.05)
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as nobody:
            await _call_of(channel)(b"")

    assert ("NETWORK_TIMEOUT", "CONNECTION_FAILED") == (error_of_rpc(late.value).code, error_of_rpc(nobody.value).code)


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        ("PERMISSION_DENIED", "no (POLICY_VIOLATION)", "POLICY_VIOLATION"),
        ("PERMISSION_DENIED", "no (TIMEOUT)", "PERMISSION_DENIED"),
        ("PERMISSION_DENIED", "no (NO_SUCH_CODE)", "PERMISSION_DENIED"),
        ("INTERNAL", "Received RST_STREAM with error code 2", "CONNECTION_FAILED"),
        ("A_NEW_STATUS", "", "INTERNAL"),
    ],
)
def test_a_code_in_the_words_counts_only_beside_its_own_status(status: str, words: str, code: str) -> None:
    assert code == error_of_status(status, words).code


# ---------------------------------------------------------------------------------------------------------------- HTTP


class Failing(BaseHTTPRequestHandler):
    """Answers each path, which is a code, with its error."""

    def do_GET(self) -> None:
        answer = http_answer(full(self.path[1:]))
        self.send_response(answer.status, "")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_its_status_in_http_and_comes_back_whole(port: int, code: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{code}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert (CODES[code].http_status, "2") == (answer.status, answer.headers["Retry-After"])
    assert members(full(code)) == members(error_of_http(answer.status, body))
    assert b"4711" not in body


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b"", "INVALID_CREDENTIALS"),
        (403, b"<html>", "PERMISSION_DENIED"),
        (404, b"{}", "PROTOCOL_VIOLATION"),
        (413, b"[]", "MESSAGE_TOO_LARGE"),
        (429, b'{"error": null}', "RESOURCE_EXHAUSTED"),
        (500, b'{"error": {"message": "x", "type": "NEW"}}', "INTERNAL"),
        (502, b"", "CONNECTION_FAILED"),
        (503, b"\xff", "CONNECTION_FAILED"),
        (504, b"", "NETWORK_TIMEOUT"),
    ],
)
def test_an_http_status_without_an_error_of_ours_is_told_as_one(status: int, body: bytes, code: str) -> None:
    assert code == error_of_http(status, body).code
