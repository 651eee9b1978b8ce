"""The host's own tokens: a principal goes in, a short-lived access token and a refresh token come out, and back.

An access token is a JWT signed by the host; it is checked in memory, against what was revoked and who is still there.
A refresh token is opaque, kept as a digest only, and good for one use: the use gives a new one, and a second use of the
same one ends the whole family, because then two parties have it (RFC 9700 §4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError
from altar.aesp.identity.jose import MAX_TOKEN_BYTES, SKEW, check_audience, check_times, claims_of, signed_token, unread
from altar.aesp.identity.login import name_in, not_accepted
from altar.aesp.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.identity.refresh import RefreshTokens
    from altar.aesp.identity.token_keys import TokenKeys

__all__ = ["TOKEN_TYPE", "TokenPair", "Tokens"]

TOKEN_TYPE = "altar+jwt"  # noqa: S105 (a media type)
"""The ``typ`` of a host's token; no token of an identity provider has it, so neither passes for the other."""

_CACHED = 20_000
_LONGEST_SCOPES = 256


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login gives. ``expires`` is the end of the access token, in seconds since 1970."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires: float
    principal: Principal


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that was checked once: whose it is, and by what it can be revoked."""

    principal: Principal
    jti: str
    family: str


class Tokens:
    """Makes, checks, renews and revokes.

    ``issuer`` names the grid, and so does ``audience``: a token of another host fits neither.
    ``lifetime`` is that of an access token, in seconds; ``now`` is in seconds since 1970.
    """

    def __init__(
        self,
        keys: TokenKeys,
        refreshing: RefreshTokens,
        directory: Directory,
        *,
        issuer: str,
        audience: str,
        now: Callable[[], float],
        lifetime: float = 900.0,
    ) -> None:
        self._keys = keys
        self._refreshing = refreshing
        self._directory = directory
        self._issuer, self._audience = issuer, audience
        self._now = now
        self._lifetime = lifetime
        self._cache: OrderedDict[bytes, _Known] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Whose token this is, now. In memory: it never waits.

        Raises INVALID_CREDENTIALS for one that is not this grid's, has ended, was revoked, or whose principal is gone,
        in the same words.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise not_accepted("the token is too long")
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._cache.get(digest)
        if known is None:
            known = self._read(token)
            self._cache[digest] = known
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        principal = known.principal
        if self._now() >= principal.expires:
            self._cache.pop(digest, None)
            raise not_accepted("the token has expired")
        if not self.is_good(principal):
            raise not_accepted("the token was revoked, or its principal is gone")
        return principal

    def is_good(self, principal: Principal) -> bool:
        """Whether the token that proved a principal is not revoked, and the principal still there and active."""
        _, jti, family, issued_ms = principal.proof
        revoked = self._refreshing.revoked(principal.tenant)
        if jti in revoked or family in revoked:
            return False
        person = self._directory.principal(principal.id)
        return person is not None and person.active and int(issued_ms) >= round(person.not_before * 1000)

    async def issue(self, principal: Principal) -> TokenPair:
        """A pair for somebody who has just proved who they are; it begins a family of its own."""
        family = secrets.token_hex(16)
        refresh = await self._refreshing.begin(principal, family=family)
        return self._pair(principal, family=family, refresh=refresh)

    async def refresh(self, token: str) -> TokenPair:
        """A new pair for a refresh token, which is spent by that.

        Raises INVALID_CREDENTIALS for one that is unknown, ended, revoked or spent; a spent one ends its family.
        """
        principal, family, renewed, asked_ms = await self._refreshing.renew(token)
        person = self._directory.principal(principal.id)
        if person is None or not person.active or asked_ms < round(person.not_before * 1000):
            await self._refreshing.end(principal.tenant, family)
            raise not_accepted("the principal of the refresh token is gone")
        return self._pair(principal, family=family, refresh=renewed)

    async def revoke(self, token: str) -> str:
        """End the family of an access or refresh token; one that is none, or over, is no error (RFC 7009).

        Gives the tenant in which something was ended; empty when nothing was, so that nobody can write into a
        tenant's log with tokens that are none.
        """
        tenant = self._refreshing.tenant_of(token)
        if tenant:
            return tenant if await self._refreshing.end_by(token) else ""
        try:
            known = self._read(token)
        except AltarError:
            return ""
        ended = await self._refreshing.end(known.principal.tenant, known.family, jti=known.jti)
        return known.principal.tenant if ended else ""

    def jwks(self) -> dict[str, Any]:
        """The keys by which others can check these tokens, as a JSON Web Key Set."""
        return self._keys.jwks()

    def _pair(self, principal: Principal, *, family: str, refresh: str) -> TokenPair:
        access, expires = self._mint(principal, family=family)
        return TokenPair(access, refresh, expires, principal)

    def _mint(self, principal: Principal, *, family: str) -> tuple[str, float]:
        now = round(self._now(), 3)
        expires = float(int(min(now + self._lifetime, principal.expires)))
        kid, key = self._keys.signing()
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": principal.id,
            "tenant": principal.tenant,
            "kind": str(principal.kind),
            "by": principal.authenticated_by,
            "mfa": principal.mfa,
            "sid": family,
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": int(now),
            "exp": expires,
        }
        if principal.scopes is not None:
            claims["scopes"] = sorted(principal.scopes)
        return signed_token(key, claims, kid=kid, typ=TOKEN_TYPE), expires

    def _read(self, token: str) -> _Known:
        found = unread(token, algorithms=("EdDSA",))
        if found.typ != TOKEN_TYPE:
            raise not_accepted("the token is not one of a host")
        key = self._keys.verifying(found.kid)
        if key is None:
            raise not_accepted("the token is not signed by a key of this grid")
        claims = claims_of(found, key)
        if claims.get("iss") != self._issuer:
            raise not_accepted("the token is of another grid")
        check_audience(claims, self._audience)
        expires = check_times(claims, now=self._now(), skew=SKEW)
        return _known(claims, expires=expires)


def _known(claims: Mapping[str, Any], *, expires: float) -> _Known:
    """What the claims say; they are our own, so whatever does not fit is no token of ours."""
    try:
        principal, tenant, scopes = claims["sub"], claims["tenant"], claims.get("scopes")
        name_in(principal, tenant)
        if scopes is not None and (len(scopes) > _LONGEST_SCOPES or not all(isinstance(one, str) for one in scopes)):
            raise not_accepted("the scopes of the token are none")
        return _Known(
            Principal(
                id=principal,
                tenant=tenant,
                kind=PrincipalKind(claims["kind"]),
                authenticated_by=str(claims["by"]),
                expires=expires,
                scopes=None if scopes is None else frozenset(scopes),
                mfa=claims["mfa"] is True,
                proof=("token", str(claims["jti"]), str(claims["sid"]), str(round(claims["iat"] * 1000))),
            ),
            jti=str(claims["jti"]),
            family=str(claims["sid"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise not_accepted("the claims of the token are not those of a host") from wrong
