"""Rules from groups to roles, over a real store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.errors import ValidationError
from altar.aesp.identity.login import Login
from altar.aesp.identity.mapping import MappingRule, roles_of
from altar.aesp.identity.provisioning import Provisioning
from tests.integration.web_scene import WebScene, web_scene

RULES = (MappingRule("corp", "admins", "admin"), MappingRule("corp", "team-*", "developer", "tools/team-*"))


def login(*groups: str, provider: str = "corp", subject: str = "s1", name: str = "alice") -> Login:
    return Login(provider=provider, subject=subject, tenant="acme", name=name, groups=groups)


def admission(scene: WebScene) -> Provisioning:
    return Provisioning(scene.store, scene.directory, now=lambda: 1_000_000.0, map_groups=scene.mapping)


@pytest.mark.parametrize("group", ["Admins", "admins ", "admin", "x/admins", "admins/x", "cn=admins", "admins*", ""])
def test_a_group_that_is_called_nearly_so_gives_nothing(group: str) -> None:
    assert frozenset() == roles_of({group}, RULES)


@given(st.text(max_size=40))
def test_only_a_pattern_with_a_star_covers_more_than_its_own_name(group: str) -> None:
    exact = tuple(rule for rule in RULES if "*" not in rule.pattern)

    assert (group == "admins") == bool(roles_of({group}, exact))


def test_a_star_is_any_run_of_characters_within_one_part_of_the_name() -> None:
    assert {("developer", "tools/team-*")} == roles_of({"team-a"}, RULES)
    assert frozenset() == roles_of({"team-a/b", "a-team-b"}, RULES)


async def test_a_login_holds_the_roles_of_its_groups_and_no_longer_than_it_is_in_them(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("corp", "ops", "operator"), tenant="acme")
        admit = admission(scene).admit

        await admit(login("ops"))
        first = scene.may("acme/alice", "tools/x", "execute")
        await admit(login("others"))

        assert first
        assert not scene.may("acme/alice", "tools/x", "execute")


async def test_a_group_of_that_name_in_another_provider_gives_nothing(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("corp", "admin", "admin"), tenant="acme")

        await admission(scene).admit(login("admin", "corp:admin", provider="evil", name="mallory"))

        assert not scene.may("acme/mallory", "tenants", "read")


async def test_a_rule_that_is_taken_away_takes_its_role_from_everybody_at_once(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        rule = MappingRule("corp", "ops", "operator")
        await admission(scene).admit(login("ops"))
        before = scene.may("acme/alice", "tools/x", "execute")
        await scene.mapping.add(rule, tenant="acme")
        added = scene.may("acme/alice", "tools/x", "execute")
        await scene.mapping.remove(rule, tenant="acme")

        assert (False, True, False) == (before, added, scene.may("acme/alice", "tools/x", "execute"))


async def test_the_rule_of_another_tenant_says_nothing_here(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("corp", "ops", "admin"), tenant="globex")

        await admission(scene).admit(login("ops"))

        assert not scene.may("acme/alice", "tools/x", "execute")
        assert () == await scene.mapping.list(tenant="acme")


@pytest.mark.parametrize("pattern", ["", "*", "**", "*/*", " ", "x" * 201, "a\nb"])
async def test_a_pattern_for_every_group_is_refused(pattern: str, tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        with pytest.raises(ValidationError, match="cannot stand for groups"):
            await scene.mapping.add(MappingRule("corp", pattern, "viewer"), tenant="acme")


async def test_a_rule_for_a_role_that_is_not_there_is_refused(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        with pytest.raises(ValidationError, match="There is no role 'none'"):
            await scene.mapping.add(MappingRule("corp", "ops", "none"), tenant="acme")
