"""What a provisioner takes away stays away: tokens, names that look like others, and over which doors."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from altar.aesp.store import people
from tests.integration.web_scene import web_scene

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


async def test_tokens_from_before_a_deactivation_stay_worthless_when_it_is_undone(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        made = (await client.post("/Users", json={"schemas": [USER], "userName": "ann"})).json()
        before = scene.directory.principal("acme/ann")
        for active in (False, True):
            change = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": active}]}
            assert 200 == (await client.patch(f"/Users/{made['id']}", json=change)).status_code
        after = scene.directory.principal("acme/ann")

        assert before is not None
        assert after is not None
        assert after.active
        assert before.not_before < after.not_before


@pytest.mark.parametrize("name", ["mar\u212a", "\u0430nn", "svc:ann", "cert:ann"])
async def test_a_name_that_only_looks_like_a_plain_one_is_refused(store_url: str, name: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()

        answer = await client.post("/Users", json={"schemas": [USER], "userName": name})

        assert 400 == answer.status_code
        assert scene.directory.principal("acme/mark") is None


async def test_whom_an_administrator_deactivated_a_provisioner_does_not_let_in_again(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        resource = {"schemas": [USER], "userName": "ann", "active": True}
        made = (await client.post("/Users", json=resource)).json()

        def deactivate(connection: Connection) -> None:
            people.update_principal(connection, tenant="acme", name="ann", now_ms=1, active=False)

        await scene.store.run(deactivate, tenant="acme")
        answer = await client.put(f"/Users/{made['id']}", json=resource)
        person = scene.directory.principal("acme/ann")

        assert (200, False) == (answer.status_code, answer.json()["active"])
        assert person is not None
        assert not person.active
