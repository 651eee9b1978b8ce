"""Guessing passwords many at once, handing on a password that was to be replaced, and names that look like others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.aesp.identity.ldap import LdapConfiguration, LdapProvider
from altar.aesp.identity.ldap_connection import Entry, LdapAddress
from altar.aesp.identity.login import Credential
from altar.aesp.identity.passwords import one_time_password
from altar.aesp.identity.provisioning import name_of
from tests.unit.aesp.identity.world import PASSWORD, World, login, world_at


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(f"sqlite:///{tmp_path}/store.db", tmp_path / "keys") as made:
        asyncio.run(made.users.set_password("acme/alice", PASSWORD, tenant="acme"))
        yield made


def shown(password: str, **more: str) -> Credential:
    return Credential(password, name="alice", tenant="acme", **more)


async def test_who_guesses_many_at_once_does_not_hear_which_one_was_right(world: World) -> None:
    guesses = [shown(f"wrong guess {number}") for number in range(20)] + [shown(PASSWORD)]

    answers = await asyncio.gather(*map(world.users.authenticate, guesses), return_exceptions=True)

    codes = [answer.code if isinstance(answer, AltarError) else "" for answer in answers]
    assert "RATE_LIMIT_EXCEEDED" == codes[-1]
    assert 5 == codes.count("INVALID_CREDENTIALS")


async def test_a_password_for_handing_over_is_not_replaced_by_itself(world: World) -> None:
    once = one_time_password()
    await world.users.set_password("acme/alice", once, tenant="acme", once=True)

    with pytest.raises(AuthorizationError) as refused:
        await world.users.authenticate(shown(once, new_secret=once))

    assert "handing over" in refused.value.message


@pytest.mark.parametrize("name", ["mar\u212a", "\u0430nn"])
def test_letters_of_other_alphabets_do_not_become_a_plain_name(name: str) -> None:
    assert "sub-1" == name_of(login("sub-1", name=name))
    with pytest.raises(ValidationError):
        name_of(login(name, name=name))


@pytest.mark.parametrize(("called", "name"), [("Ann", "ann"), ("stra\u00dfe", "7b7a"), ("mar\u212a", "7b7a")])
def test_a_directory_name_with_other_letters_does_not_become_a_plain_one(called: str, name: str) -> None:
    configuration = LdapConfiguration(
        name="corp",
        tenant="acme",
        address=LdapAddress("ldaps://127.0.0.1:636", Path("ca.pem")),
        bind_dn="cn=search",
        bind_password=PASSWORD,
        base="dc=acme",
    )
    provider = LdapProvider(configuration, clock=lambda: 0.0)
    entry = Entry(f"uid={called},dc=acme", {"uid": (called.encode(),), "entryuuid": (b"7b7a",)})

    assert name == name_of(provider.login_of(entry, ()))
