"""Waiting on loopback for the browser to come back: a redirect comes in, its query goes out (RFC 8252 §7.3).

Whatever else connects to the port meanwhile is answered and ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from altar.adm.errors import AuthorizationError

__all__ = ["Redirected", "redirected"]

_PATH = "/callback"
_LONGEST = 16 * 1024
_PATIENCE = 10.0
_MOST_FIELDS = 16
_PAGE = """<!doctype html><meta charset="utf-8"><title>ALTAR</title><p>{words}</p>"""


@dataclass(frozen=True, slots=True)
class Redirected:
    """The answer that was waited for; ``callback`` is the address that it came to, without the query."""

    callback: str
    query: Mapping[str, str] = field(repr=False)


async def redirected(
    begin: Callable[[str], object], *, wanted: Callable[[Mapping[str, str]], bool], seconds: float
) -> Redirected:
    """Listen on a free port of loopback, call ``begin`` with the callback's address, and wait for the answer.

    Only an answer that is ``wanted`` ends the wait; others are refused in the browser.
    Raises INVALID_CREDENTIALS when none comes within ``seconds``.
    """
    found: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
    address = ""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                query = _query_in(await reader.readuntil(b"\r\n\r\n"), address=address)
                fits = query is not None and wanted(query) and not found.done()
                writer.write(_answer(fits=fits))
                await writer.drain()
            if fits and query is not None and not found.done():
                found.set_result(query)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # somebody else's connection; the one that matters is still to come
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_LONGEST)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        callback = f"http://{address}{_PATH}"
        begin(callback)
        try:
            async with asyncio.timeout(seconds):
                return Redirected(callback, await found)
        except TimeoutError as late:
            raise AuthorizationError(
                "INVALID_CREDENTIALS", "Nobody signed in within the time there was", ran="no", hint="begin again"
            ) from late


def _query_in(request: bytes, *, address: str) -> Mapping[str, str] | None:
    """The query of a request to the callback; None for any other, and for one that names something twice.

    The ``Host`` must be the address itself, so that no name that was pointed at loopback gets through.
    """
    lines = request.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    hosts = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("host:")]
    if len(words) != 3 or words[0] != "GET" or hosts != [address]:
        return None
    place = urlsplit(words[1])
    try:
        pairs = parse_qsl(place.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    query = dict(pairs)
    return query if place.path == _PATH and len(query) == len(pairs) else None


def _answer(*, fits: bool) -> bytes:
    words = "You can close this page and go back to the terminal." if fits else "This is not what was waited for."
    body = _PAGE.format(words=words).encode()
    head = (
        f"HTTP/1.1 {'200 OK' if fits else '400 Bad Request'}\r\n"
        f"Content-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
