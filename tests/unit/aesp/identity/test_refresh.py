"""Refresh tokens: one use each, and a second use ends the family; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from altar.adm.errors import AuthorizationError
from altar.aesp.identity.tokens import TokenPair
from altar.aesp.store.tables import refresh_tokens
from tests.unit.aesp.identity.world import World, alice, world_at


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> Iterator[World]:
    with world_at(store_url, tmp_path / "keys") as made:
        yield made


async def test_a_refresh_token_gives_a_new_pair_and_is_spent(world: World) -> None:
    first = await world.tokens.issue(alice())

    second = await world.tokens.refresh(first.refresh_token)

    assert first.refresh_token != second.refresh_token
    assert "acme/alice" == world.tokens.verify(second.access_token).id


async def test_a_replayed_refresh_token_ends_the_whole_family(world: World) -> None:
    first = await world.tokens.issue(alice())
    second = await world.tokens.refresh(first.refresh_token)
    bystander = await world.tokens.issue(alice())

    with pytest.raises(AuthorizationError) as stolen:
        await world.tokens.refresh(first.refresh_token)

    assert "used before" in (stolen.value.detail or "")
    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(second.refresh_token)
    for token in (first.access_token, second.access_token):
        with pytest.raises(AuthorizationError):
            world.tokens.verify(token)
    assert "acme/alice" == world.tokens.verify(bystander.access_token).id


async def test_of_two_uses_at_once_at_most_one_gives_a_pair(world: World) -> None:
    first = await world.tokens.issue(alice())

    done = await asyncio.gather(*(world.tokens.refresh(first.refresh_token) for _ in range(6)), return_exceptions=True)

    assert 1 == len([one for one in done if isinstance(one, TokenPair)])
    assert all(isinstance(one, TokenPair | AuthorizationError) for one in done)


async def test_the_store_holds_no_refresh_token(world: World) -> None:
    pair = await world.tokens.issue(alice())

    rows = await world.store.run(
        lambda c: [str(tuple(row)) for row in c.execute(select(refresh_tokens))], tenant="acme"
    )

    assert rows
    assert all(pair.refresh_token.split("~")[2] not in row for row in rows)


async def test_a_refresh_token_of_one_tenant_is_unknown_in_another(world: World) -> None:
    pair = await world.tokens.issue(alice())

    with pytest.raises(AuthorizationError) as caught:
        await world.tokens.refresh(pair.refresh_token.replace("~acme~", "~other~"))

    assert "unknown" in (caught.value.detail or "")
    await world.tokens.refresh(pair.refresh_token)


async def test_a_refresh_token_that_waits_too_long_is_over(world: World) -> None:
    pair = await world.tokens.issue(alice())
    world.clock.at += 12 * 3600

    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(pair.refresh_token)


async def test_a_family_ends_however_often_it_is_renewed(world: World) -> None:
    pair = await world.tokens.issue(alice())
    for _ in range(60):
        world.clock.at += 12 * 3600 - 1
        pair = await world.tokens.refresh(pair.refresh_token)
    world.clock.at += 2 * 60

    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(pair.refresh_token)


async def test_a_principal_has_64_families_and_the_oldest_makes_room(world: World) -> None:
    first = await world.tokens.issue(alice())
    for _ in range(64):
        world.clock.at += 0.01
        last = await world.tokens.issue(alice())

    with pytest.raises(AuthorizationError):
        await world.tokens.refresh(first.refresh_token)
    await world.tokens.refresh(last.refresh_token)


async def test_what_may_be_shown_once_is_refused_the_second_time_on_every_host(world: World) -> None:
    other = World(world.url, world.keys_at, clock=world.clock)
    try:
        await world.refreshing.use_once("acme", "corp:assertion-1", expires=world.clock.at + 60)
        await world.refreshing.use_once("other", "corp:assertion-1", expires=world.clock.at + 60)

        with pytest.raises(AuthorizationError):
            await other.refreshing.use_once("acme", "corp:assertion-1", expires=world.clock.at + 60)
    finally:
        other.store.close()
