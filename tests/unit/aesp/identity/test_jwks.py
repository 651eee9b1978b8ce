"""Tokens and key sets of an issuer, forged in every way; the issuer is a real server, the attacker has own keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.login import Credential, Login
from altar.aesp.identity.oidc import OidcConfiguration, OidcProvider
from altar.aesp.identity.outbound import Outbound
from tests.unit.aesp.identity.serving import Said, Site, site
from tests.unit.aesp.identity.world import START, Clock


@dataclass
class Issuer:
    """An issuer with one RSA key and one of an elliptic curve, as its operator would run it."""

    site: Site
    rsa: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"}))
    ec: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"}))

    def publish(self, *keys: dict[str, Any]) -> None:
        told = {"issuer": self.site.origin, "jwks_uri": f"{self.site.origin}/jwks"}
        listed = keys or (self.rsa.as_dict(private=False), self.ec.as_dict(private=False))
        self.site.pages["/.well-known/openid-configuration"] = Said(json.dumps(told).encode())
        self.site.pages["/jwks"] = Said(json.dumps({"keys": listed}).encode())

    def claims(self, **changed: Any) -> dict[str, Any]:
        said = {
            "iss": self.site.origin,
            "aud": "altar",
            "sub": "sub-1",
            "preferred_username": "carol",
            "iat": int(START),
            "exp": int(START) + 300,
            "nonce": "n",
            "groups": ["engineering"],
        }
        return {name: value for name, value in (said | changed).items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
        head = {"alg": "ES256", "kid": "ec"} | (header or {})
        return signed(head, json.dumps(self.claims(**changed)).encode(), key or self.ec)

    @property
    def fetches(self) -> int:
        return self.site.asked.count("/jwks")


def signed(head: dict[str, Any], body: bytes, key: Any) -> str:
    text = f"{encoded(json.dumps(head).encode())}.{encoded(body)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = jws.JWSRegistry.algorithms[head["alg"]].sign(text.encode(), key)
    return f"{text}.{encoded(signature)}"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def keys() -> tuple[RSAKey, ECKey]:
    made = Issuer(Site(0))
    return made.rsa, made.ec


@pytest.fixture
def issuer(keys: tuple[RSAKey, ECKey]) -> Iterator[Issuer]:
    with site() as started:
        made = Issuer(started, *keys)
        made.publish()
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def provider(issuer: Issuer, clock: Clock, **changed: Any) -> OidcProvider:
    said: dict[str, Any] = {"name": "corp", "issuer": issuer.site.origin, "audience": "altar", "tenant": "acme"}
    return OidcProvider(
        OidcConfiguration(**(said | changed)), Outbound({"oidc": [issuer.site.origin]}), now=clock, clock=clock
    )


async def taken(issuer: Issuer, clock: Clock, token: str, **changed: Any) -> Login:
    return await provider(issuer, clock, **changed).authenticate(Credential(token, nonce="n"))


async def refused(issuer: Issuer, clock: Clock, token: str, **changed: Any) -> str:
    with pytest.raises(AuthorizationError) as caught:
        await taken(issuer, clock, token, **changed)
    assert ("INVALID_CREDENTIALS", "The credentials were not accepted") == (caught.value.code, caught.value.message)
    return caught.value.detail or ""


async def test_a_good_token_is_a_login(issuer: Issuer, clock: Clock) -> None:
    login = await taken(issuer, clock, issuer.token())

    assert ("sub-1", "carol", "acme", ("engineering",)) == (login.subject, login.name, login.tenant, login.groups)
    assert (
        "carol"
        == (await taken(issuer, clock, issuer.token(header={"alg": "RS256", "kid": "rsa"}, key=issuer.rsa))).name
    )


async def test_alg_none_is_refused(issuer: Issuer, clock: Clock) -> None:
    _, body, _ = issuer.token().split(".")
    for algorithm in ("none", "NONE", "nOnE"):
        forged = f"{encoded(json.dumps({'alg': algorithm, 'kid': 'ec'}).encode())}.{body}."
        assert "pinned" in await refused(issuer, clock, forged)


async def test_the_public_rsa_key_as_the_secret_of_hs256_is_refused(issuer: Issuer, clock: Clock) -> None:
    for secret in (issuer.rsa.as_pem(private=False), json.dumps(issuer.rsa.as_dict(private=False)).encode()):
        text = issuer.token(header={"alg": "ES256"}).rsplit(".", 1)[0].split(".")[1]
        head = encoded(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
        mac = hmac.new(secret, f"{head}.{text}".encode(), hashlib.sha256).digest()
        assert "pinned" in await refused(issuer, clock, f"{head}.{text}.{encoded(mac)}")


async def test_hs256_cannot_be_pinned_at_all(issuer: Issuer, clock: Clock) -> None:
    for algorithms in (("HS256",), ("none",), ()):
        with pytest.raises(AltarError, match="algorithms"):
            provider(issuer, clock, algorithms=algorithms)


async def test_an_algorithm_that_another_issuer_may_use_is_refused_for_this_one(issuer: Issuer, clock: Clock) -> None:
    assert "pinned" in await refused(issuer, clock, issuer.token(), algorithms=("RS256",))


async def test_a_key_of_another_kind_than_the_algorithm_is_refused(issuer: Issuer, clock: Clock) -> None:
    crossed = issuer.token(header={"alg": "ES256", "kid": "rsa"})
    assert "does not fit" in await refused(issuer, clock, crossed)

    wide = ECKey.generate_key("P-384", {"kid": "ec"})
    issuer.publish(wide.as_dict(private=False))
    head, body, _ = issuer.token().split(".")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(wide.raw_value.sign(f"{head}.{body}".encode(), ECDSA(hashes.SHA256())))  # type: ignore[union-attr]  # it is the private one
    forged = encoded(r.to_bytes(48, "big") + s.to_bytes(48, "big"))
    await refused(issuer, clock, f"{head}.{body}.{forged}")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": ["altar", "another"]}, "azp"),
        ({"aud": ["altar", "another"], "azp": "another"}, "azp"),
        ({"azp": "another"}, "azp"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"exp": int(START) - 61}, "expired"),
        ({"exp": None}, "no end"),
        ({"exp": "tomorrow"}, "no time"),
        ({"exp": 1e400}, "claims"),
        ({"nbf": int(START) + 61}, "future"),
        ({"iat": int(START) + 61}, "future"),
        ({"iat": int(START) - 4000}, "too old"),
        ({"iat": None}, "too old"),
        ({"nonce": "other"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"sub": ""}, "no subject"),
        ({"sub": 7}, "no text"),
        ({"sub": "x" * 256}, "too long"),
        ({"groups": {"admin": True}}, "no list"),
        ({"groups": [1]}, "no list"),
        ({"groups": ["g"] * 1001}, "no list"),
    ],
)
async def test_a_genuine_token_with_wrong_claims_is_refused(
    issuer: Issuer, clock: Clock, changed: dict[str, Any], why: str
) -> None:
    assert why in await refused(issuer, clock, issuer.token(**changed))


async def test_clocks_may_differ_by_a_minute(issuer: Issuer, clock: Clock) -> None:
    for token in (
        issuer.token(exp=int(START) - 59),
        issuer.token(nbf=int(START) + 59),
        issuer.token(iat=int(START) + 59),
    ):
        assert "carol" == (await taken(issuer, clock, token)).name


async def test_duplicate_claims_are_refused(issuer: Issuer, clock: Clock) -> None:
    body = json.dumps(issuer.claims())[:-1] + ', "sub": "admin"}'
    token = signed({"alg": "ES256", "kid": "ec"}, body.encode(), issuer.ec)

    assert "'sub'" in await refused(issuer, clock, token)


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u"])
async def test_a_key_that_a_token_brings_is_not_used_and_not_fetched(issuer: Issuer, clock: Clock, member: str) -> None:
    own = ECKey.generate_key("P-256", {"kid": "ec"})
    with site() as evil:
        evil.pages["/jwks"] = Said(json.dumps({"keys": [own.as_dict(private=False)]}).encode())
        brought = own.as_dict(private=False) if member == "jwk" else f"{evil.origin}/jwks"

        assert "signature" in await refused(issuer, clock, issuer.token(header={member: brought}, key=own))
        assert [] == evil.asked


async def test_extensions_that_must_be_understood_are_not(issuer: Issuer, clock: Clock) -> None:
    assert "crit" in await refused(issuer, clock, issuer.token(header={"crit": ["b64"], "b64": False}))


async def test_a_huge_token_is_refused_before_any_fetch(issuer: Issuer, clock: Clock) -> None:
    assert "more than" in await refused(issuer, clock, issuer.token(padding="x" * 20_000))
    assert 0 == issuer.fetches


async def test_a_thousand_unknown_keys_cost_two_fetches(issuer: Issuer, clock: Clock) -> None:
    checking = provider(issuer, clock)
    await checking.authenticate(Credential(issuer.token(), nonce="n"))
    clock.at += 5
    for number in range(1000):
        with pytest.raises(AuthorizationError):
            await checking.authenticate(Credential(issuer.token(header={"kid": f"made-up-{number}"}), nonce="n"))

    assert 2 == issuer.fetches


async def test_a_hundred_that_wait_share_one_fetch(issuer: Issuer, clock: Clock) -> None:
    checking = provider(issuer, clock)
    logins = await asyncio.gather(
        *(checking.authenticate(Credential(issuer.token(jti=str(n)), nonce="n")) for n in range(100))
    )

    assert 100 == len(logins)
    assert 1 == issuer.fetches


async def test_a_rotated_key_is_picked_up_and_a_withdrawn_one_dropped(issuer: Issuer, clock: Clock) -> None:
    checking = provider(issuer, clock)
    await checking.authenticate(Credential(issuer.token(), nonce="n"))
    fresh = ECKey.generate_key("P-256", {"kid": "new"})
    issuer.publish(fresh.as_dict(private=False))
    clock.at += 5

    token = issuer.token(header={"kid": "new"}, key=fresh)
    assert "carol" == (await checking.authenticate(Credential(token, nonce="n"))).name
    with pytest.raises(AuthorizationError):
        await checking.authenticate(Credential(issuer.token(), nonce="n"))


async def test_good_keys_stay_while_the_issuer_answers_nonsense(issuer: Issuer, clock: Clock) -> None:
    checking = provider(issuer, clock)
    await checking.authenticate(Credential(issuer.token(), nonce="n"))
    for nonsense in (Said(b"<html>"), Said(b"{}"), Said(b'{"keys": []}'), Said(status=500), Said(b"x" * 2_000_000)):
        issuer.site.pages["/jwks"] = nonsense
        clock.at += 301
        token = issuer.token(exp=int(clock.at) + 60, iat=int(clock.at))
        assert "carol" == (await checking.authenticate(Credential(token, nonce="n"))).name
    assert 6 == issuer.fetches


@pytest.mark.parametrize("kind", ["oct", "small", "private", "encryption", "curve"])
async def test_a_key_that_may_not_check_signatures_is_not_taken(issuer: Issuer, clock: Clock, kind: str) -> None:
    keys: dict[str, dict[str, Any]] = {
        "oct": OctKey.generate_key(256, {"kid": "ec"}).as_dict(),
        "small": WEAK_RSA,
        "private": issuer.ec.as_dict(private=True),
        "encryption": issuer.ec.as_dict(private=False) | {"use": "enc"},
        "curve": OKPKey.generate_key("X25519", {"kid": "ec"}).as_dict(private=False),
    }
    issuer.publish(keys[kind])

    with pytest.raises(AltarError) as caught:
        await taken(issuer, clock, issuer.token())
    assert "DEPENDENCY_UNAVAILABLE" == caught.value.code


async def test_without_a_key_id_the_only_key_that_fits_is_meant(issuer: Issuer, clock: Clock) -> None:
    assert "carol" == (await taken(issuer, clock, issuer.token(header={"kid": ""}))).name
    issuer.publish(issuer.ec.as_dict(private=False), ECKey.generate_key("P-256", {"kid": "two"}).as_dict(private=False))
    assert "no key" in await refused(issuer, clock, issuer.token(header={"kid": ""}))


async def test_a_key_set_elsewhere_than_listed_is_not_fetched(issuer: Issuer, clock: Clock) -> None:
    """SSRF through discovery: the issuer's document leads to another address of this machine."""
    with site() as inside:
        inside.pages["/jwks"] = Said(json.dumps({"keys": [issuer.ec.as_dict(private=False)]}).encode())
        told = {"issuer": issuer.site.origin, "jwks_uri": f"{inside.origin}/jwks"}
        issuer.site.pages["/.well-known/openid-configuration"] = Said(json.dumps(told).encode())

        with pytest.raises(AltarError) as caught:
            await taken(issuer, clock, issuer.token())

        assert "DEPENDENCY_UNAVAILABLE" == caught.value.code
        assert [] == inside.asked


async def test_a_tenant_is_chosen_by_a_claim_only_where_that_is_configured_and_listed(
    issuer: Issuer, clock: Clock
) -> None:
    claimed = issuer.token(tenant="other", org="org-7")
    assert "acme" == (await taken(issuer, clock, claimed)).tenant

    by_claim: dict[str, Any] = {"tenant": "", "tenant_claim": "org", "tenants": {"org-7": "other"}}
    assert "other" == (await taken(issuer, clock, claimed, **by_claim)).tenant
    assert "tenant" in await refused(issuer, clock, issuer.token(org="org-8"), **by_claim)
    assert "tenant" in await refused(issuer, clock, issuer.token(), **by_claim)


async def test_an_access_token_is_no_id_token_by_its_type(issuer: Issuer, clock: Clock) -> None:
    assert "type" in await refused(issuer, clock, issuer.token(header={"typ": "at+jwt"}))
    assert "type" in await refused(issuer, clock, issuer.token(header={"typ": "application/logout+jwt"}))
    assert "type" in await refused(issuer, clock, issuer.token(header={"typ": "JWT"}), kind="access_token")
    assert (
        "carol"
        == (await taken(issuer, clock, issuer.token(header={"typ": "application/at+jwt"}), kind="access_token")).name
    )


def _weak_rsa() -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import rsa

    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {
        "kty": "RSA",
        "kid": "ec",
        "n": encoded(numbers.n.to_bytes(128, "big")),
        "e": encoded(numbers.e.to_bytes(3, "big")),
    }


WEAK_RSA = _weak_rsa()
