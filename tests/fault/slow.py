"""Peers that are slow on purpose, on bare sockets: they begin something and never end it.

Each returns an open socket that has sent what it will, for the test to hold; `closed_by_peer` says when it is over.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

from altar.grid.trust.tls import CertificateFiles

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
"""An empty frame of settings (RFC 9113 §6.5)."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def tls_context(files: CertificateFiles) -> ssl.SSLContext:
    """TLS 1.3 with these certificate files, for HTTP/2."""
    context = ssl.create_default_context(cafile=str(files.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    return context


async def tcp_only(port: int) -> Streams:
    """Connect, and say nothing."""
    return await asyncio.open_connection("127.0.0.1", port)


async def half_a_hello(port: int) -> Streams:
    """Begin a handshake of TLS (RFC 8446 §5.1) of which the rest never comes."""
    streams = await asyncio.open_connection("127.0.0.1", port)
    streams[1].write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20))
    await streams[1].drain()
    return streams


async def preface_only(port: int, context: ssl.SSLContext) -> Streams:
    """Shake hands, send the preface of HTTP/2, and no settings."""
    streams = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    streams[1].write(PREFACE)
    await streams[1].drain()
    return streams


async def greeted(port: int, context: ssl.SSLContext) -> Streams:
    """A whole connection of HTTP/2 on which nothing is ever asked, and no ping is answered."""
    streams = await preface_only(port, context)
    streams[1].write(SETTINGS)
    await streams[1].drain()
    return streams


async def headers_begun(port: int, context: ssl.SSLContext) -> Streams:
    """A request whose headers have begun (RFC 9113 §6.2) and never end; `dribble` goes on with them."""
    streams = await greeted(port, context)
    streams[1].write(frame(0x1, 0, 1, b"\x00\x01a\x01b"))
    await streams[1].drain()
    return streams


def dribble(number: int) -> bytes:
    """One more header of a request that never ends, in a frame of its own (RFC 9113 §6.10).

    Its 140 bytes, as RFC 9113 §6.5.2 counts them, add up to more than any server keeps.
    """
    name = f"x-{number:06}".encode()
    return frame(0x9, 0, 1, b"\x00" + bytes((len(name),)) + name + bytes((100,)) + b"b" * 100)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


async def closed_by_peer(streams: Streams, *, within: float) -> bool:
    """Whether the other side closes in so many seconds; what it says before is read."""
    reader, writer = streams
    try:
        async with asyncio.timeout(within):
            while await reader.read(65536):
                pass
    except TimeoutError:
        return False
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return True


def reset_on_close(connection: socket.socket) -> None:
    """Let closing leave nothing behind, so that ten thousand ports are free again at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
