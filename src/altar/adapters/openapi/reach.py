"""Requests over HTTP to the origins that somebody listed, and to no others.

A request comes in; a status, headers and a whole body of bounded size go out.
A name is resolved once, each of its addresses is checked, and the connection goes to one that was checked, so that a
name which means another machine a moment later reaches nothing.
No redirect is followed: it would leave what was listed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from altar.adm.errors import ConfigurationError, ExecutionError

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Origin", "Reach", "Resolve", "resolve", "shown"]

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port: what may be reached, whatever the path."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of a URL.

        Raises INVALID_CONFIG for one that is not HTTPS, or not HTTP on loopback, or that carries a user or a fragment.
        """
        import httpx

        try:
            parts = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as wrong:
            raise _may_not(url, "it is no URL") from wrong
        host = parts.host.lower().rstrip(".")
        if parts.scheme not in ("https", "http") or not host or parts.userinfo or parts.fragment:
            raise _may_not(url, "it is no plain https URL")
        if parts.scheme == "http" and not _names_loopback(host):
            raise _may_not(url, "it is not https, and not on this machine")
        return cls(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Reach:
    """Requests to listed origins; ``seconds`` bounds each as a whole, ``max_bytes`` the body of its answer.

    ``origins`` are URLs of which only the origin counts.
    ``networks`` are networks beyond the public internet in which a listed name may lie; an origin whose host is an
    address, or ``localhost``, is listed by being written.
    ``authority`` is a PEM file of certificates to trust instead of the system's.
    """

    def __init__(
        self,
        origins: Sequence[str],
        *,
        networks: Sequence[str] = (),
        authority: Path | None = None,
        seconds: float = 30.0,
        max_bytes: int = 4 * 1024 * 1024,
        resolver: Resolve = resolve,
    ) -> None:
        self.origins = frozenset(map(Origin.parse, origins))
        try:
            self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        except ValueError as wrong:
            raise ConfigurationError("INVALID_CONFIG", f"{wrong}", hint="write a network as 10.1.0.0/16") from wrong
        self._authority = authority
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._resolve = resolver
        self._trust: ssl.SSLContext | None = None

    def may(self, url: str) -> bool:
        """Whether requests to this URL's origin are listed."""
        return Origin.parse(url) in self.origins

    def beside(self, url: str) -> Reach:
        """The same, with the origin of this URL listed too."""
        other = Reach((), authority=self._authority, seconds=self._seconds, max_bytes=self._max_bytes)
        other.origins = self.origins | {Origin.parse(url)}
        other._networks, other._resolve = self._networks, self._resolve
        return other

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        seconds: float | None = None,
    ) -> Answer:
        """Send one request and take the whole answer, in at most ``seconds``, and no longer than the bound of all.

        Raises INVALID_CONFIG for what is not listed, ``ran`` no; DEPENDENCY_UNAVAILABLE for what cannot be reached or
        answers too much, TIMEOUT for what is late.
        """
        limit = self._seconds if seconds is None else max(0.0, min(seconds, self._seconds))
        try:
            async with asyncio.timeout(limit):
                address = await self._checked(url)
                return await self._exchange(address, method, url, dict(headers or {}), content)
        except TimeoutError as late:
            raise ExecutionError("TIMEOUT", f"{shown(url)!r} did not answer in {limit:g} seconds") from late

    async def _checked(self, url: str) -> str:
        """The one address that this URL may be reached at, now."""
        origin = Origin.parse(url)
        if origin not in self.origins:
            raise _may_not(url, "its origin is not listed")
        try:
            found = [_address(text) for text in await self._resolve(origin.host, origin.port)]
        except (OSError, ValueError, UnicodeError) as failed:
            raise _unreachable(url, f"its name has no address: {failed}") from failed
        if not found:
            raise _unreachable(url, "its name has no address")
        literal = _literal(origin.host)
        for address in found:
            if not self._may_reach(address, origin=origin, literal=literal):
                raise _may_not(url, f"it leads to {address}, which is not public and not listed")
        return str(found[0])

    def _may_reach(self, address: Address, *, origin: Origin, literal: Address | None) -> bool:
        if literal is not None or _names_loopback(origin.host):  # somebody wrote the address itself
            return address == literal or (literal is None and address.is_loopback)
        inner = _embedded(address)
        if any(inner in network for network in self._networks if network.version == inner.version):
            return True
        special = inner.is_multicast or inner.is_reserved or getattr(inner, "is_site_local", False)
        return inner.is_global and not special

    async def _exchange(self, address: str, method: str, url: str, headers: dict[str, str], content: bytes) -> Answer:
        import httpx

        async with httpx.AsyncClient(
            verify=self._context(), trust_env=False, timeout=self._seconds, follow_redirects=False
        ) as client:
            try:
                sent = [(name.encode("ascii", "replace"), value.encode("latin-1")) for name, value in headers.items()]
                request = httpx.Request(method.upper(), url, headers=sent, content=content or None)
                host = request.url.host
                request.headers["host"] = request.url.netloc.decode()
                request.headers["accept-encoding"] = "identity"
                request.url = request.url.copy_with(host=address)
                request.extensions = {**request.extensions, "sni_hostname": host}
                response = await client.send(request, stream=True)
                try:
                    return await self._read(response, url)
                finally:
                    await response.aclose()
            except (httpx.HTTPError, httpx.InvalidURL) as failed:
                raise _unreachable(url, f"{type(failed).__name__}: {failed}") from failed

    async def _read(self, response: httpx.Response, url: str) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _unreachable(url, "the answer is compressed, which was not asked for")
        body = bytearray()
        async for part in response.aiter_raw(64 * 1024):
            body += part
            if len(body) > self._max_bytes:
                raise ExecutionError(
                    "DEPENDENCY_UNAVAILABLE",
                    f"The answer of {shown(url)!r} has more than {self._max_bytes} bytes",
                    ran="yes",
                    hint="ask for less at a time",
                )
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body))

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context(cafile=self._authority)
            self._trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._trust


def shown(url: str) -> str:
    """A URL for messages: without its query, which may hold a secret."""
    return url.partition("?")[0][:200]


def _names_loopback(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)


def _literal(host: str) -> Address | None:
    try:
        return _address(host)
    except ValueError:
        return None


def _address(text: str) -> Address:
    """An address; one of IPv4 that is written in IPv6 is the one of IPv4."""
    address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if isinstance(mapped, ipaddress.IPv4Address) else address


def _embedded(address: Address) -> Address:
    """The address of IPv4 inside one of IPv6 that only carries it (6to4, Teredo, NAT64), or the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _may_not(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"{shown(str(url))!r} may not be reached: {why}",
        ran="no",
        hint="say which server the requests go to: from_openapi(…, server='https://…'), or list it: allowed=[…]",
    )


def _unreachable(url: str, why: str) -> ExecutionError:
    return ExecutionError("DEPENDENCY_UNAVAILABLE", f"{shown(url)!r} cannot be used now", detail=f"{shown(url)}: {why}")
