"""Rules that turn groups into roles, as a way to a role: whoever writes one gives no more than they have."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from altar.aesp.identity.sync import Synchronization
from altar.aesp.principal import Principal
from altar.aesp.service.reach import Reach
from altar.aesp.web.app import Part
from altar.aesp.web.directories import PREFIX, Directories
from tests.integration.web_scene import WebScene, web_scene


def directories(scene: WebScene) -> Iterable[Part]:
    """The part as the host has it, without providers of its own."""
    reach = Reach(scene.rbac, scene.directory)

    def may_give(who: Principal, role: str, tenant: str) -> None:
        reach.require_role(who, role, tenant=tenant)

    synchronization = Synchronization(scene.store, now=time.time, map_groups=scene.mapping)
    yield Directories([], synchronization, scene.mapping, may_give=may_give).part()


@pytest.mark.parametrize(("role", "status"), [("admin", 403), ("provisioner", 201), ("absent", 404)])
async def test_a_rule_gives_only_what_its_maker_may_do(store_url: str, role: str, status: int) -> None:
    async with web_scene(store_url, parts=directories) as scene:
        client = await scene.client(prefix=PREFIX)

        answer = await client.post("/mappings", json={"provider": "scim", "pattern": "everybody", "role": role})
        rules = await scene.mapping.list(tenant="acme")

        assert status == answer.status_code
        assert (status == 201) == bool(rules)
