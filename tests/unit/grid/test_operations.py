"""The operations endpoint: what it answers, and that nobody can hold it up or read it from elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from altar.adm.errors import ConfigurationError
from altar.grid.host import operations
from altar.grid.host.metrics import Meter
from altar.grid.host.operations import MOST_CONNECTIONS, MOST_HEAD_BYTES, is_loopback, serve_operations

GET = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Place:
    """An endpoint that is served, and the status it tells."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {
            "host": "host-1",
            "version": "1.0",
            "epoch": 1,
            "state": "serving",
            "runtimes": [],
            "queue": {"calls": 0, "limit": 8, "bytes": 0, "nested": 0},
            "calls": Meter().snapshot(),
        }
        self.port = 0

    async def ask(self, request: str) -> tuple[int, dict[str, str], str]:
        """Send a request, and read until the endpoint hangs up: status, headers, body."""
        reader, writer = await self.open()
        writer.write(request.encode("latin-1"))
        head, _, body = (await reader.read()).decode("latin-1").partition("\r\n\r\n")
        writer.close()
        first, *lines = head.split("\r\n")
        return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    async with serve_operations(lambda: made.status, listen="127.0.0.1:0") as url:
        made.port = int(url.rpartition(":")[2])
        yield made


async def test_it_says_that_it_lives_and_whether_the_host_takes_calls(place: Place) -> None:
    alive, ready = await place.ask(GET.format("/healthz")), await place.ask(GET.format("/readyz?verbose"))
    place.status["state"] = "draining"
    draining = await place.ask(GET.format("/readyz"))

    assert (200, "alive\n") == (alive[0], alive[2])
    assert (200, "serving\n") == (ready[0], ready[2])
    assert (503, "draining\n") == (draining[0], draining[2])


async def test_the_status_is_json_and_the_metrics_are_for_prometheus(place: Place) -> None:
    status, metrics = await place.ask(GET.format("/status")), await place.ask(GET.format("/metrics"))

    assert place.status == json.loads(status[2])
    assert ("application/json", "no-store", "close") == tuple(
        status[1][name] for name in ("Content-Type", "Cache-Control", "Connection")
    )
    assert metrics[1]["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "\naltar_ready 1.0\n" in metrics[2]


async def test_metrics_without_their_package_are_an_error_that_says_how_to_install_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    status, _, body = await place.ask(GET.format("/metrics"))

    error = json.loads(body)["error"]
    assert (501, "FEATURE_UNAVAILABLE", "pip install 'altar-ai[observe]'") == (status, error["type"], error["hint"])


async def test_a_head_request_has_the_headers_of_the_answer_and_no_body(place: Place) -> None:
    status, headers, body = await place.ask("HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert (200, "6", "") == (status, headers["Content-Length"], body)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /../status HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /status HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 421),
        ("GET /status HTTP/1.1\r\n\r\n", 421),
        ("GET /status HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", 200),
        ("GET /status HTTP/1.0\r\nHost: 127.0.0.2:9\r\n\r\n", 200),
        ("GET /status HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nno header\r\n\r\n", 400),
        ("GET /status\r\n\r\n", 400),
        ("GET /status SMTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01 hello \r\n\r\n", 400),
        ("GET /" + "x" * 2 * MOST_HEAD_BYTES + " HTTP/1.1\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\n" + "X: y\r\n" * MOST_HEAD_BYTES + "\r\n", 431),
    ],
)
async def test_what_is_no_question_of_its_own_is_refused(place: Place, request_: str, status: int) -> None:
    answered: int | None
    try:
        answered = (await place.ask(request_))[0]
    except (ConnectionError, IndexError):  # it hung up with bytes of the request unread, and TCP took the answer back
        answered = None

    assert answered == status or (answered is None and status == 431)


async def test_who_says_nothing_or_speaks_slowly_is_cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PATIENCE", 0.05)
    reader, writer = await place.open()
    writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: ")

    assert await _end_of(reader) == b""
    writer.close()

    assert (await place.ask(GET.format("/healthz")))[0] == 200


async def test_of_too_many_connections_the_oldest_is_cut_off_and_all_others_are_answered(place: Place) -> None:
    held = [await place.open() for _ in range(MOST_CONNECTIONS)]
    for _, writer in held:
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        await writer.drain()

    newest = (await place.ask(GET.format("/healthz")))[0]
    oldest = await _end_of(held[0][0])
    for _, writer in held[1:]:
        writer.write(b"Host: localhost\r\n\r\n")

    assert (200, b"") == (newest, oldest)
    assert {b"HTTP/1.1 200 OK"} == {(await reader.read()).partition(b"\r\n")[0] for reader, _ in held[1:]}
    for _, writer in held:
        writer.close()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "host.example:0"])
async def test_an_address_that_others_can_reach_needs_a_word_of_its_own(listen: str) -> None:
    with pytest.raises(ConfigurationError, match="where others can read it") as refused:
        async with serve_operations(dict, listen=listen):
            pass

    assert "INVALID_CONFIG" == refused.value.code


async def test_an_endpoint_that_is_open_to_others_answers_by_any_name() -> None:
    place = Place()
    async with serve_operations(lambda: place.status, listen="0.0.0.0:0", public=True) as url:
        place.port = int(url.rpartition(":")[2])
        status, _, _ = await place.ask("GET /healthz HTTP/1.1\r\nHost: altar.example\r\n\r\n")

    assert status == 200


async def test_a_port_that_is_taken_is_an_error_of_the_environment(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen") as refused:
        async with serve_operations(dict, listen=f"127.0.0.1:{place.port}"):
            pass

    assert "ENVIRONMENT_ERROR" == refused.value.code


async def test_who_is_still_connected_when_it_ends_is_cut_off() -> None:
    place = Place()
    async with serve_operations(lambda: place.status, listen="127.0.0.1:0") as url:
        place.port = int(url.rpartition(":")[2])
        assert (await place.ask(GET.format("/healthz")))[0] == 200
        reader, writer = await place.open()
        writer.write(b"GET ")
        await writer.drain()
        assert (await place.ask(GET.format("/healthz")))[0] == 200

    assert await _end_of(reader) == b""
    writer.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(host: str, expected: bool) -> None:
    assert expected == is_loopback(host)


async def _end_of(reader: asyncio.StreamReader) -> bytes:
    """What is read until the connection ends, by a close or a reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""
