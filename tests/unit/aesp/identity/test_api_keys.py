"""API keys: made, shown once, narrowed, rotated with overlap, revoked at once; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.aesp.store.tables import api_keys
from tests.unit.aesp.identity.world import World, world_at


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> Iterator[World]:
    with world_at(store_url, tmp_path / "keys") as made:
        yield made


def refused(world: World, text: str) -> str:
    with pytest.raises(AuthorizationError) as caught:
        world.keys.verify(text)
    assert ("INVALID_CREDENTIALS", "The credentials were not accepted") == (caught.value.code, caught.value.message)
    return caught.value.detail or ""


async def test_a_key_stands_for_its_principal_with_no_more_than_it_was_narrowed_to(world: World) -> None:
    whole = await world.keys.create("acme/alice", tenant="acme")
    narrow = await world.keys.create("acme/alice", tenant="acme", scopes=["tools/weather.*:execute"])

    assert ("acme/alice", None) == (world.keys.verify(whole.text).id, world.keys.verify(whole.text).scopes)
    assert frozenset({"tools/weather.*:execute"}) == world.keys.verify(narrow.text).scopes


async def test_a_key_is_shown_once_and_never_kept(world: World) -> None:
    new = await world.keys.create("acme/alice", tenant="acme", description="nightly")
    secret = new.text.rsplit("_", 1)[1]

    rows = await world.store.run(lambda c: [repr(tuple(row)) for row in c.execute(select(api_keys))], tenant="acme")

    assert rows
    assert all(secret not in row for row in rows)
    assert secret not in repr(new)
    assert secret not in repr(await world.keys.listed(tenant="acme"))


async def test_a_key_ends_when_it_was_told_to(world: World) -> None:
    new = await world.keys.create("acme/alice", tenant="acme", expires_ms=int(world.clock.at * 1000) + 60_000)

    assert world.clock.at + 60 == world.keys.verify(new.text).expires
    world.clock.at += 60
    assert "over" in refused(world, new.text)


async def test_a_wrong_secret_and_an_unknown_id_are_refused_alike(world: World) -> None:
    new = await world.keys.create("acme/alice", tenant="acme")

    for text in (new.text[:-1] + ("A" if new.text[-1] != "A" else "B"), f"altar_{'0' * 24}_{'A' * 43}"):
        assert "unknown" in refused(world, text)
    for text in ("altar_", "altar_x_y", new.text + "A", new.text + "\n", "a" * 100_000):
        assert "no API key" in refused(world, text)


async def test_a_revoked_key_is_refused_at_once_and_on_every_host(world: World) -> None:
    other = World(world.url, world.keys_at, clock=world.clock)
    try:
        new = await world.keys.create("acme/alice", tenant="acme")
        other.store._look()
        assert "acme/alice" == other.keys.verify(new.text).id

        await world.keys.revoke(new.key.id, tenant="acme")
        other.store._look()

        assert "unknown" in refused(world, new.text)
        assert "unknown" in refused(other, new.text)
    finally:
        other.store.close()


async def test_a_rotated_key_goes_on_for_the_overlap_and_no_longer(world: World) -> None:
    old = await world.keys.create("acme/alice", tenant="acme", scopes=["tools:execute"])

    new = await world.keys.rotate(old.key.id, tenant="acme", overlap_seconds=3600)

    assert world.keys.verify(new.text).scopes == world.keys.verify(old.text).scopes == frozenset({"tools:execute"})
    assert new.key.id == (await world.keys.show(old.key.id, tenant="acme")).successor
    world.clock.at += 3600
    assert "over" in refused(world, old.text)
    assert "acme/alice" == world.keys.verify(new.text).id
    with pytest.raises(ValidationError):
        await world.keys.rotate(old.key.id, tenant="acme", overlap_seconds=0)


async def test_rotation_never_prolongs_the_old_key(world: World) -> None:
    ends = int(world.clock.at * 1000) + 60_000
    old = await world.keys.create("acme/alice", tenant="acme", expires_ms=ends)

    await world.keys.rotate(old.key.id, tenant="acme", overlap_seconds=86_400)

    assert ends == (await world.keys.show(old.key.id, tenant="acme")).expires_ms


async def test_a_key_of_another_tenant_is_as_absent_as_one_that_never_was(world: World) -> None:
    foreign = await world.keys.create("other/alice", tenant="other")

    for key_id in (foreign.key.id, "0" * 24):
        for attempt in (
            world.keys.show(key_id, tenant="acme"),
            world.keys.revoke(key_id, tenant="acme"),
            world.keys.rotate(key_id, tenant="acme", overlap_seconds=0),
        ):
            with pytest.raises(ValidationError) as caught:
                await attempt
            assert ("UNKNOWN_RESOURCE", f"There is no API key {key_id!r}") == (caught.value.code, caught.value.message)
    assert "other/alice" == world.keys.verify(foreign.text).id
    assert [] == await world.keys.listed(tenant="acme")


async def test_a_key_cannot_be_made_for_a_principal_of_another_tenant(world: World) -> None:
    for principal in ("other/alice", "acme/nobody"):
        with pytest.raises(AltarError):
            await world.keys.create(principal, tenant="acme")


async def test_the_key_of_a_deactivated_principal_is_refused_at_once(world: World) -> None:
    new = await world.keys.create("acme/alice", tenant="acme")
    world.keys.verify(new.text)

    await world.deactivate("alice")

    assert "gone" in refused(world, new.text)


async def test_what_is_no_permission_is_no_scope(world: World) -> None:
    for scopes in (["tools"], ["a b:c"], ["x:y"] * 0 + [f"tools/t{n}:execute" for n in range(65)]):
        with pytest.raises(ValidationError):
            await world.keys.create("acme/alice", tenant="acme", scopes=scopes)


async def test_a_principal_has_a_hundred_live_keys_at_most(world: World) -> None:
    for _ in range(100):
        last = await world.keys.create("acme/bob", tenant="acme")

    with pytest.raises(AuthorizationError, match="the limit"):
        await world.keys.create("acme/bob", tenant="acme")
    await world.keys.revoke(last.key.id, tenant="acme")
    await world.keys.create("acme/bob", tenant="acme")


async def test_when_a_key_was_used_is_written_once_a_minute(world: World) -> None:
    new = await world.keys.create("acme/alice", tenant="acme")
    for _ in range(3):
        world.keys.verify(new.text)
    assert 1 == await world.keys.write_used()
    assert int(world.clock.at * 1000) == (await world.keys.show(new.key.id, tenant="acme")).used_ms

    world.clock.at += 30
    world.keys.verify(new.text)
    assert 0 == await world.keys.write_used()
    world.clock.at += 30
    world.keys.verify(new.text)
    assert 1 == await world.keys.write_used()
    assert 0 == await world.keys.write_used()


async def test_a_service_account_has_a_key_until_it_is_revoked(world: World) -> None:
    new = await world.accounts.create("deployer", tenant="acme", description="deploys")

    who = world.keys.verify(new.text)

    assert ("acme/svc:deployer", "service_account") == (who.id, who.kind)
    assert ["svc:deployer"] == [one.name for one in await world.accounts.listed(tenant="acme")]
    assert [] == await world.accounts.listed(tenant="other")
    with pytest.raises(ValidationError):
        await world.accounts.create("deployer", tenant="acme")
    await world.accounts.revoke("deployer", tenant="acme")
    assert "gone" in refused(world, new.text)
    await world.accounts.remove("deployer", tenant="acme")
    assert "unknown" in refused(world, new.text)


async def test_a_person_is_no_service_account(world: World) -> None:
    await world.person("svc:odd")
    for attempt in (world.accounts.remove("odd", tenant="acme"), world.accounts.revoke("deployer", tenant="other")):
        with pytest.raises(ValidationError) as caught:
            await attempt
        assert "UNKNOWN_RESOURCE" == caught.value.code


async def test_a_service_account_without_a_key_is_not_left_behind(world: World) -> None:
    with pytest.raises(ValidationError):
        await world.accounts.create("deployer", tenant="acme", scopes=["nonsense"])

    assert [] == await world.accounts.listed(tenant="acme")
