"""OpenID Connect: a token of an enterprise's own issuer goes in, a login comes out.

Issuer, audience, algorithms and the names of claims are pinned by the configuration; the token chooses nothing.
An ID token proves a login once and is then spent; an access token (RFC 9068, ``typ`` at+jwt) stands for a program and
may be shown again until it ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.aesp.identity.jose import (
    ALGORITHMS,
    MAX_TOKEN_BYTES,
    SKEW,
    check_audience,
    check_times,
    claims_of,
    seconds_in,
    text_in,
    unread,
)
from altar.aesp.identity.jwks import Jwks
from altar.aesp.identity.login import MAX_GROUPS, Credential, Login, not_accepted, require_login
from altar.aesp.identity.outbound import Origin, Outbound

__all__ = ["Discovery", "OidcConfiguration", "OidcProvider", "discover"]

_MFA = frozenset({"mfa", "otp", "hwk", "swk", "sms", "fpt", "face", "sc"})
"""Methods of RFC 8176 that are a second factor, or say that there was one."""

_LONGEST_AGE = 3600.0
_KEPT = 3600.0


@dataclass(frozen=True, slots=True)
class OidcConfiguration:
    """What is pinned about one issuer.

    ``audience`` is the client id for ID tokens, the name of this grid for access tokens.
    ``tenant`` is the tenant of everybody who comes through it; ``tenant_claim`` and ``tenants`` (value of the claim →
    tenant) let one issuer serve several, and a value that is not listed is refused.
    ``name_claim`` and ``groups_claim`` say where the name and the groups are.
    ``kind`` says which tokens are taken: ``id_token`` or ``access_token``.
    """

    name: str
    issuer: str
    audience: str
    tenant: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    kind: Literal["id_token", "access_token"] = "id_token"
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    tenant_claim: str = ""
    tenants: Mapping[str, str] = field(default_factory=dict)

    def require(self) -> OidcConfiguration:
        """Give the configuration back when it can be used; INVALID_CONFIG otherwise."""
        unknown = set(self.algorithms) - ALGORITHMS
        if unknown or not self.algorithms:
            raise _wrong(self.name, f"algorithms {sorted(unknown)!r} may not be pinned", f"use {sorted(ALGORITHMS)}")
        if not self.issuer or not self.audience or not self.name:
            raise _wrong(self.name, "issuer, audience and name must be set", "take them from the provider's console")
        if bool(self.tenant) == bool(self.tenant_claim):
            raise _wrong(self.name, "it must have one of tenant and tenant_claim", "name the tenant it serves")
        Origin.parse(self.issuer)
        return self


@dataclass(frozen=True, slots=True)
class Discovery:
    """What an issuer says about itself (OpenID Connect Discovery 1.0 §3); an absent address is empty.

    ``says_issuer`` is whether it names itself in the answer to an authorization (RFC 9207).
    """

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    device_authorization_endpoint: str = ""
    challenge_methods: tuple[str, ...] = ()
    says_issuer: bool = False


async def discover(issuer: str, outbound: Outbound, *, purpose: str = "oidc") -> Discovery:
    """Fetch and check what an issuer says about itself.

    Raises INVALID_CONFIG when it calls itself by another name or leads elsewhere, DEPENDENCY_UNAVAILABLE when it does
    not answer properly.
    """
    answer = await outbound.get(purpose, issuer.rstrip("/") + "/.well-known/openid-configuration")
    try:
        document: Any = parse(answer.body) if answer.status == 200 else None
    except AltarError as broken:
        raise _no_document(issuer, broken.message) from broken
    if not isinstance(document, dict):
        raise _no_document(issuer, f"status {answer.status}")
    if document.get("issuer") != issuer:  # §4.3: they must be the same, character by character
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The issuer {issuer!r} calls itself by another name",
            ran="no",
            hint="write the issuer exactly as the provider does",
            detail=f"it says {str(document.get('issuer'))[:200]!r}",
        )
    names = ("jwks_uri", "authorization_endpoint", "token_endpoint", "device_authorization_endpoint")
    places = {name: str(document.get(name) or "") for name in names}
    for place in filter(None, places.values()):
        Origin.parse(place)
    if not places["jwks_uri"]:
        raise _no_document(issuer, "it has no jwks_uri")
    methods = document.get("code_challenge_methods_supported")
    return Discovery(
        issuer,
        **places,
        challenge_methods=tuple(map(str, methods)) if isinstance(methods, list) else (),
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


class OidcProvider:
    """One issuer, as a provider of logins.

    ``now`` is in seconds since 1970, ``clock`` monotonic. Belongs to one event loop.
    """

    def __init__(
        self,
        configuration: OidcConfiguration,
        outbound: Outbound,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        purpose: str = "oidc",
    ) -> None:
        self._of = configuration.require()
        self._outbound = outbound
        self._purpose = purpose
        self._now, self._clock = now, clock
        self._discovery: Discovery | None = None
        self._discovered_at = 0.0
        self.keys = Jwks(self._fetch_keys, clock=clock)

    @property
    def name(self) -> str:
        """Name of the provider in the configuration."""
        return self._of.name

    async def authenticate(self, credential: Credential) -> Login:
        """Check a token of this issuer; ``credential.nonce``, where given, must be the one in the token."""
        of = self._of
        token = unread(credential.secret, algorithms=of.algorithms, max_bytes=MAX_TOKEN_BYTES)
        wanted = ("at+jwt",) if of.kind == "access_token" else ("", "jwt")
        if token.typ not in wanted:
            raise not_accepted(f"a token of type {token.typ[:40]!r} is no {of.kind}")
        key = await self.keys.key(token.kid, algorithm=token.algorithm)
        claims = claims_of(token, key)
        if claims.get("iss") != of.issuer:
            raise not_accepted("the token is by another issuer")
        self._check_audience(claims)
        expires = check_times(claims, now=self._now(), skew=SKEW)
        if of.kind == "id_token":
            self._check_login(claims, credential)
        return self._login(claims, credential, expires=expires)

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        check_audience(claims, self._of.audience, only=False)
        others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if self._of.kind == "id_token" and (others or "azp" in claims) and claims.get("azp") != self._of.audience:
            raise not_accepted("the token was given to another party (azp)")

    def _check_login(self, claims: Mapping[str, Any], credential: Credential) -> None:
        issued = seconds_in(claims, "iat")
        if issued is None or self._now() - issued > _LONGEST_AGE:
            raise not_accepted("the ID token is too old for a login, or does not say how old it is")
        if credential.nonce and claims.get("nonce") != credential.nonce:
            raise not_accepted("the ID token belongs to another login (nonce)")

    def _login(self, claims: Mapping[str, Any], credential: Credential, *, expires: float) -> Login:
        of = self._of
        subject = text_in(claims, "sub", longest=255)
        tenant = of.tenant or of.tenants.get(text_in(claims, of.tenant_claim), "")
        if not subject or not tenant or credential.tenant not in ("", tenant):
            raise not_accepted("the token names no subject, or belongs to another tenant")
        mail = text_in(claims, "email")
        methods = claims.get("amr")
        spent = hashlib.sha256(credential.secret.encode()).hexdigest() if of.kind == "id_token" else ""
        return require_login(
            Login(
                provider=of.name,
                subject=subject,
                tenant=tenant,
                name=text_in(claims, of.name_claim) or subject,
                display=text_in(claims, "name"),
                email=mail if claims.get("email_verified") is not False else "",
                groups=_groups(claims, of.groups_claim),
                mfa=isinstance(methods, list) and any(str(one) in _MFA for one in methods),
                expires=expires,
                once=spent,
            )
        )

    async def _fetch_keys(self) -> bytes:
        if self._discovery is None or self._clock() - self._discovered_at >= _KEPT:
            self._discovery = await discover(self._of.issuer, self._outbound, purpose=self._purpose)
            self._discovered_at = self._clock()
        answer = await self._outbound.get(self._purpose, self._discovery.jwks_uri)
        if answer.status != 200:
            raise _no_document(self._of.issuer, f"its keys: status {answer.status}")
        return answer.body


def _groups(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    said = claims.get(name, [])
    groups: Collection[Any] = [said] if isinstance(said, str) else said
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(isinstance(one, str) for one in groups):
        raise not_accepted(f"the claim {name!r} is no list of at most {MAX_GROUPS} groups")
    return tuple(dict.fromkeys(filter(None, groups)))


def _wrong(name: str, why: str, hint: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", f"The identity provider {name!r} cannot be used: {why}", hint=hint)


def _no_document(issuer: str, why: str) -> ExecutionError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE", f"The issuer {issuer!r} does not answer as one", ran="no", detail=why
    )
