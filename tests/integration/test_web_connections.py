"""Connections of the web port that are held open or fed slowly, by real sockets from several addresses of loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from altar.aesp.web.connections import MOST_AT_ONCE, MOST_OF_ONE, Connection
from altar.aesp.web.serving import WebServer

ASK = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """A web server, and the connections that a test opened to it."""

    def __init__(self, address: str) -> None:
        self.port = int(urlsplit(address).port or 0)
        self.opened: list[Opened] = []

    async def open(self, source: str = "127.0.0.1") -> Opened:
        made = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        self.opened.append(made)
        return made

    async def ask(self, source: str = "127.0.0.1") -> bytes:
        reader, writer = await self.open(source)
        writer.write(ASK)
        return await reader.readuntil(b"\r\n")

    async def close(self) -> None:
        for _, writer in self.opened:
            writer.close()
        for _, writer in self.opened:
            with suppress(OSError):
                await writer.wait_closed()


async def hello(request: Request) -> Response:
    await request.body()
    return PlainTextResponse("hello")


@pytest_asyncio.fixture
async def port() -> AsyncIterator[Port]:
    app = Starlette(routes=[Route("/hello", hello, methods=["GET", "POST"])])
    async with WebServer(app, "127.0.0.1:0") as server:
        made = Port(server.address)
        yield made
        await made.close()


async def is_closed(opened: Opened) -> bool:
    """Wait until the other side has closed; what came before is thrown away."""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while await opened[0].read(65536):
                pass
    return True


async def test_idle_connections_of_one_address_keep_nobody_out_and_are_bounded(port: Port) -> None:
    idle = [await port.open("127.0.0.2") for _ in range(MOST_AT_ONCE + 20)]

    assert b"HTTP/1.1 200 OK\r\n" == await port.ask("127.0.0.3")
    assert b"HTTP/1.1 200 OK\r\n" == await port.ask("127.0.0.2")
    assert all([await is_closed(each) for each in idle[:-MOST_OF_ONE]])


async def test_idle_connections_of_many_addresses_keep_nobody_out(port: Port) -> None:
    for number in range(MOST_AT_ONCE + 20):
        await port.open(f"127.0.1.{number % 9 + 1}")

    assert b"HTTP/1.1 200 OK\r\n" == await port.ask("127.0.0.3")


async def test_who_is_being_answered_is_not_cut_off_for_others(port: Port) -> None:
    reader, writer = await port.open("127.0.0.2")
    writer.write(b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\na")
    await writer.drain()
    assert b"HTTP/1.1 200 OK\r\n" == await port.ask("127.0.0.9")  # so what was sent before has been read

    for _ in range(MOST_OF_ONE + 5):
        await port.open("127.0.0.2")
    writer.write(b"bc")

    assert b"HTTP/1.1 200 OK\r\n" == await reader.readuntil(b"\r\n")


@pytest.mark.parametrize(
    ("sent", "waits_for"),
    [
        (b"", "head"),
        (b"GET /hello HTTP/1.1\r\nx: ", "head"),
        (ASK + b"GET /he", "head"),
        (b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\na", "body"),
    ],
)
async def test_a_request_that_does_not_come_to_its_end_is_cut_off(
    port: Port, monkeypatch: pytest.MonkeyPatch, sent: bytes, waits_for: str
) -> None:
    monkeypatch.setattr(Connection, f"{waits_for}_seconds", 0.05)
    opened = await port.open()
    dripping = asyncio.create_task(drip(opened[1], sent))

    assert await is_closed(opened)
    dripping.cancel()


async def drip(writer: asyncio.StreamWriter, sent: bytes) -> None:
    """Send the beginning, and then a byte now and then, so that the connection is never silent."""
    writer.write(sent)
    with suppress(ConnectionError):
        while sent:
            await asyncio.sleep(0.01)
            writer.write(b"a")
            await writer.drain()


async def test_several_requests_on_one_connection_are_answered(port: Port) -> None:
    reader, writer = await port.open()

    for _ in range(3):
        writer.write(ASK)
        assert b"HTTP/1.1 200 OK\r\n" == await reader.readuntil(b"\r\n")
        await reader.readuntil(b"hello")
