"""A sink that is a syslog receiver: RFC 5424 messages over TLS (RFC 5425), TCP (RFC 6587) or UDP (RFC 5426).

Syslog knows no acknowledgement.
Over TLS and TCP each batch has a connection of its own, whose sending half is closed behind it: a receiver that closes
its half in good order has read to the end, and one that died answers with a reset, upon which the batch comes again.
Over UDP nothing is known, and what is lost stays lost; use it only where nothing else is to be had.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.formats import format_named
from altar.aesp.audit.formats.cef import severity_of
from altar.aesp.audit.record import Record
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions

__all__ = ["SyslogSink", "message"]

_AUDIT = 13
"""The facility "log audit" of RFC 5424, table 1."""
_WARNING, _INFORMATIONAL = 4, 6


class SyslogSink:
    """Sends to one receiver, a connection for each batch."""

    def __init__(self, options: SinkOptions) -> None:
        """Take the address.

        Raises ConfigurationError: INVALID_CONFIG when it names no port, CERTIFICATE_ERROR for files that hold no
        certificates.
        """
        host, colon, port = options.address.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigurationError(
                "INVALID_CONFIG", f"{options.address!r} is no address of a syslog receiver", hint="write host:port"
            )
        self._address = (host.strip("[]"), int(port))
        self._timeout = options.timeout
        self._line = format_named(options.format)
        self._transport = options.transport
        self._context = _context(options) if options.transport == "tls" else None

    def send(self, records: Sequence[Record]) -> None:
        """Send the records; over TLS and TCP, wait until the receiver has read them all."""
        messages = [message(record, self._line(record)) for record in records]
        try:
            if self._transport == "udp":
                self._send_datagrams(messages)
            else:
                self._send_stream(b"".join(b"%d %s" % (len(each), each) for each in messages))
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise SinkError(f"the receiver at {self._address[0]}:{self._address[1]} failed: {reason}") from error

    def close(self) -> None:
        """Nothing is kept open between batches."""

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        family = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0][0]
        with socket.socket(family, socket.SOCK_DGRAM) as out:
            out.connect(self._address)
            for each in messages:
                out.send(each)

    def _send_stream(self, data: bytes) -> None:
        with socket.create_connection(self._address, timeout=self._timeout) as plain:
            if self._context is None:
                plain.sendall(data)
                plain.shutdown(socket.SHUT_WR)
                _read_to_the_end(plain)
                return
            with self._context.wrap_socket(
                plain, server_hostname=self._address[0], suppress_ragged_eofs=False
            ) as secure:
                secure.sendall(data)
                try:
                    rest = secure.unwrap()  # says "no more", and waits for the receiver to say it too
                except ssl.SSLEOFError:  # the receiver has closed without a last word, but not by a reset
                    return
                with suppress(OSError):
                    rest.shutdown(socket.SHUT_WR)


def message(record: Record, text: str) -> bytes:
    """Give the syslog message for a record: head by RFC 5424 §6, `text` as its content."""
    grave = _WARNING if severity_of(record) > 3 else _INFORMATIONAL
    when = datetime.fromtimestamp(record.time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    host = _name(record.origin, most=255)
    head = (
        f"<{_AUDIT * 8 + grave}>1 {when} {host} altar {_name(record.tenant, most=128)} {_name(record.event, most=32)} -"
    )
    content = text.encode()
    return head.encode() + b" " + (content if content.isascii() else b"\xef\xbb\xbf" + content)


def _name(text: str, *, most: int) -> str:
    """Give a field of the head: printable ASCII without blanks, "-" for nothing."""
    return "".join(one if "!" <= one <= "~" else "?" for one in text[:most]) or "-"


def _read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def _context(options: SinkOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.certificate:
            context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "CERTIFICATE_ERROR",
            f"The certificate files of the sink {options.name!r} cannot be used",
            hint="authority, certificate and key are PEM files",
            detail=str(error),
        ) from error
    return context
