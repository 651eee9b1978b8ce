"""The rules of every request over HTTP that ALTAR makes for somebody: to origins that are listed, and to no others.

A URL and the origins that somebody listed come in; the one address that may be connected to goes out, and then the
answer, whole and of bounded size.
A name is resolved once, each of its addresses is checked, and the connection goes to one that was checked, so that a
name which means another machine a moment later reaches nothing.
No redirect is followed here.
Who uses it words the refusals, since some may be told why and others may not.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from altar.adm.errors import AltarError, ConfigurationError

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Origin", "Resolve", "Way", "Words", "resolve", "shown"]

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ISATAP = 0x00005EFE  # before an address of IPv4; the bit that is left out says whether that is unique (RFC 5214)
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # what a virtual machine of Azure is told about itself
            "192.0.0.0/24",  # IETF protocol assignments (RFC 6890), and what a machine of Oracle is told about itself
            "192.88.99.0/24",  # relays of 6to4 (RFC 7526)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""Not the public internet, whatever the `ipaddress` of this Python says of them."""


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
    def parse(cls, url: str, *, hint: str = "write https://host, or http:// for this machine") -> Origin:
        """The origin of a URL.

        Raises INVALID_CONFIG for one that is not HTTPS, or not HTTP on loopback, or that carries a user or a fragment;
        ``hint`` says what to do then.
        """
        import httpx

        try:
            parts = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as wrong:
            raise _no_origin(url, "it is no URL", hint) from wrong
        host = parts.raw_host.decode("ascii").lower().rstrip(".")  # as it is asked for and shown, in ASCII
        if parts.scheme not in ("https", "http") or not host or parts.userinfo or parts.fragment:
            raise _no_origin(url, "it is no plain https URL", hint)
        if parts.scheme == "http" and not _names_loopback(host):
            raise _no_origin(url, "it is not https, and not on this machine", hint)
        return cls(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))


@dataclass(frozen=True, slots=True)
class Words:
    """How refusals are worded: each takes a URL and the reason, and gives the error.

    ``refused`` is for what may not be reached, ``unreachable`` for what cannot be or answers what nobody asked for,
    ``too_much`` for an answer of more bytes than the number.
    """

    refused: Callable[[str, str], AltarError]
    unreachable: Callable[[str, str], AltarError]
    too_much: Callable[[str, int], AltarError]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Way:
    """How requests leave: which addresses they may go to, what is trusted, and how much may come back.

    ``networks`` are networks beyond the public internet in which a listed name may lie, such as ``10.1.0.0/16``; an
    origin whose host is an address, or ``localhost``, is listed by being written.
    ``authority`` is a PEM file of certificates to trust instead of the system's.
    ``seconds`` bounds each wait for the network, ``max_bytes`` the body of an answer; a bound of the whole request is
    the caller's to set.
    Raises INVALID_CONFIG for a network that is none.
    """

    def __init__(
        self,
        words: Words,
        *,
        networks: Sequence[str],
        authority: Path | None,
        seconds: float,
        max_bytes: int,
        resolver: Resolve,
    ) -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        except ValueError as wrong:
            raise ConfigurationError("INVALID_CONFIG", f"{wrong}", hint="write a network as 10.1.0.0/16") from wrong
        self._words = words
        self._authority = authority
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._resolve = resolver
        self._trust: ssl.SSLContext | None = None

    async def checked(self, url: str, listed: Collection[Origin], *, why: str) -> str:
        """The one address that this URL may be reached at, now; ``why`` says what it lacks when it is not listed."""
        origin = Origin.parse(url)
        if origin not in listed:
            raise self._words.refused(url, why)
        try:
            found = [_address(text) for text in await self._resolve(origin.host, origin.port)]
        except (OSError, ValueError, UnicodeError) as failed:
            raise self._words.unreachable(url, f"its name has no address: {failed}") from failed
        if not found:
            raise self._words.unreachable(url, "its name has no address")
        for address in found:
            if not self.may_reach(address, origin):
                raise self._words.refused(url, f"it leads to {address}, which is not public and not listed")
        return str(found[0])

    def may_reach(self, address: Address, origin: Origin) -> bool:
        """Whether a listed origin may lie at this address."""
        literal = _literal(origin.host)
        if literal is not None or _names_loopback(origin.host):  # somebody wrote the address itself
            return address == literal or (literal is None and address.is_loopback)
        inner = _embedded(address)
        if any(inner in network for network in self._networks if network.version == inner.version):
            return True
        if any(inner in network for network in _INSIDE if network.version == inner.version):
            return False
        special = inner.is_multicast or inner.is_reserved or getattr(inner, "is_site_local", False)
        return inner.is_global and not special

    async def exchange(self, address: str, request: httpx.Request, *, url: str) -> Answer:
        """Send a request to an address that was checked, and take the whole answer; ``url`` is for messages."""
        import httpx

        host = request.url.raw_host.decode("ascii")
        request.headers["host"] = request.url.netloc.decode()
        request.headers["accept-encoding"] = "identity"
        request.url = request.url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": host}
        try:
            async with httpx.AsyncClient(
                verify=self._context(), trust_env=False, timeout=self._seconds, follow_redirects=False
            ) as client:
                response = await client.send(request, stream=True)
                try:
                    return await self._read(response, url)
                finally:
                    await response.aclose()
        except httpx.HTTPError as failed:
            raise self._words.unreachable(url, f"{type(failed).__name__}: {failed}") from failed

    async def _read(self, response: httpx.Response, url: str) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise self._words.unreachable(url, "the answer is compressed, which was not asked for")
        body = bytearray()
        async for part in response.aiter_raw(64 * 1024):
            body += part
            if len(body) > self._max_bytes:
                raise self._words.too_much(url, self._max_bytes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body))

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context(cafile=self._authority)
            self._trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._trust


def shown(url: str) -> str:
    """A URL for messages: without its query, which may hold a secret."""
    return str(url).partition("?")[0][:200]


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
    """The address of IPv4 inside one of IPv6 that only carries it (6to4, Teredo, NAT64, ISATAP), or the address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64 or (int(address) >> 32) & 0xFDFFFFFF == _ISATAP:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _no_origin(url: str, why: str, hint: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", f"{shown(url)!r} may not be reached: {why}", ran="no", hint=hint)
