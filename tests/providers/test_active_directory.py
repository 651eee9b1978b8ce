"""Sign-in and synchronization against a real Active Directory domain controller, by Samba."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.errors import AuthorizationError
from altar.aesp.identity.ldap import LdapConfiguration, LdapKind, LdapProvider, Nesting
from altar.aesp.identity.ldap_connection import LdapAddress
from altar.aesp.identity.ldap_source import LdapSource
from altar.aesp.identity.login import Credential, Login
from altar.aesp.identity.mapping import MappingRule
from altar.aesp.identity.sync import Plan, Synchronization
from tests.integration.web_scene import WebScene, web_scene
from tests.providers.samba import BASE, USERS, Samba, quoted, samba

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with samba(tmp_path_factory.mktemp("samba") / "ad") as running:
        yield running


def provider_of(server: Samba, *, url: str = "", nesting: Nesting = Nesting.CHAIN) -> LdapProvider:
    configuration = LdapConfiguration(
        name="corp",
        tenant="acme",
        address=LdapAddress(url or server.url, server.ca_file),
        bind_dn=f"CN=searcher,{USERS}",
        bind_password="Se4rch!pw",
        base=BASE,
        group_base=USERS,
        kind=LdapKind.ACTIVE_DIRECTORY,
        nesting=nesting,
        seconds=20.0,
    )
    return LdapProvider(configuration, clock=time.time)


async def sign_in(server: Samba, name: str, password: str, *, url: str = "", nesting: Nesting = Nesting.CHAIN) -> Login:
    return await provider_of(server, url=url, nesting=nesting).authenticate(Credential(secret=password, name=name))


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@X.TEST", "Alice@x.test"])
async def test_both_names_of_a_person_sign_in_as_one(server: Samba, name: str) -> None:
    login = await sign_in(server, name, "Al1ce!pw")

    assert ("alice", "Alice of X", "alice@x.test") == (login.name, login.display, login.email)
    assert ("backend team", "eng", "staff") == login.groups
    assert login.subject == (await sign_in(server, "alice", "Al1ce!pw")).subject


async def test_the_two_ways_to_nested_groups_and_starttls_agree(server: Samba) -> None:
    chain = await sign_in(server, "alice", "Al1ce!pw", url=server.plain_url)
    climbed = await sign_in(server, "alice", "Al1ce!pw", nesting=Nesting.MEMBERS)

    assert chain == climbed


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("nobody", "Al1ce!pw"),
        ("*", "Al1ce!pw"),
        ("alice)(sAMAccountName=*", "Al1ce!pw"),
        ("alice", ""),
    ],
)
async def test_whatever_else_is_typed_is_refused_in_the_same_words(server: Samba, name: str, password: str) -> None:
    with pytest.raises(AuthorizationError, match="The credentials were not accepted"):
        await sign_in(server, name, password)


@pytest.mark.parametrize(
    ("attribute", "value", "back"),
    [("userAccountControl", "514", "512"), ("accountExpires", "116444736010000000", "0")],
)
async def test_an_account_that_is_disabled_or_over_does_not_sign_in(
    server: Samba, attribute: str, value: str, back: str
) -> None:
    change = f"dn: CN=carol,{USERS}\nchangetype: modify\nreplace: {attribute}\n{attribute}: "
    await sign_in(server, "carol", "C4rol!pw-pw")
    server.change(f"{change}{value}\n")
    try:
        with pytest.raises(AuthorizationError, match="The credentials were not accepted"):
            await sign_in(server, "carol", "C4rol!pw-pw")
    finally:
        server.change(f"{change}{back}\n")


async def pulled(scene: WebScene, server: Samba, *, full: bool = False) -> Plan:
    synchronization = Synchronization(scene.store, now=time.time, map_groups=scene.mapping)
    return await synchronization.run(LdapSource(provider_of(server), now=time.time), full=full, force=full)


async def test_people_are_pulled_and_then_only_who_changed_and_who_is_disabled_is_out(
    server: Samba, tmp_path: Path
) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        await scene.mapping.add(MappingRule("corp", "staff", "operator"), tenant="acme")
        first = await pulled(scene, server)
        may = scene.may("acme/alice", "tools/x", "execute")
        nothing = await pulled(scene, server)
        control = f"dn: CN=alice,{USERS}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: "
        server.change(f"{control}514\n")
        disabled = await pulled(scene, server)
        out = scene.may("acme/alice", "tools/x", "execute")
        server.change(f"{control}512\n")
        back = await pulled(scene, server)

        assert {"alice", "bob", "carol"} <= set(first.create)
        assert "krbtgt" not in first.create
        assert (True, False) == (first.is_complete, nothing.is_complete)
        assert ([], [], []) == (nothing.create, nothing.update, nothing.deactivate)
        assert (["alice"], ["alice"]) == (disabled.deactivate, back.activate)
        assert (True, False, True) == (may, out, scene.may("acme/alice", "tools/x", "execute"))


async def test_who_is_deleted_there_is_out_after_everybody_was_pulled(server: Samba, tmp_path: Path) -> None:
    entry = f"dn: CN=dora,{USERS}\nchangetype: "
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        password = f"userAccountControl: 512\nunicodePwd:: {quoted('D0ra!pw-pw')}"
        server.change(f"{entry}add\nobjectClass: user\nsAMAccountName: dora\n{password}\n")
        await pulled(scene, server)
        before = scene.directory.principal("acme/dora")
        server.change(f"{entry}delete\n")

        plan = await pulled(scene, server, full=True)

        after = scene.directory.principal("acme/dora")
        assert before is not None
        assert after is not None
        assert (True, False, ["dora"]) == (before.active, after.active, plan.deactivate)
