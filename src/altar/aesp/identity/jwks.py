"""The public keys of an issuer, kept in memory: a key id goes in, a key or a refusal comes out.

One fetch serves everybody who waits for it, an unknown key id leads to at most one fetch per cooldown, and keys that
were good go on being good for a day while their issuer cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ExecutionError
from altar.aesp.identity.jose import key_from_jwk
from altar.aesp.identity.login import not_accepted

if TYPE_CHECKING:
    from altar.aesp.identity.jose import Key

__all__ = ["COOLDOWN", "STALE", "TTL", "Jwks"]

_log = logging.getLogger("altar.aesp")

TTL = 300.0
"""Seconds after which keys are fetched again when somebody asks."""

COOLDOWN = 5.0
"""Seconds between two fetches, whatever is asked; a key that was rotated in is known after this time at the latest."""

STALE = 86_400.0
"""Seconds that keys are used while their issuer cannot be reached; then nothing of it is believed any more."""

_MOST_KEYS = 64

Fetch: TypeAlias = Callable[[], Awaitable[bytes]]


class Jwks:
    """The key set of one issuer.

    ``fetch`` brings the JSON document; it raises an AltarError when it cannot.
    ``clock`` is monotonic, in seconds. Belongs to one event loop.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], float],
        ttl: float = TTL,
        cooldown: float = COOLDOWN,
        stale: float = STALE,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._ttl, self._cooldown, self._stale = ttl, cooldown, stale
        self._keys: dict[str, Key] = {}
        self._good_at: float | None = None
        self._tried_at: float | None = None
        self._under_way: asyncio.Future[None] | None = None
        self.fetches = 0

    async def key(self, kid: str, *, algorithm: str) -> Key:
        """The key of that id, for that algorithm; without an id, the one key that fits when there is only one.

        Raises INVALID_CREDENTIALS when there is none, DEPENDENCY_UNAVAILABLE when no keys could be had at all.
        """
        now = self._clock()
        if self._good_at is None or now - self._good_at >= self._ttl:
            await self._refresh()
        found = self._find(kid, algorithm)
        if found is None:  # rotated in since, or made up: one more look, as the cooldown allows
            await self._refresh()
            found = self._find(kid, algorithm)
        if found is not None:
            return found
        if self._good_at is None:
            raise ExecutionError(
                "DEPENDENCY_UNAVAILABLE", "The keys of the identity provider cannot be had now", ran="no"
            )
        raise not_accepted("the token names no key of its issuer")

    def _find(self, kid: str, algorithm: str) -> Key | None:
        if self._good_at is None or self._clock() - self._good_at >= self._stale:
            self._good_at, self._keys = None, {}
            return None
        if kid:
            return self._keys.get(kid)
        fitting = [key for key in self._keys.values() if _fits(key, algorithm)]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Fetch the keys, or wait for who does; nothing when that was tried a moment ago."""
        if self._under_way is not None:
            await asyncio.shield(self._under_way)
            return
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < self._cooldown:
            return
        self._tried_at = now
        self._under_way = asyncio.get_running_loop().create_future()
        try:
            await self._take()
        finally:
            self._under_way.set_result(None)
            self._under_way = None

    async def _take(self) -> None:
        self.fetches += 1
        try:
            keys = _keys_in(await self._fetch())
        except AltarError as failed:
            _log.warning("keys of an issuer not refreshed", extra={"reason": failed.message, "detail": failed.detail})
            return
        self._keys, self._good_at = keys, self._clock()


def _keys_in(document: bytes) -> dict[str, Key]:
    """The usable keys of a key set by their id; those without an id are numbered with a blank before the number."""
    value: Any = parse(document, max_depth=8)
    listed = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ExecutionError("DEPENDENCY_UNAVAILABLE", "The key set of the identity provider is none", ran="no")
    keys: dict[str, Key] = {}
    for place, one in enumerate(listed):
        key = key_from_jwk(one) if isinstance(one, dict) else None
        if key is not None:
            kid = one.get("kid")
            keys.setdefault(kid if isinstance(kid, str) and kid else f" {place}", key)
    if not keys:
        raise ExecutionError("DEPENDENCY_UNAVAILABLE", "The identity provider has no usable key", ran="no")
    return keys


def _fits(key: Key, algorithm: str) -> bool:
    kinds = {"R": "RSA", "P": "RSA", "E": "OKP" if algorithm == "EdDSA" else "EC"}
    said = key.get("alg")
    return key.key_type == kinds[algorithm[0]] and said in (None, algorithm)
