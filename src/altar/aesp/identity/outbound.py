"""The one way out of a host, by the rules of `altar.later.reaching`: to addresses that the operator listed.

A purpose and a URL come in, such as ``keys`` and ``https://login.example/jwks``; a small answer goes out.
Why something is not reached stands in the detail of an error, which goes to the operator's log: it says what lies
inside of a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.later.reaching import Answer, Origin, Resolve, Way, Words, resolve, shown

__all__ = ["Answer", "Origin", "Outbound", "Resolve", "resolve"]

_REDIRECTS = 3
_HINT = "the operator lists addresses that may be reached, in the setting that names the provider"


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
        self._seconds = seconds
        self._way = Way(
            Words(_refused, _unreachable, _too_much),
            networks=networks,
            authority=authority,
            seconds=seconds,
            max_bytes=max_bytes,
            resolver=resolver,
        )

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
                request = httpx.Request("POST", url, headers=dict(headers or {}), **body)
                return await self._way.exchange(checked, request, url=url)
        except TimeoutError as late:
            raise _unreachable(url, "no answer in time") from late

    async def _following(self, purpose: str, url: str, headers: Mapping[str, str]) -> Answer:
        import httpx

        start = Origin.parse(url)
        for _ in range(_REDIRECTS + 1):
            checked = await self._checked(purpose, url)
            answer = await self._way.exchange(checked, httpx.Request("GET", url, headers=dict(headers)), url=url)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = str(httpx.URL(url).join(answer.headers.get("location", "")))
            if Origin.parse(url) != start:
                raise _refused(url, "a redirect leads to another origin")
        raise _unreachable(url, "too many redirects")

    async def _checked(self, purpose: str, url: str) -> str:
        """The one address that this URL may be fetched from, now."""
        listed = self._allowed.get(purpose, frozenset())
        return await self._way.checked(url, listed, why=f"its origin is not listed for {purpose!r}")


def _refused(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG", f"{shown(url)!r} may not be reached", ran="no", hint=_HINT, detail=f"{shown(url)}: {why}"
    )


def _unreachable(url: str, why: str) -> ExecutionError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE", f"{shown(url)!r} cannot be used now", ran="no", detail=f"{shown(url)}: {why}"
    )


def _too_much(url: str, limit: int) -> ExecutionError:
    return _unreachable(url, f"the answer has more than {limit} bytes")
