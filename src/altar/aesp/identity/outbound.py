"""The one way out: requests over HTTP to addresses that the operator listed, and to no others.

A purpose and a URL come in, such as ``keys`` and ``https://login.example/jwks``; a small answer goes out.
A name is resolved once, every address it has is checked, and the connection goes to the address that was checked,
so that a name which changes its mind between the two reaches nothing.
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

__all__ = ["Answer", "Origin", "Outbound", "Resolve", "resolve"]

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_REDIRECTS = 3
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HINT = "the operator lists addresses that may be reached, in the setting that names the provider"


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
            raise _refused(url, "it is no URL") from wrong
        host = parts.host.lower().rstrip(".")
        if parts.scheme not in ("https", "http") or not host or parts.userinfo or parts.fragment:
            raise _refused(url, "it is no plain https URL")
        if parts.scheme == "http" and not _names_loopback(host):
            raise _refused(url, "it is not https, and not on loopback")
        return cls(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Outbound:
    """Requests to listed origins.

    ``allowed`` lists, for each purpose, the origins it may reach, such as ``{"keys": ["https://login.example"]}``.
    ``networks`` are networks beyond the public internet in which a listed name may lie, such as ``10.1.0.0/16``; an
    origin whose host is an address, or ``localhost``, is listed by being written.
    ``authority`` is a PEM file of certificates to trust instead of the system's.
    ``seconds`` bounds a whole request, ``max_bytes`` the body of its answer.
    """

    def __init__(
        self,
        allowed: Mapping[str, Sequence[str]],
        *,
        networks: Sequence[str] = (),
        authority: Path | None = None,
        seconds: float = 10.0,
        max_bytes: int = 1024 * 1024,
        resolver: Resolve = resolve,
    ) -> None:
        self._allowed = {purpose: frozenset(map(Origin.parse, urls)) for purpose, urls in allowed.items()}
        try:
            self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        except ValueError as wrong:
            raise ConfigurationError("INVALID_CONFIG", f"{wrong}", hint="write a network as 10.1.0.0/16") from wrong
        self._authority = authority
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._resolve = resolver
        self._trust: ssl.SSLContext | None = None

    async def get(self, purpose: str, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a URL; redirects are followed within its own origin, three at most.

        Raises INVALID_CONFIG for what is not listed, DEPENDENCY_UNAVAILABLE for what does not answer in time and size.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._following(purpose, url, headers or {})
        except TimeoutError as late:
            raise _unreachable(url, "no answer in time") from late

    async def post(
        self,
        purpose: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a form, or bytes; a redirect is an answer like any other and is not followed. Raises as `get` does."""
        import httpx

        body = {"data": dict(form)} if form is not None else {"content": content}
        try:
            async with asyncio.timeout(self._seconds):
                checked = await self._checked(purpose, url)
                return await self._send(checked, httpx.Request("POST", url, headers=dict(headers or {}), **body))
        except TimeoutError as late:
            raise _unreachable(url, "no answer in time") from late

    async def _following(self, purpose: str, url: str, headers: Mapping[str, str]) -> Answer:
        import httpx

        start = Origin.parse(url)
        for _ in range(_REDIRECTS + 1):
            checked = await self._checked(purpose, url)
            answer = await self._send(checked, httpx.Request("GET", url, headers=dict(headers)))
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = str(httpx.URL(url).join(answer.headers.get("location", "")))
            if Origin.parse(url) != start:
                raise _refused(url, "a redirect leads to another origin")
        raise _unreachable(url, "too many redirects")

    async def _checked(self, purpose: str, url: str) -> str:
        """The one address that this URL may be fetched from, now."""
        origin = Origin.parse(url)
        if origin not in self._allowed.get(purpose, frozenset()):
            raise _refused(url, f"its origin is not listed for {purpose!r}")
        try:
            found = [_address(text) for text in await self._resolve(origin.host, origin.port)]
        except (OSError, ValueError, UnicodeError) as failed:
            raise _unreachable(url, f"its name has no address: {failed}") from failed
        if not found:
            raise _unreachable(url, "its name has no address")
        literal = _literal(origin.host)
        for address in found:
            if not self._may_reach(address, origin=origin, literal=literal):
                raise _refused(url, f"it leads to {address}, which is not public and not listed")
        return str(found[0])

    def _may_reach(self, address: Address, *, origin: Origin, literal: Address | None) -> bool:
        if literal is not None or _names_loopback(origin.host):  # the operator wrote the address itself
            return address == literal or (literal is None and address.is_loopback)
        inner = _embedded(address)
        if any(inner in network for network in self._networks if network.version == inner.version):
            return True
        return inner.is_global and not inner.is_multicast and not inner.is_reserved

    async def _send(self, address: str, request: httpx.Request) -> Answer:
        import httpx

        host = request.url.host
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
                    return await self._read(response, host)
                finally:
                    await response.aclose()
        except httpx.HTTPError as failed:
            raise _unreachable(host, f"{type(failed).__name__}: {failed}") from failed

    async def _read(self, response: httpx.Response, host: str) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _unreachable(host, "the answer is compressed, which was not asked for")
        body = bytearray()
        async for part in response.aiter_raw(64 * 1024):
            body += part
            if len(body) > self._max_bytes:
                raise _unreachable(host, f"the answer has more than {self._max_bytes} bytes")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body))

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context(cafile=self._authority)
            self._trust.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._trust


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


def _refused(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG", f"{_shown(url)!r} may not be reached", ran="no", hint=_HINT, detail=f"{_shown(url)}: {why}"
    )


def _unreachable(url: str, why: str) -> ExecutionError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE", f"{_shown(url)!r} cannot be used now", ran="no", detail=f"{_shown(url)}: {why}"
    )


def _shown(url: str) -> str:
    """A URL for messages: without its query, which may hold a secret."""
    return url.partition("?")[0][:200]
