"""Requests of imported tools over HTTP, by the rules of `altar.later.reaching`: to listed origins, and to no others.

A request comes in; a status, headers and a whole body of bounded size go out.
No redirect is followed: it would leave what was listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.later.reaching import Answer, Origin, Resolve, Way, Words, resolve, shown

__all__ = ["Answer", "Origin", "Reach", "Resolve", "resolve", "shown"]

_HINT = "say which server the requests go to: from_openapi(…, server='https://…'), or list it: allowed=[…]"


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
        self.origins = frozenset(Origin.parse(url, hint=_HINT) for url in origins)
        self._seconds = seconds
        self._way = Way(
            Words(_may_not, _unreachable, _too_much),
            networks=networks,
            authority=authority,
            seconds=seconds,
            max_bytes=max_bytes,
            resolver=resolver,
        )

    def may(self, url: str) -> bool:
        """Whether requests to this URL's origin are listed."""
        return Origin.parse(url, hint=_HINT) in self.origins

    def beside(self, url: str) -> Reach:
        """The same, with the origin of this URL listed too."""
        other = Reach((), seconds=self._seconds)
        other.origins = self.origins | {Origin.parse(url, hint=_HINT)}
        other._way = self._way
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
        import httpx

        limit = self._seconds if seconds is None else max(0.0, min(seconds, self._seconds))
        sent = [(name.encode("ascii", "replace"), value.encode("latin-1")) for name, value in (headers or {}).items()]
        try:
            async with asyncio.timeout(limit):
                address = await self._way.checked(url, self.origins, why="its origin is not listed")
                request = httpx.Request(method.upper(), url, headers=sent, content=content or None)
                return await self._way.exchange(address, request, url=url)
        except TimeoutError as late:
            raise ExecutionError("TIMEOUT", f"{shown(url)!r} did not answer in {limit:g} seconds") from late


def _may_not(url: str, why: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", f"{shown(url)!r} may not be reached: {why}", ran="no", hint=_HINT)


def _unreachable(url: str, why: str) -> ExecutionError:
    return ExecutionError("DEPENDENCY_UNAVAILABLE", f"{shown(url)!r} cannot be used now", detail=f"{shown(url)}: {why}")


def _too_much(url: str, limit: int) -> ExecutionError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"The answer of {shown(url)!r} has more than {limit} bytes",
        ran="yes",
        hint="ask for less at a time",
    )
