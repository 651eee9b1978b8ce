"""Sign-in and synchronization against a real slapd, and what an attacker types, cuts and forges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ExecutionError
from altar.aesp.identity.ldap import LdapConfiguration, LdapProvider, Nesting
from altar.aesp.identity.ldap_connection import LdapAddress, LdapConnection, RefusedBindError
from altar.aesp.identity.ldap_source import LdapSource
from altar.aesp.identity.ldap_wire import Present
from altar.aesp.identity.login import Credential, Login
from altar.aesp.identity.mapping import MappingRule
from altar.aesp.identity.provisioning import Provisioning
from altar.aesp.identity.sync import Plan, Synchronization
from tests.integration.web_scene import WebScene, web_scene
from tests.providers.fault_proxy import faulty
from tests.providers.slapd import ADMIN, ADMIN_PASSWORD, BASE, Slapd, slapd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Slapd]:
    (tmp_path / "slapd").mkdir()
    with slapd(tmp_path / "slapd") as running:
        yield running


def configuration(server: Slapd, **changed: Any) -> LdapConfiguration:
    made = LdapConfiguration(
        name="corp",
        tenant="acme",
        address=LdapAddress(server.url, server.ca_file),
        bind_dn=ADMIN,
        bind_password=ADMIN_PASSWORD,
        base=f"ou=people,{BASE}",
        group_base=f"ou=groups,{BASE}",
        seconds=5.0,
    )
    return replace(made, **changed)


async def sign_in(server: Slapd, name: str, password: str, **changed: Any) -> Login:
    provider = LdapProvider(configuration(server, **changed), clock=time.time)
    return await provider.authenticate(Credential(secret=password, name=name))


@pytest.mark.parametrize("nesting", [Nesting.MEMBER_OF, Nesting.MEMBERS])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_person_signs_in_with_all_groups_of_groups(server: Slapd, nesting: Nesting, at_once: bool) -> None:
    address = LdapAddress(server.url if at_once else server.plain_url, server.ca_file)

    login = await sign_in(server, "ALICE", "alicepw", nesting=nesting, address=address)

    assert ("alice", "Alice Liddell", "alice@x.test") == (login.name, login.display, login.email)
    assert ("backend", "eng", "staff") == login.groups
    assert login.subject == (await sign_in(server, "alice", "alicepw")).subject


@pytest.mark.parametrize(("name", "password"), [("Zoë", "zoëpw"), ("we*ird(name)", "weirdpw")])
async def test_a_name_with_any_characters_is_that_name(server: Slapd, name: str, password: str) -> None:
    assert name == (await sign_in(server, name, password)).name


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("nobody", "alicepw"),
        ("*", "alicepw"),
        ("a*", "alicepw"),
        ("alice)(uid=*", "alicepw"),
        ("*)(objectClass=*", "alicepw"),
        (r"\61lice", "alicepw"),
        ("alice\0", "alicepw"),
        ("alice", ""),
        ("", "alicepw"),
        ("alice,ou=people," + BASE, "alicepw"),
        ("uid=alice,ou=people," + BASE, "alicepw"),
        ("x" * 300, "alicepw"),
    ],
)
async def test_whatever_else_is_typed_is_refused_in_the_same_words(server: Slapd, name: str, password: str) -> None:
    with pytest.raises(AuthorizationError) as refused:
        await sign_in(server, name, password)

    assert ("INVALID_CREDENTIALS", "The credentials were not accepted") == (refused.value.code, refused.value.message)
    assert password not in str(vars(refused.value)).replace("''", "") or not password


async def test_an_unknown_name_takes_the_same_steps_as_a_known_one(server: Slapd) -> None:
    async def connections(name: str) -> int:
        async with faulty(server.tls_port) as proxy:
            address = LdapAddress(f"ldaps://127.0.0.1:{proxy.port}", server.ca_file)
            with pytest.raises(AuthorizationError):
                await sign_in(server, name, "wrong", address=address)
            return proxy.connections

    assert await connections("alice") == await connections("nobody")


async def test_a_group_outside_the_base_of_groups_counts_for_nothing(server: Slapd) -> None:
    server.change(
        f"dn: cn=staff,ou=people,{BASE}\nchangetype: add\nobjectClass: groupOfNames\ncn: staff\n"
        f"member: uid=Zoe,ou=people,{BASE}\nmember:: dWlkPVpvw6ssb3U9cGVvcGxlLGRjPXgsZGM9dGVzdA==\n"
    )

    assert () == (await sign_in(server, "Zoë", "zoëpw")).groups


async def test_two_people_of_one_name_are_nobody(server: Slapd) -> None:
    entry = "objectClass: inetOrgPerson\nuid: alice\ncn: A\nsn: X\nuserPassword: alicepw"
    server.change(f"dn: cn=second,ou=people,{BASE}\nchangetype: add\n{entry}\n")

    with pytest.raises(AuthorizationError):
        await sign_in(server, "alice", "alicepw")


async def test_a_bind_without_a_password_is_not_even_tried(server: Slapd) -> None:
    async with LdapConnection(LdapAddress(server.url, server.ca_file), seconds=5) as connection:
        with pytest.raises(RefusedBindError, match="a bind needs a name and a password"):  # our word, not the server's
            await connection.bind(ADMIN, "")


async def test_a_certificate_of_another_ca_or_for_another_name_is_refused(server: Slapd, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.crt")
    for address in (
        LdapAddress(server.url, tmp_path / "other.crt"),
        LdapAddress(server.plain_url, tmp_path / "other.crt"),
        LdapAddress(f"ldaps://localhost:{server.tls_port}", server.ca_file),
    ):
        with pytest.raises(ExecutionError) as refused:
            await sign_in(server, "alice", "alicepw", address=address)

        assert "DEPENDENCY_UNAVAILABLE" == refused.value.code
        assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.detail)


@pytest.mark.parametrize("url", ["http://h", "ldap://", "ldapi:///x", "ldaps://u:p@h", "ldaps://h/dc=x", "ldaps://h:x"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        LdapAddress(url, tmp_path).parts()


@pytest.mark.parametrize("mode", ["mute", "hang", "drop"])
@pytest.mark.parametrize("good", [0, 1])
async def test_a_directory_that_hangs_or_drops_is_unavailable_and_blocks_nobody(
    server: Slapd, mode: str, good: int
) -> None:
    async with faulty(server.tls_port) as proxy:
        proxy.mode, proxy.good_before = mode, good
        address = LdapAddress(f"ldaps://127.0.0.1:{proxy.port}", server.ca_file)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        busy = asyncio.create_task(others())
        with pytest.raises(ExecutionError) as refused:
            await sign_in(server, "alice", "alicepw", address=address, seconds=0.5)
        busy.cancel()

        assert "DEPENDENCY_UNAVAILABLE" == refused.value.code
        assert turns > 10


async def test_a_search_beyond_its_limit_is_refused(server: Slapd) -> None:
    async with LdapConnection(LdapAddress(server.url, server.ca_file), seconds=5) as connection:
        await connection.bind(ADMIN, ADMIN_PASSWORD)

        with pytest.raises(ExecutionError, match="more than 2 entries"):
            await connection.search(BASE, Present("objectClass"), attributes=("cn",), limit=2)


async def test_pages_are_joined(server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("altar.aesp.identity.ldap_connection._PAGE", 2)
    async with LdapConnection(LdapAddress(server.url, server.ca_file), seconds=5) as connection:
        await connection.bind(ADMIN, ADMIN_PASSWORD)

        found = await connection.search(BASE, Present("uid"), attributes=("uid",), limit=100)

    assert {"alice", "bob", "Zoë", "we*ird(name)"} == {entry.text("uid") for entry in found}


# ── synchronization ──────────────────────────────────────────────────────────────────────────────────────────


async def pulled(scene: WebScene, server: Slapd, **how: Any) -> Plan:
    provider = LdapProvider(configuration(server, nesting=Nesting.MEMBERS), clock=time.time)
    synchronization = Synchronization(scene.store, now=time.time, map_groups=scene.mapping)
    return await synchronization.run(LdapSource(provider, now=time.time), **how)


async def test_people_are_pulled_with_their_groups_and_what_those_give(server: Slapd, store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("corp", "staff", "operator"), tenant="acme")

        plan = await pulled(scene, server)

        assert {"alice", "bob"} <= set(plan.create)
        assert scene.may("acme/alice", "tools/x", "execute")
        person = scene.directory.principal("acme/alice")
        assert person is not None
        assert {"corp:backend", "corp:eng", "corp:staff"} == set(person.groups)


async def test_a_dry_run_says_the_same_and_does_nothing(server: Slapd, store_url: str) -> None:
    async with web_scene(store_url) as scene:
        said = await pulled(scene, server, dry_run=True)
        nobody = scene.directory.principal("acme/alice")
        done = await pulled(scene, server)

        assert nobody is None
        assert said.create == done.create
        assert (False, True) == (said.is_done, done.is_done)


async def test_only_who_changed_is_pulled_until_a_group_changes(server: Slapd, tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        await pulled(scene, server)
        server.change(f"dn: uid=bob,ou=people,{BASE}\nchangetype: modify\nreplace: mail\nmail: robert@x.test\n")
        changed = await pulled(scene, server)
        server.change(
            f"dn: cn=backend,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: uid=bob,ou=people,{BASE}\n"
        )
        regrouped = await pulled(scene, server)

        bob = scene.directory.principal("acme/bob")
        assert bob is not None
        assert ("robert@x.test", True) == (bob.email, "corp:backend" in bob.groups)
        assert ["bob"] == changed.update
        assert (True, ["bob"]) == (regrouped.is_complete, regrouped.update)


async def test_who_is_removed_there_loses_access_here_at_once(server: Slapd, store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("corp", "staff", "operator"), tenant="acme")
        await pulled(scene, server)
        before = scene.may("acme/alice", "tools/x", "execute")
        server.change(f"dn: uid=alice,ou=people,{BASE}\nchangetype: delete\n")

        plan = await pulled(scene, server, full=True)

        assert (True, ["alice"]) == (before, plan.deactivate)
        assert not scene.may("acme/alice", "tools/x", "execute")
        person = scene.directory.principal("acme/alice")
        assert person is not None
        assert not person.active


async def test_a_directory_that_lost_many_people_is_not_believed_unless_it_is_forced(
    server: Slapd, store_url: str
) -> None:
    async with web_scene(store_url) as scene:
        await pulled(scene, server)
        for name in ("alice", "bob"):
            server.change(f"dn: uid={name},ou=people,{BASE}\nchangetype: delete\n")

        with pytest.raises(ExecutionError, match="would lose their access") as refused:
            await pulled(scene, server, full=True)
        alice = scene.directory.principal("acme/alice")
        forced = await pulled(scene, server, full=True, force=True)

        assert alice is not None
        assert alice.active
        assert "--force" in str(refused.value.hint)
        assert ["alice", "bob"] == sorted(forced.deactivate)


async def test_who_an_administrator_deactivated_is_not_brought_back_by_a_pull(server: Slapd, store_url: str) -> None:
    from altar.aesp.store import people

    async with web_scene(store_url) as scene:
        await pulled(scene, server)
        await scene.store.run(
            lambda c: people.update_principal(c, tenant="acme", name="bob", now_ms=1, active=False), tenant="acme"
        )

        plan = await pulled(scene, server, full=True)

        bob = scene.directory.principal("acme/bob")
        assert bob is not None
        assert not bob.active
        assert [] == plan.activate


async def test_who_is_pulled_signs_in_as_the_same_principal(server: Slapd, store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await pulled(scene, server)
        login = await sign_in(server, "alice", "alicepw")

        admitted = await Provisioning(scene.store, scene.directory, now=time.time).admit(login)

        assert "acme/alice" == admitted.id


async def test_a_name_that_a_local_user_has_is_a_conflict_and_takes_nothing_over(server: Slapd, store_url: str) -> None:
    from altar.aesp.store import people

    async with web_scene(store_url) as scene:
        await scene.store.run(
            lambda c: people.create_principal(c, tenant="acme", name="alice", now_ms=1, display="Local"), tenant="acme"
        )

        plan = await pulled(scene, server)

        alice = scene.directory.principal("acme/alice")
        assert alice is not None
        assert "alice" in plan.conflicts
        assert ("Local", frozenset()) == (alice.display, frozenset(alice.groups))


async def test_a_pull_that_cannot_reach_the_directory_changes_nothing(server: Slapd, tmp_path: Path) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        await pulled(scene, server)
        dead = replace(server, tls_port=1)

        with pytest.raises(AltarError, match="cannot be asked now"):
            await pulled(scene, dead, full=True)

        alice = scene.directory.principal("acme/alice")
        assert alice is not None
        assert alice.active
