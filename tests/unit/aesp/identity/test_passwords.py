"""Local users: the same words and the same work whatever is wrong, and a wait that grows for whoever guesses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.aesp.identity.login import Credential
from altar.aesp.identity.passwords import one_time_password, require_password
from altar.aesp.store.tables import credentials
from tests.unit.aesp.identity.world import PASSWORD, World, world_at


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(f"sqlite:///{tmp_path}/store.db", tmp_path / "keys") as made:
        yield made


def shown(secret: str, *, name: str = "alice", **more: str) -> Credential:
    return Credential(secret=secret, name=name, tenant=more.pop("tenant", "acme"), **more)


async def refused(world: World, credential: Credential) -> AltarError:
    with pytest.raises(AltarError) as caught:
        await world.users.authenticate(credential)
    return caught.value


async def test_the_right_password_is_a_login(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")

    pair = await world.sign_in.authenticate("local", shown(PASSWORD))

    assert "acme/alice" == world.tokens.verify(pair.access_token).id
    assert ("auth.succeeded", "acme/alice") == (world.noted[-1][0], world.noted[-1][1]["principal"])


async def test_an_unknown_name_costs_the_same_work_and_gets_the_same_words(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")
    cases = [
        shown("wrong password"),
        shown("wrong password", name="nobody"),
        shown("wrong password", name="bob"),
        shown("wrong password", tenant="nowhere"),
        shown("wrong password", name="al/ice"),
    ]
    for number, credential in enumerate(cases, 1):
        error = await refused(world, credential)

        assert ("INVALID_CREDENTIALS", "The credentials were not accepted") == (error.code, error.message)
        assert number == world.users.verified


async def test_the_password_of_one_tenant_is_nothing_in_another(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")

    assert "INVALID_CREDENTIALS" == (await refused(world, shown(PASSWORD, tenant="other"))).code
    with pytest.raises(AuthorizationError):
        await world.users.set_password("acme/alice", PASSWORD, tenant="other")


async def test_a_deactivated_user_is_refused_with_the_right_password(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")
    await world.deactivate("alice")

    assert "INVALID_CREDENTIALS" == (await refused(world, shown(PASSWORD))).code


async def test_the_store_holds_an_argon2id_hash_and_no_password(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")

    (row,) = await world.store.run(lambda c: list(c.execute(select(credentials))), tenant="acme")

    assert row.secret.startswith("$argon2id$")
    assert PASSWORD not in repr(tuple(row))


async def test_whoever_guesses_waits_longer_and_longer(world: World) -> None:
    await world.users.set_password("acme/alice", PASSWORD, tenant="acme")
    for _ in range(5):
        assert "INVALID_CREDENTIALS" == (await refused(world, shown("wrong"))).code

    for wait in (1, 2, 4, 8):
        verified = world.users.verified
        held = await refused(world, shown(PASSWORD))
        assert ("RATE_LIMIT_EXCEEDED", wait) == (held.code, held.retry_after.total_seconds() if held.retry_after else 0)
        assert verified == world.users.verified
        world.clock.at += wait
        assert "INVALID_CREDENTIALS" == (await refused(world, shown("wrong"))).code

    world.clock.at += 300
    assert "alice" == (await world.users.authenticate(shown(PASSWORD))).subject
    assert "INVALID_CREDENTIALS" == (await refused(world, shown("wrong"))).code


async def test_a_name_that_is_not_there_waits_as_well(world: World) -> None:
    for _ in range(5):
        await refused(world, shown("wrong", name="nobody"))

    assert "RATE_LIMIT_EXCEEDED" == (await refused(world, shown("wrong", name="nobody"))).code
    assert "INVALID_CREDENTIALS" == (await refused(world, shown("wrong", name="bob"))).code


async def test_an_address_that_tries_many_names_waits(world: World) -> None:
    for number in range(20):
        await refused(world, shown("wrong", name=f"name-{number}", address="203.0.113.9"))

    assert "RATE_LIMIT_EXCEEDED" == (await refused(world, shown("wrong", name="fresh", address="203.0.113.9"))).code
    assert "INVALID_CREDENTIALS" == (await refused(world, shown("wrong", name="fresh", address="203.0.113.10"))).code


async def test_a_one_time_password_has_to_be_replaced_at_its_first_use(world: World) -> None:
    once = one_time_password()
    await world.users.set_password("acme/alice", once, tenant="acme", once=True)

    error = await refused(world, shown(once))
    assert "handing over" in error.message
    with pytest.raises(ValidationError):
        await world.users.authenticate(shown(once, new_secret="short"))
    await world.users.authenticate(shown(once, new_secret=PASSWORD))

    assert "INVALID_CREDENTIALS" == (await refused(world, shown(once))).code
    assert "alice" == (await world.users.authenticate(shown(PASSWORD))).subject


async def test_a_password_typed_on_another_keyboard_is_the_same(world: World) -> None:
    await world.users.set_password("acme/alice", "Zürich im Sömmer", tenant="acme")

    assert "alice" == (await world.users.authenticate(shown("Zu\u0308rich im So\u0308mmer"))).subject


@pytest.mark.parametrize(
    "password", ["", "short", "aaaaaaaaaaaaaaaa", "my alice is 7 years", "x" * 129, "abababababababab"]
)
def test_a_password_that_is_easily_guessed_is_refused_and_never_repeated(password: str) -> None:
    with pytest.raises(ValidationError) as caught:
        require_password(password, name="alice")

    assert not password or password not in caught.value.message


async def test_a_failed_sign_in_is_noted_without_the_secret(world: World) -> None:
    with pytest.raises(AuthorizationError):
        await world.sign_in.authenticate("local", shown("my secret guess"))
    with pytest.raises(AuthorizationError):
        await world.sign_in.authenticate("nonexistent", shown("my secret guess"))

    assert ["auth.failed", "auth.failed"] == [event for event, _ in world.noted]
    assert "my secret guess" not in repr(world.noted)
    assert "my secret guess" not in repr(shown("my secret guess"))
