"""One connection to a directory: TLS first, then a bind, then searches; each step within its time, each answer bounded.

The connection verifies the server's certificate against one CA file and its name, and never speaks without TLS.
Referrals are counted and not followed: an answer that names another server is no reason to send it a password.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.aesp.identity.ldap_wire import (
    STARTTLS,
    Filter,
    Message,
    Result,
    Scope,
    bind_request,
    entry_of,
    extended_request,
    length_of_message,
    message_of,
    next_page_of,
    result_of,
    search_request,
    unbind_request,
)

__all__ = ["Entry", "LdapAddress", "LdapConnection", "RefusedBindError"]

_LARGEST = 4 * 1024 * 1024
_PAGE = 500
_WRONG_CREDENTIALS = frozenset({49, 48, 53, 32, 34, 8, 19, 50})


class RefusedBindError(Exception):
    """The server knows the name or the password not, or will not have it; `str(error)` is for the log."""


@dataclass(frozen=True, slots=True)
class LdapAddress:
    """Where a directory is: ``ldaps://host:port``, or ``ldap://host:port``, which begins with StartTLS.

    ``ca_file`` holds the only CAs believed for it, in PEM.
    """

    url: str
    ca_file: Path

    def parts(self) -> tuple[str, int, bool]:
        """Host, port, and whether TLS begins at once; ConfigurationError ENVIRONMENT_ERROR for another address."""
        try:
            parts = urlsplit(self.url)
            at_once = {"ldaps": True, "ldap": False}[parts.scheme]
            port = parts.port or (636 if at_once else 389)
        except (KeyError, ValueError) as error:
            raise _no_address(self.url) from error
        if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.username:
            raise _no_address(self.url)
        return parts.hostname, port, at_once

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, the certificate and its name checked; ConfigurationError for a CA file that is none."""
        try:
            made = ssl.create_default_context(cafile=str(self.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"{str(self.ca_file)!r} cannot be read as a file of CA certificates",
                hint="give the provider the CA of the directory in PEM",
                detail=str(error),
            ) from error
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        return made


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory: its name, and its attributes by lower-case names, each with its values."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def text(self, attribute: str) -> str:
        """The first value as text; empty when there is none or it is no UTF-8."""
        values = self.texts(attribute)
        return values[0] if values else ""

    def texts(self, attribute: str) -> tuple[str, ...]:
        """All values that are UTF-8."""
        found = []
        for value in self.attributes.get(attribute.lower(), ()):
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)


class LdapConnection:
    """A connection that is open and over TLS; use it in ``async with``.

    Each operation is one at a time and ends within ``seconds``.
    Raises ExecutionError DEPENDENCY_UNAVAILABLE for whatever the network, TLS or the server did wrong.
    """

    def __init__(self, address: LdapAddress, *, seconds: float) -> None:
        self._address = address
        self._seconds = seconds
        self._number = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        host, port, at_once = self._address.parts()
        context = self._address.context()
        try:
            async with asyncio.timeout(self._seconds):
                if at_once:
                    self._reader, self._writer = await asyncio.open_connection(host, port, ssl=context)
                else:
                    await self._start_tls(host, port, context)
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            await self._drop()
            raise self._unavailable(error) from error
        except BaseException:
            await self._drop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def bind(self, name: str, password: str) -> None:
        """Prove a name with a password; RefusedBindError when the server does not accept the two.

        An empty name or password is refused here: RFC 4513 §5.1.2 calls that an unauthenticated bind, which servers
        answer with success.
        """
        if not name or not password or "\0" in name or "\0" in password:
            raise RefusedBindError("a bind needs a name and a password")
        result = await self._once(bind_request(self._next(), name=name, password=password), answer=0x61)
        if result.code in _WRONG_CREDENTIALS:
            raise RefusedBindError(f"code {result.code}: {result.text[:200]}")
        self._require(result, "bind")

    async def search(
        self,
        base: str,
        filter: Filter,  # noqa: A002 (the word of RFC 4511)
        *,
        attributes: tuple[str, ...],
        limit: int,
        scope: int = Scope.SUBTREE,
    ) -> list[Entry]:
        """All entries that match, read page by page.

        Raises ExecutionError RESOURCE_EXHAUSTED beyond ``limit`` entries; a base that does not exist has none.
        """
        found: list[Entry] = []
        cookie = b""
        while True:
            request = search_request(
                self._next(),
                base=base,
                scope=scope,
                filter=filter,
                attributes=attributes,
                size=0,
                seconds=max(1, int(self._seconds)),
                page=min(_PAGE, limit + 1),
                cookie=cookie,
            )
            cookie = await self._page(request, found, limit)
            if not cookie:
                return found

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    async def _page(self, request: bytes, found: list[Entry], limit: int) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(request)
                while True:
                    message = await self._receive()
                    if message.tag == 0x64:
                        found.append(Entry(*entry_of(message)))
                        if len(found) > limit:
                            raise _too_many(limit)
                    elif message.tag == 0x65:
                        break
                    elif message.tag != 0x73:  # a reference to another server is not followed
                        raise ValueError(f"tag {message.tag:#x} is no part of a search")
                result, cookie = result_of(message), next_page_of(message)
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            await self._drop()
            raise self._unavailable(error) from error
        if result.code == 32:  # noSuchObject: the base is not there
            return b""
        if result.code == 4:  # sizeLimitExceeded
            raise _too_many(limit)
        self._require(result, "search")
        return cookie

    async def _start_tls(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Ask for TLS in clear, on the bare socket.

        The answer is read to its last byte and no further, so that what a man in the middle put behind it meets the
        handshake, and is never read as if it had come over TLS (RFC 4511 §4.14).
        """
        loop = asyncio.get_running_loop()
        bare = await asyncio.to_thread(socket.create_connection, (host, port), self._seconds)
        try:
            bare.setblocking(False)
            await loop.sock_sendall(bare, extended_request(self._next(), STARTTLS))
            start = await loop.sock_recv(bare, 2)
            while (length := length_of_message(start)) is None or len(start) < length:
                more = await loop.sock_recv(bare, 1 if length is None else min(length, 4096) - len(start))
                if not more or len(start) >= 4096:
                    raise ConnectionResetError("the answer to StartTLS was cut off, or is too long")
                start += more
            message = message_of(start)
            result = result_of(message)
            if message.tag != 0x78 or message.number != self._number or result.code != 0:
                raise ValueError(f"StartTLS was refused with code {result.code}: {result.text[:200]}")
            self._reader, self._writer = await asyncio.open_connection(sock=bare, ssl=context, server_hostname=host)
        except BaseException:
            bare.close()
            raise

    async def _once(self, request: bytes, *, answer: int) -> Result:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(request)
                message = await self._receive()
                if message.tag != answer:
                    raise ValueError(f"tag {message.tag:#x} is not the answer")
                return result_of(message)
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            await self._drop()
            raise self._unavailable(error) from error

    async def _send(self, data: bytes) -> None:
        if self._writer is None:
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def _receive(self) -> Message:
        if self._reader is None:
            raise ConnectionResetError("the connection is closed")
        start = await self._reader.readexactly(2)
        while (length := length_of_message(start)) is None:
            start += await self._reader.readexactly(1)
        if length > _LARGEST:
            raise ValueError(f"a message of {length} bytes is too large")
        message = message_of(start + await self._reader.readexactly(length - len(start)))
        if message.number != self._number:
            raise ValueError(f"message {message.number} answers nothing that was asked")
        return message

    async def _drop(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        try:
            writer.write(unbind_request(self._next()))
            writer.close()
            async with asyncio.timeout(1):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            writer.transport.abort()

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _require(self, result: Result, what: str) -> None:
        if result.code != 0:
            raise self._unavailable(ValueError(f"{what} ended with code {result.code}: {result.text[:200]}"))

    def _unavailable(self, error: Exception) -> ExecutionError:
        return ExecutionError(
            "DEPENDENCY_UNAVAILABLE",
            "The directory cannot be asked now",
            ran="no",
            hint="try again later, or ask the operator whether the directory is up",
            detail=f"{self._address.url}: {type(error).__name__}: {error}",
        )


def _too_many(limit: int) -> ExecutionError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"The directory has more than {limit} entries for this",
        ran="no",
        hint="narrow the base or the filter of the provider, or raise its limit",
    )


def _no_address(url: str) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"{url[:200]!r} is no address of a directory",
        hint="write ldaps://HOST or ldap://HOST, with a port if it is not 636 or 389",
    )
