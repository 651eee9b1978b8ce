"""Receivers on loopback for sinks: HTTP services that can fail, and syslog over TLS, TCP and UDP."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "Reply", "SyslogReceiver", "http_receiver", "syslog_receiver"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived; ``content`` is unpacked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> bytes:
        """The body, without its compression."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


Reply = tuple[int, Mapping[str, str], bytes]


@contextmanager
def http_receiver(reply: Callable[[Asked], Reply | None], *, port: int = 0) -> Iterator[str]:
    """Serve on loopback; ``reply`` answers each request, or gives None to cut the connection without an answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            replied = reply(Asked(self.command, self.path, headers, body))
            if replied is None:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, more, content = replied
            self.send_response(status)
            for name, value in {**more, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = _answer
        do_PUT = _answer
        do_GET = _answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(slots=True)
class SyslogReceiver:
    """What arrived, message by message; ``resets`` is how many connections it still cuts after one message."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    resets: int = 0


@contextmanager
def syslog_receiver(*, context: ssl.SSLContext | None = None, udp: bool = False) -> Iterator[SyslogReceiver]:
    """Receive syslog with octet counting (RFC 6587 §3.4.1) over TLS or TCP, or datagrams over UDP."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.05)
        receiver = SyslogReceiver(listening.getsockname()[1])
        ended = threading.Event()
        serve = _datagrams if udp else _streams
        if not udp:
            listening.listen()
        thread = threading.Thread(target=serve, args=(listening, receiver, ended, context), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            ended.set()
            thread.join()


def _datagrams(listening: socket.socket, receiver: SyslogReceiver, ended: threading.Event, _: object) -> None:
    while not ended.is_set():
        with suppress(TimeoutError):
            receiver.messages.append(listening.recv(65536))


def _streams(
    listening: socket.socket, receiver: SyslogReceiver, ended: threading.Event, context: ssl.SSLContext | None
) -> None:
    while not ended.is_set():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.settimeout(10)
        receiver.connections += 1
        with suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            _read(connection, receiver)


def _read(connection: socket.socket, receiver: SyslogReceiver) -> None:
    with connection, connection.makefile("rb") as stream:
        while True:
            length = b""
            while (one := stream.read(1)).isdigit():
                length += one
            if not length:
                return
            receiver.messages.append(stream.read(int(length)))
            if receiver.resets:
                receiver.resets -= 1
                # closed while more is on its way: the kernel answers with a reset, as for a killed process
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
