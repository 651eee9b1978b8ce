"""Pulling people from a SCIM server, which is ours, and from a server that speaks like Okta."""

from __future__ import annotations

import time
from typing import Any

import pytest

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.aesp.identity.http_sources import HttpConfiguration, OktaSource, ScimSource
from altar.aesp.identity.mapping import MappingRule
from altar.aesp.identity.outbound import Outbound
from altar.aesp.identity.sync import Plan, Source, Synchronization
from tests.integration.okta_server import TOKEN, Okta, okta
from tests.integration.test_scim import group, made, patch, user
from tests.integration.web_scene import WebScene, web_scene

WAITED: list[float] = []


async def no_wait(seconds: float) -> None:
    WAITED.append(seconds)


def okta_source(server: Okta, *, token: str = TOKEN, allowed: str = "") -> OktaSource:
    configuration = HttpConfiguration("okta", "acme", server.address, token)
    return OktaSource(configuration, Outbound({"sync": [allowed or server.address]}), now=time.time, wait=no_wait)


async def pulled(scene: WebScene, source: Source, **how: Any) -> Plan:
    return await Synchronization(scene.store, now=time.time, map_groups=scene.mapping).run(source, **how)


async def test_people_come_from_another_scim_server_and_go_with_it(store_url: str, tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/theirs.db") as theirs, web_scene(store_url) as ours:
        await ours.mapping.add(MappingRule("hr", "Staff", "operator"), tenant="acme")
        client = await theirs.client("globex")
        alice = await made(client, "/Users", user("alice", displayName="Alice"))
        bob = await made(client, "/Users", user("bob"))
        inner = await made(client, "/Groups", group("Ops", alice))
        await made(client, "/Groups", group("Staff", inner))
        token = client.headers["authorization"].removeprefix("Bearer ")
        base = str(client.base_url).rstrip("/")
        source = ScimSource(
            HttpConfiguration("hr", "acme", base, token), Outbound({"sync": [theirs.address]}), now=time.time
        )

        first = await pulled(ours, source)
        may = ours.may("acme/alice", "tools/x", "execute")
        await client.patch(f"/Users/{bob}", json=patch({"op": "replace", "path": "active", "value": False}))
        changed = await pulled(ours, source)
        await client.delete(f"/Users/{alice}")
        gone = await pulled(ours, source, full=True, force=True)

        assert (["alice", "bob"], True) == (sorted(first.create), may)
        assert (["bob"], False) == (changed.deactivate, changed.is_complete)
        assert ["alice"] == gone.deactivate
        assert not ours.may("acme/alice", "tools/x", "execute")


async def test_people_come_from_okta_page_by_page_and_only_who_changed_afterwards(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        await scene.mapping.add(MappingRule("okta", "Ops Team", "operator"), tenant="acme")
        with okta() as server:
            for number in range(5):
                server.add(f"00u{number}", f"p{number}@example.com")
            server.add("00ux", "suspended@example.com", status="SUSPENDED")
            server.groups["00g1"] = ("Ops Team", ["00u0", "00u1", "00u2"])
            source = okta_source(server)

            first = await pulled(scene, source)
            may = scene.may("acme/p0@example.com", "tools/x", "execute")
            server.users[0] |= {"status": "DEPROVISIONED", "lastUpdated": "2026-02-01T00:00:00.000Z"}
            second = await pulled(scene, source)

        assert [f"p{number}@example.com" for number in range(5)] == sorted(first.create)
        assert (True, False) == (first.is_complete, second.is_complete)
        assert (["p0@example.com"], True) == (second.deactivate, may)
        assert not scene.may("acme/p0@example.com", "tools/x", "execute")
        assert any("after=" in path for path in server.asked)


async def test_a_source_that_asks_to_wait_is_waited_for(tmp_path: object) -> None:
    WAITED.clear()
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        with okta() as server:
            server.add("00u1", "a@example.com")
            server.limited = 3

            plan = await pulled(scene, okta_source(server))
            server.limited = 100
            with pytest.raises(ExecutionError, match="cannot be asked now"):
                await pulled(scene, okta_source(server))

    assert ["a@example.com"] == plan.create
    assert all(0 < seconds <= 60 for seconds in WAITED)


async def test_a_next_page_on_another_host_is_not_followed_with_the_token(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        with okta() as server, okta() as thief:
            for number in range(3):
                server.add(f"00u{number}", f"p{number}@example.com")
            server.next_host = thief.address

            with pytest.raises(AltarError):
                await pulled(scene, okta_source(server))

    assert [] == thief.asked


async def test_a_source_that_is_not_listed_or_refuses_the_token_changes_nothing(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        with okta() as server:
            server.add("00u1", "a@example.com")
            await pulled(scene, okta_source(server))

            with pytest.raises(ExecutionError) as refused:
                await pulled(scene, okta_source(server, token="wrong"), full=True)
            with pytest.raises(ConfigurationError):
                await pulled(scene, okta_source(server, allowed="https://other.example"), full=True)

        person = scene.directory.principal("acme/a@example.com")
        assert person is not None
        assert person.active
        assert "wrong" not in str(vars(refused.value))


async def test_a_source_that_is_suddenly_empty_is_not_believed(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        with okta() as server:
            server.add("00u1", "a@example.com")
            await pulled(scene, okta_source(server))
            server.users.clear()

            with pytest.raises(ExecutionError, match="would lose their access"):
                await pulled(scene, okta_source(server), full=True)
