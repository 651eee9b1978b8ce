"""The host's own tokens, attacked: whatever is changed in one, it is refused in the same words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.jose import signed_token
from altar.aesp.identity.token_keys import TokenKeys
from altar.aesp.identity.tokens import TOKEN_TYPE
from altar.aesp.store.people import delete_principal
from tests.unit.aesp.identity.world import World, alice, world_at


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(f"sqlite:///{tmp_path}/store.db", tmp_path / "keys") as made:
        yield made


def refused(world: World, token: str) -> str:
    """Why a token is refused, for the log; the caller is told the same words each time."""
    with pytest.raises(AuthorizationError) as caught:
        world.tokens.verify(token)
    assert (caught.value.code, caught.value.message) == ("INVALID_CREDENTIALS", "The credentials were not accepted")
    return caught.value.detail or ""


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, body, _ = token.split(".")
    return json.loads(unpadded(head)), json.loads(unpadded(body))


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def again(world: World, token: str, **changed: Any) -> str:
    """The same token with other claims, signed by the real key."""
    _, claims = parts(token)
    kid, key = world.token_keys.signing()
    return signed_token(
        key,
        {name: value for name, value in (claims | changed).items() if value is not None},
        kid=kid,
        typ=TOKEN_TYPE,
    )


async def test_a_token_names_its_principal_until_it_ends(world: World) -> None:
    pair = await world.tokens.issue(alice())

    assert "acme/alice" == world.tokens.verify(pair.access_token).id
    assert world.clock.at + 900 == pair.expires

    world.clock.at += 900
    assert "expired" in refused(world, pair.access_token)


async def test_a_token_never_outlives_what_it_was_given_for(world: World) -> None:
    pair = await world.tokens.issue(alice(expires=world.clock.at + 60))

    assert world.clock.at + 60 == pair.expires


async def test_neither_tokens_nor_their_secrets_are_shown_by_a_pair(world: World) -> None:
    pair = await world.tokens.issue(alice())

    assert pair.access_token not in repr(pair)
    assert pair.refresh_token not in repr(pair)


async def test_alg_none_is_refused(world: World) -> None:
    pair = await world.tokens.issue(alice())
    _, body, _ = pair.access_token.split(".")

    for algorithm in ("none", "None", "nOnE", ""):
        forged = f"{encoded({'alg': algorithm, 'typ': TOKEN_TYPE})}.{body}."
        assert "not one that was pinned" in refused(world, forged)


async def test_the_public_key_as_a_shared_secret_is_refused(world: World) -> None:
    pair = await world.tokens.issue(alice())
    head, body = parts(pair.access_token)
    _, key = world.token_keys.signing()
    for secret in (key.as_pem(private=False), unpadded(str(key.as_dict(private=False)["x"]))):
        signed = f"{encoded(head | {'alg': 'HS256'})}.{encoded(body)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        assert "not one that was pinned" in refused(world, f"{signed}.{encoded(mac)}")


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "kid"])
async def test_a_key_that_the_token_brings_itself_is_not_used(world: World, member: str) -> None:
    pair = await world.tokens.issue(alice())
    head, body = parts(pair.access_token)
    own = OKPKey.generate_key("Ed25519")
    brought = {
        "jwk": own.as_dict(private=False),
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/cert",
        "x5c": ["MII="],
        "kid": "../../etc/passwd",
    }
    signed = f"{encoded(head | {'alg': 'EdDSA', member: brought[member]})}.{encoded(body)}"
    signature = own.raw_value.sign(signed.encode())  # type: ignore[union-attr]

    assert "key" in refused(world, f"{signed}.{encoded(signature)}")


async def test_a_changed_claim_breaks_the_signature(world: World) -> None:
    pair = await world.tokens.issue(alice())
    head, _, signature = pair.access_token.split(".")
    changed = encoded(parts(pair.access_token)[1] | {"sub": "acme/bob"})

    assert "signature" in refused(world, f"{head}.{changed}.{signature}")


async def test_another_text_of_the_same_token_is_refused(world: World) -> None:
    """The last character of base64url has spare bits: a token has one text, or a deny list could be walked around."""
    token = (await world.tokens.issue(alice())).access_token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]

    assert unpadded(token.split(".")[2]) == unpadded(other.split(".")[2])
    assert "canonical" in refused(world, other)
    assert "base64url" in refused(world, token + "=")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "altar.local/host-2"}, "another grid"),
        ({"aud": "altar.local/host-2"}, "audience"),
        ({"aud": ["altar.local/host-1", "evil"]}, "audience"),
        ({"exp": None}, "no end"),
        ({"exp": "9999999999"}, "no time"),
        ({"exp": True}, "no time"),
        ({"exp": 1.0}, "expired"),
        ({"nbf": 1_800_000_500}, "future"),
        ({"iat": 1_800_000_500}, "future"),
        ({"sub": "other/alice"}, "another tenant"),
        ({"tenant": "other"}, "another tenant"),
        ({"kind": "root"}, "not those of a host"),
        ({"scopes": [1]}, "scopes"),
        ({"jti": None}, "not those of a host"),
    ],
)
async def test_a_token_of_our_own_key_with_wrong_claims_is_refused(
    world: World, claims: dict[str, Any], why: str
) -> None:
    pair = await world.tokens.issue(alice())

    assert why in refused(world, again(world, pair.access_token, **claims))


async def test_a_clock_that_is_a_minute_off_does_no_harm_and_two_do(world: World) -> None:
    pair = await world.tokens.issue(alice())
    world.clock.at -= 59
    assert "acme/alice" == world.tokens.verify(pair.access_token).id

    second = World(world.url, world.keys_at, clock=world.clock)
    world.clock.at -= 60
    try:
        assert "future" in refused(second, pair.access_token)
    finally:
        second.store.close()


async def test_duplicate_claims_are_refused(world: World) -> None:
    kid, key = world.token_keys.signing()
    head = encoded({"alg": "EdDSA", "typ": TOKEN_TYPE, "kid": kid})
    _, claims = parts((await world.tokens.issue(alice())).access_token)
    text = json.dumps(claims)[:-1] + ', "sub": "acme/bob"}'
    signed = f"{head}.{encoded(text.encode())}"

    forged = f"{signed}.{encoded(key.raw_value.sign(signed.encode()))}"  # type: ignore[union-attr]

    assert "claims of the token" in refused(world, forged)


async def test_a_huge_token_is_refused_before_anything_is_done_with_it(world: World) -> None:
    assert "too long" in refused(world, "a" * (16 * 1024 + 1))
    assert "three parts" in refused(world, "." * 5)
    assert "header" in refused(world, f"{encoded(b'[' * 8000)}.{encoded({})}.AA")


async def test_a_token_of_an_identity_provider_type_is_refused(world: World) -> None:
    """Even one signed by our own key: the kinds of tokens never stand in for one another."""
    _, claims = parts((await world.tokens.issue(alice())).access_token)
    kid, key = world.token_keys.signing()

    for typ in ("JWT", "at+jwt", ""):
        assert "not one of a host" in refused(world, signed_token(key, claims, kid=kid, typ=typ))


async def test_a_token_of_another_host_is_refused(world: World, tmp_path: Path) -> None:
    other = World(world.url, tmp_path / "other keys", clock=world.clock, issuer="altar.local/host-2")
    try:
        foreign = (await other.tokens.issue(alice())).access_token
        assert "not signed by a key of this grid" in refused(world, foreign)
    finally:
        other.store.close()


async def test_the_token_of_a_deactivated_principal_is_refused_at_once(world: World) -> None:
    pair = await world.tokens.issue(alice())
    world.tokens.verify(pair.access_token)

    await world.deactivate("alice")

    assert "gone" in refused(world, pair.access_token)
    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(pair.refresh_token)


async def test_after_logging_out_neither_token_is_good(world: World) -> None:
    for which in ("access_token", "refresh_token"):
        pair = await world.tokens.issue(alice())
        world.tokens.verify(pair.access_token)

        await world.tokens.revoke(getattr(pair, which))

        assert "revoked" in refused(world, pair.access_token)
        with pytest.raises(AuthorizationError):
            await world.tokens.refresh(pair.refresh_token)


async def test_revoking_what_is_no_token_is_no_error(world: World) -> None:
    for text in ("", "a.b.c", "refresh~acme~none", "refresh~nobody~none"):
        await world.tokens.revoke(text)


async def test_only_what_was_really_ended_is_noted(world: World) -> None:
    """Nobody writes into a tenant's log with tokens that are none, nor twice with one that was."""
    pair = await world.tokens.issue(alice())

    for text in ("refresh~acme~made-up", "refresh~acme~", "a.b.c", pair.access_token + "x"):
        await world.sign_in.revoke(text)
    assert [] == world.noted
    for text in (pair.refresh_token, pair.refresh_token, pair.access_token):
        await world.sign_in.revoke(text)
    assert [("auth.revoked", {"tenant": "acme"})] == world.noted


async def test_the_token_of_a_deleted_principal_is_refused_also_for_its_namesake(world: World) -> None:
    pair = await world.tokens.issue(alice())
    await world.store.run(lambda c: delete_principal(c, tenant="acme", name="alice"), tenant="acme")
    assert "gone" in refused(world, pair.access_token)

    world.clock.at += 1
    await world.person("alice")

    assert "gone" in refused(world, pair.access_token)
    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(pair.refresh_token)


async def test_a_revocation_is_known_to_the_other_hosts_of_the_store(world: World) -> None:
    other = World(world.url, world.keys_at, clock=world.clock)
    try:
        pair = await world.tokens.issue(alice())
        assert "acme/alice" == other.tokens.verify(pair.access_token).id

        await world.tokens.revoke(pair.refresh_token)
        other.store._look()  # what its watcher does ten times a second

        assert "revoked" in refused(other, pair.access_token)
    finally:
        other.store.close()


async def test_all_tokens_of_a_principal_can_be_revoked_and_new_ones_are_good(world: World) -> None:
    old = await world.tokens.issue(alice())

    await world.refreshing.end_all("acme/alice", tenant="acme")

    assert "revoked" in refused(world, old.access_token)
    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(old.refresh_token)
    world.clock.at += 0.002
    assert "acme/alice" == world.tokens.verify((await world.tokens.issue(alice())).access_token).id


async def test_a_rotated_key_goes_on_verifying_until_its_tokens_are_over(world: World) -> None:
    old = await world.tokens.issue(alice())

    world.clock.at += 1
    kid = world.token_keys.rotate()
    new = await world.tokens.issue(alice())

    assert kid == parts(new.access_token)[0]["kid"] != parts(old.access_token)[0]["kid"]
    assert {key["kid"] for key in world.tokens.jwks()["keys"]} >= {kid}
    assert 2 == len(world.tokens.jwks()["keys"])
    fresh = World(world.url, world.keys_at, clock=world.clock)
    try:
        assert "acme/alice" == fresh.tokens.verify(old.access_token).id
    finally:
        fresh.store.close()
    world.clock.at += 1201
    assert world.token_keys.verifying(parts(old.access_token)[0]["kid"]) is None
    world.token_keys.rotate()
    assert 2 == len(list(world.keys_at.glob("token-*.pem")))


async def test_another_host_learns_of_a_new_key_by_itself_and_looks_once_a_second(world: World) -> None:
    other = World(world.url, world.keys_at, clock=world.clock)
    try:
        world.clock.at += 5
        world.token_keys.rotate()
        pair = await world.tokens.issue(alice())
        assert "acme/alice" == other.tokens.verify(pair.access_token).id

        world.token_keys.rotate()
        assert other.token_keys.verifying(world.token_keys.signing()[0]) is None
        world.clock.at += 1
        assert other.token_keys.verifying(world.token_keys.signing()[0]) is not None
    finally:
        other.store.close()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, world: World) -> None:
    (file,) = world.keys_at.glob("token-*.pem")
    assert 0o600 == file.stat().st_mode & 0o777
    file.chmod(0o644)

    with pytest.raises(AltarError, match="can be read by others"):
        TokenKeys.open(world.keys_at, overlap=1.0, now=world.clock)


def test_a_file_that_holds_no_key_is_refused(world: World) -> None:
    (file,) = world.keys_at.glob("token-*.pem")
    file.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")

    with pytest.raises(AltarError, match="holds no Ed25519 key"):
        TokenKeys.open(world.keys_at, overlap=1.0, now=world.clock)
