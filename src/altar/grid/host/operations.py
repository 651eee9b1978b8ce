"""The operations endpoint of a host: a small HTTP server for who has no certificate: probes, Prometheus, `altar top`.

==============  =========================================================================================
``/healthz``    200 while the process lives and its event loop turns
``/readyz``     200 while the host takes calls; else 503, with the state in words
``/metrics``    figures for Prometheus; 501 without the extra ``observe``
``/status``     JSON: what the host is doing, with all figures
==============  =========================================================================================

It answers GET and HEAD, one request for each connection, and reads no bodies.
It listens on loopback unless its owner says otherwise in so many words: it tells names of tools and runtimes.
On loopback it answers only who asks for it by a name of loopback, so that no web page can read it by a name of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

from altar.adm.errors import AltarError, ConfigurationError
from altar.grid.host.metrics import exposition
from altar.grid.status import HttpAnswer, http_answer

__all__ = ["is_loopback", "serve_operations"]

MOST_HEAD_BYTES: Final = 8 * 1024
"""Bytes of a request line and its headers."""

MOST_CONNECTIONS: Final = 32
"""Connections at the same time; of more, the oldest is cut off, so that slow ones keep nobody out."""

PATIENCE: Final = 5.0
"""Seconds that a request may take to come, and an answer to be taken."""

Status = Callable[[], dict[str, Any]]
"""Gives the status of a host, as `Host.status` does."""


@asynccontextmanager
async def serve_operations(status: Status, *, listen: str, public: bool = False) -> AsyncIterator[str]:
    """Answer on ``listen`` ("address:port") while the context lasts; gives the address as a URL.

    ``public`` lets it listen on an address that is not of loopback.
    Raises ConfigurationError INVALID_CONFIG for such an address without it, ENVIRONMENT_ERROR when the port is taken.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not public and not is_loopback(host):
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The operations endpoint would listen on {listen!r}, where others can read it",
            hint="use 127.0.0.1, or set host.operations_public when the network around it is yours",
        )
    desk = _Desk(status, is_open=not is_loopback(host))
    try:
        server = await asyncio.start_server(desk.serve, host, int(port), limit=MOST_HEAD_BYTES)
    except OSError as taken:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The operations endpoint cannot listen on {listen!r}",
            hint="the port is taken or the address is not of this machine; choose another host.operations",
            detail=str(taken),
        ) from taken
    try:
        bound = server.sockets[0].getsockname()[1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        server.close()
        desk.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await server.wait_closed()


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is one of loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Desk:
    """Answers one request for each connection."""

    def __init__(self, status: Status, *, is_open: bool) -> None:
        self._status = status
        self._is_open = is_open
        self._writers: dict[asyncio.StreamWriter, None] = {}
        self._pages: dict[str, Callable[[str], HttpAnswer | Awaitable[HttpAnswer]]] = {
            "/healthz": lambda _: _text(HTTPStatus.OK, "alive"),
            "/readyz": lambda _: self._ready(),
            "/metrics": self._metrics,
            "/status": lambda _: _json(self._status()),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request, answer it, and close; who is slow, or the oldest of too many, is cut off."""
        if len(self._writers) >= MOST_CONNECTIONS:
            oldest = next(iter(self._writers))
            del self._writers[oldest]
            oldest.transport.abort()
        self._writers[writer] = None
        try:
            async with asyncio.timeout(PATIENCE):
                answer, wants_body = await self._answer(reader)
            async with asyncio.timeout(PATIENCE):
                writer.write(_encoded(answer, wants_body=wants_body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            writer.transport.abort()
        finally:
            self._writers.pop(writer, None)

    def close(self) -> None:
        """Cut off whoever is still there."""
        for writer in self._writers:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[HttpAnswer, bool]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, headers = _parsed(head)
        except asyncio.LimitOverrunError:
            return _text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long"), True
        except (asyncio.IncompleteReadError, ValueError):
            return _text(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1"), True
        method, target, _version = line
        wants_body = method != "HEAD"
        if method not in {"GET", "HEAD"}:
            answer = _text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
            answer.headers["Allow"] = "GET, HEAD"
            return answer, wants_body
        if not self._is_open and not is_loopback(_name_of(headers.get("host", ""))):
            return _text(HTTPStatus.MISDIRECTED_REQUEST, "ask by an address of loopback"), wants_body
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return _text(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}"), wants_body
        made = page(headers.get("accept", ""))
        return (made if isinstance(made, HttpAnswer) else await made), wants_body

    def _ready(self) -> HttpAnswer:
        state = self._status()["state"]
        return _text(HTTPStatus.OK if state == "serving" else HTTPStatus.SERVICE_UNAVAILABLE, state)

    async def _metrics(self, accept: str) -> HttpAnswer:
        try:
            # in a thread: with a thousand runtimes it takes some thirty milliseconds, in which calls can go on
            reading = await asyncio.to_thread(exposition, self._status(), accept=accept)
        except AltarError as missing:
            return http_answer(missing)
        return HttpAnswer(HTTPStatus.OK, {"Content-Type": reading.media_type}, reading.text)


def _parsed(head: bytes) -> tuple[tuple[str, str, str], Mapping[str, str]]:
    """The three words of the request line, and the headers by their names in lower case (RFC 9112 §3, §5)."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    headers = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(line)
        headers[name.lower()] = value.strip()
    return (method, target, version), headers


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _text(status: HTTPStatus, words: str) -> HttpAnswer:
    return HttpAnswer(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{words}\n".encode())


def _json(value: object) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _encoded(answer: HttpAnswer, *, wants_body: bool) -> bytes:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:  # 495 and 499 are of other people's servers
        phrase = ""
    headers = {
        **answer.headers,
        "Content-Length": str(len(answer.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {int(answer.status)} {phrase}\r\n{head}\r\n".encode("latin-1") + (
        answer.body if wants_body else b""
    )
