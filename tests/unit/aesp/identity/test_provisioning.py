"""Who a provider vouches for is let in under one name, and under nobody else's."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.identity.login import Credential, Login
from altar.aesp.identity.provisioning import group_name
from altar.aesp.store.people import create_group, delete_principal
from altar.aesp.tenants import Tenants
from tests.unit.aesp.identity.world import World, login, world_at


@pytest.fixture
def world(tmp_path: Path, store_url: str) -> Iterator[World]:
    with world_at(store_url, tmp_path / "keys", no_new=("closed",)) as made:
        yield made


async def test_the_first_login_makes_a_principal_and_the_next_finds_it(world: World) -> None:
    first = await world.provisioning.admit(login(email="carol@x.test", display="Carol"))
    again = await world.provisioning.admit(login(name="renamed", email="new@x.test"))

    assert "acme/carol" == first.id == again.id
    person = world.directory.principal("acme/carol")
    assert person is not None
    assert ("Carol", "new@x.test") == (person.display, person.email)


async def test_another_identity_of_the_same_name_is_refused_and_never_linked(world: World) -> None:
    """Neither by name nor by e-mail: whoever can choose a name at another provider gets nothing of what is there."""
    await world.provisioning.admit(login(email="carol@x.test"))

    for other in (
        login("sub-2", email="carol@x.test"),
        login("sub-1", provider="evil", email="carol@x.test"),
        login("sub-9", name="Alice"),
        login("sub-9", name=" ALICE "),
    ):
        with pytest.raises(AuthorizationError) as caught:
            await world.provisioning.admit(other)
        assert "PERMISSION_DENIED" == caught.value.code
        assert "belongs to another identity" in caught.value.message


async def test_the_same_e_mail_under_another_name_is_somebody_else(world: World) -> None:
    await world.provisioning.admit(login(email="carol@x.test"))

    assert "acme/dave" == (await world.provisioning.admit(login("sub-2", name="dave", email="carol@x.test"))).id


async def test_a_deactivated_principal_is_not_admitted(world: World) -> None:
    await world.provisioning.admit(login())
    await world.deactivate("carol")

    with pytest.raises(AuthorizationError) as caught:
        await world.provisioning.admit(login())

    assert ("INVALID_CREDENTIALS", "The credentials were not accepted") == (caught.value.code, caught.value.message)


async def test_a_provider_that_brings_nobody_new_does_not(world: World) -> None:
    with pytest.raises(AuthorizationError) as caught:
        await world.provisioning.admit(login(provider="closed"))

    assert "INVALID_CREDENTIALS" == caught.value.code
    assert world.directory.principal("acme/carol") is None


async def test_groups_follow_each_login_and_local_ones_stay(world: World) -> None:
    await world.provisioning.admit(login(groups=("engineering", "CN=Domain Admins,DC=x")))
    person = world.directory.principal("acme/carol")
    assert person is not None
    assert {group_name("corp", "engineering"), group_name("corp", "CN=Domain Admins,DC=x")} == set(person.groups)

    await world.provisioning.admit(login(groups=("sales",)))

    person = world.directory.principal("acme/carol")
    assert person is not None
    assert ("corp:sales",) == person.groups


async def test_a_group_called_as_a_local_one_is_not_that_one(world: World) -> None:
    """Escalation by group name: the provider's `admin` is `corp:admin`, and a local `corp:admin` is left alone."""
    now_ms = int(world.clock.at * 1000)

    def local(connection: Connection) -> None:
        create_group(connection, tenant="acme", name="admin", now_ms=now_ms)
        create_group(connection, tenant="acme", name="corp:ops", now_ms=now_ms)

    await world.store.run(local, tenant="acme")

    await world.provisioning.admit(login(groups=("admin", "ops")))

    person = world.directory.principal("acme/carol")
    assert person is not None
    assert ("corp:admin",) == person.groups


def test_nobody_can_name_a_group_so_that_it_is_taken_for_another_ones_digest() -> None:
    digest = group_name("corp", "CN=Domain Admins,DC=x")

    assert digest != group_name("corp", digest.removeprefix("corp:"))


async def test_mapped_groups_are_told_in_the_transaction_of_the_login(tmp_path: Path) -> None:
    told = Told([])
    with_rules = World(f"sqlite:///{tmp_path}/mapped.db", tmp_path / "keys", map_groups=told)
    try:
        await with_rules.populate()
        await with_rules.provisioning.admit(login(groups=("engineering",)))
        assert [("acme", "corp", "carol", ("engineering",))] == told.calls
    finally:
        with_rules.store.close()


@pytest.mark.parametrize("name", ["", "svc:deployer", "cert:me", "a b", "x" * 64, "../etc", "évil"])
async def test_a_name_that_is_none_gives_way_to_the_subject(world: World, name: str) -> None:
    admitted = await world.provisioning.admit(login("sub-1", name=name or "!"))

    assert "acme/sub-1" == admitted.id


async def test_a_tenant_that_is_suspended_admits_nobody(world: World) -> None:
    await Tenants(world.store, clock=world.clock).suspend("acme")

    with pytest.raises(AltarError) as caught:
        await world.provisioning.admit(login())

    assert "TENANT_SUSPENDED" == caught.value.code


async def test_a_removed_principal_comes_back_as_a_new_one_without_what_it_had(world: World) -> None:
    await world.provisioning.admit(login(groups=("engineering",)))
    key = await world.keys.create("acme/carol", tenant="acme")
    await world.store.run(lambda c: delete_principal(c, tenant="acme", name="carol"), tenant="acme")
    with pytest.raises(AuthorizationError):
        world.keys.verify(key.text)

    await world.provisioning.admit(login())

    with pytest.raises(AuthorizationError):
        world.keys.verify(key.text)


@dataclass
class Told:
    """Rules from groups to roles, which only take note."""

    calls: list[tuple[str, str, str, tuple[str, ...]]]

    def __call__(
        self, connection: Connection, *, tenant: str, provider: str, principal: str, groups: Collection[str]
    ) -> None:
        self.calls.append((tenant, provider, principal, tuple(groups)))


class Vouching:
    """A provider that says whatever it was told to say."""

    name = "corp"

    def __init__(self, said: Login) -> None:
        self.said = said

    async def authenticate(self, credential: Credential) -> Login:
        return self.said


async def test_what_may_be_shown_once_is_exchanged_once(world: World) -> None:
    from altar.aesp.identity.sign_in import SignIn

    said = login(once="assertion-1", expires=world.clock.at + 60)
    signing = SignIn([Vouching(said)], world.provisioning, world.tokens, world.refreshing)

    await signing.authenticate("corp", Credential("a"))
    with pytest.raises(AuthorizationError) as caught:
        await signing.authenticate("corp", Credential("a"))

    assert "once" in (caught.value.detail or "")


async def test_a_provider_of_one_tenant_does_not_sign_in_to_another(world: World) -> None:
    from altar.aesp.identity.sign_in import SignIn

    signing = SignIn([Vouching(login())], world.provisioning, world.tokens, world.refreshing)

    with pytest.raises(AuthorizationError):
        await signing.authenticate("corp", Credential("a", tenant="other"))
    with pytest.raises(AltarError, match="one name"):
        SignIn([Vouching(login()), Vouching(login())], world.provisioning, world.tokens, world.refreshing)
