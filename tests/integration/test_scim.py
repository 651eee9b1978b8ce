"""What a provisioner does by SCIM, and what an attacker with a key of one tenant tries."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from altar.aesp.identity.mapping import MappingRule
from altar.aesp.identity.scim_roster import PROVIDER
from altar.aesp.store import people
from tests.integration.web_scene import web_scene

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": name} | more


def group(name: str, *ids: str) -> dict[str, Any]:
    return {"schemas": [GROUP], "displayName": name, "members": [{"value": id} for id in ids]}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(operations)}


async def made(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    answer = await client.post(path, json=body)
    assert 201 == answer.status_code, answer.text
    return str(answer.json()["id"])


async def test_who_is_provisioned_may_do_what_their_group_gives_until_they_are_taken_away(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        await scene.mapping.add(MappingRule(PROVIDER, "Staff", "operator"), tenant="acme")
        alice = await made(client, "/Users", user("Alice@example.com", externalId="e-1"))
        inner = await made(client, "/Groups", group("Ops Team", alice))

        def may() -> bool:
            return scene.may("acme/alice@example.com", "tools/x", "execute")

        before = may()
        await made(client, "/Groups", group("Staff", inner))
        nested = may()
        off = await client.patch(f"/Users/{alice}", json=patch({"op": "replace", "path": "active", "value": "False"}))
        inactive = may()
        await client.patch(f"/Users/{alice}", json=patch({"op": "replace", "value": {"active": True}}))
        again = may()
        gone = await client.delete(f"/Users/{alice}")

        assert (False, True, False, True) == (before, nested, inactive, again)
        assert (200, 204) == (off.status_code, gone.status_code)
        assert not may()
        assert scene.directory.principal("acme/alice@example.com") is None


async def test_a_group_that_is_renamed_loses_what_its_name_gave_also_to_who_leaves_it(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        await scene.mapping.add(MappingRule(PROVIDER, "Ops", "operator"), tenant="acme")
        alice, bob = await made(client, "/Users", user("alice")), await made(client, "/Users", user("bob"))
        ops = await made(client, "/Groups", group("Ops", alice, bob))
        people_in = ("acme/alice", "acme/bob")
        before = [scene.may(each, "tools/x", "execute") for each in people_in]

        renamed = await client.put(f"/Groups/{ops}", json=group("X", alice))

        assert [True, True] == before
        assert 200 == renamed.status_code, renamed.text
        assert [alice] == [member["value"] for member in renamed.json()["members"]]
        assert [False, False] == [scene.may(each, "tools/x", "execute") for each in people_in]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_the_id_of_another_tenant_is_answered_like_one_that_never_was(store_url: str, method: str) -> None:
    async with web_scene(store_url) as scene:
        ours, theirs = await scene.client("acme"), await scene.client("globex")
        foreign = await made(theirs, "/Users", user("victor"))
        body = user("x") if method == "PUT" else patch({"op": "replace", "path": "active", "value": False})

        answers = [await ours.request(method, f"/Users/{id}", json=body) for id in (foreign, "0" * 36)]

        assert (404, answers[1].content) == (answers[0].status_code, answers[0].content)
        assert answers[0].headers.items() - answers[1].headers.items() <= {("date", answers[0].headers["date"])}
        assert 200 == (await theirs.get(f"/Users/{foreign}")).status_code


async def test_a_member_of_another_tenant_is_refused_like_one_that_never_was(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        ours, theirs = await scene.client("acme"), await scene.client("globex")
        foreign = await made(theirs, "/Users", user("victor"))

        answers = [await ours.post("/Groups", json=group("g", id)) for id in (foreign, "0" * 36)]

        assert [400, 400] == [each.status_code for each in answers]
        assert answers[0].content == answers[1].content
        assert 0 == (await ours.get("/Groups")).json()["totalResults"]


async def test_roles_and_entitlements_that_a_provisioner_writes_give_nothing(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        more: dict[str, Any] = {
            "roles": [{"value": "admin"}],
            "entitlements": [{"value": "*"}],
            "groups": [{"value": "admin"}],
        }
        more |= {"password": "x", "id": "1", "tenant": "globex", "source": "local", "clearance": "top"}

        alice = await made(client, "/Users", user("alice", **more))

        person = scene.directory.principal("acme/alice")
        assert person is not None
        assert (frozenset(), "") == (frozenset(person.groups), person.clearance)
        assert not scene.may("acme/alice", "tools/x", "execute")
        told = (await client.get(f"/Users/{alice}")).json()
        assert "password" not in told
        assert "groups" not in told


async def test_a_local_principal_is_out_of_a_provisioners_reach(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        await scene.store.run(lambda c: people.create_principal(c, tenant="acme", name="root", now_ms=1), tenant="acme")

        taken = await client.post("/Users", json=user("ROOT", active=False))
        seen = await client.get("/Users", params={"filter": 'userName eq "root"'})

        assert (409, "uniqueness") == (taken.status_code, taken.json()["scimType"])
        assert 0 == seen.json()["totalResults"]
        person = scene.directory.principal("acme/root")
        assert person is not None
        assert person.active


@pytest.mark.parametrize(
    "filter_",
    [
        'userName eq "x" or 1 eq 1',
        'userName eq "x\'; DROP TABLE principals; --"',
        'userName eq "%"',
        'password sw "a"',
        "(" * 300,
        'userName eq "a" and ' * 90 + 'userName eq "a"',
        'nothing eq "x"',
    ],
)
async def test_a_filter_that_attacks_finds_nobody_and_breaks_nothing(store_url: str, filter_: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        await made(client, "/Users", user("alice"))

        answer = await client.get("/Users", params={"filter": filter_})
        after = await client.get("/Users")

        assert answer.status_code in {200, 400}
        assert 200 != answer.status_code or 0 == answer.json()["totalResults"]
        assert 1 == after.json()["totalResults"]


async def test_filter_sort_and_pages_are_of_the_rfc(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        client = await scene.client()
        for name in ("carol", "alice", "Bob", "dave"):
            await made(client, "/Users", user(name, title="dev" if name != "dave" else "ops"))
        asked = {"filter": 'title eq "DEV" and userName ne "alice"', "sortBy": "userName", "count": "1"}

        first = (await client.get("/Users", params=asked)).json()
        second = (await client.get("/Users", params=asked | {"startIndex": "2"})).json()
        bounded = (await client.get("/Users", params={"count": "100000"})).json()

        assert (2, ["Bob"]) == (first["totalResults"], [each["userName"] for each in first["Resources"]])
        assert ["carol"] == [each["userName"] for each in second["Resources"]]
        assert 4 == bounded["itemsPerPage"]


async def test_a_version_that_is_not_the_newest_is_not_written_over(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        alice = await made(client, "/Users", user("alice"))
        old = (await client.get(f"/Users/{alice}")).headers["etag"]
        put = await client.put(f"/Users/{alice}", json=user("alice", title="a"), headers={"if-match": old})

        late = await client.put(f"/Users/{alice}", json=user("alice", title="b"), headers={"if-match": old})
        same = await client.get(f"/Users/{alice}", headers={"if-none-match": put.headers["etag"]})

        assert (200, 412, 304) == (put.status_code, late.status_code, same.status_code)


async def test_a_bulk_job_joins_what_it_made_and_stops_after_its_errors(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        operations = [
            {"method": "POST", "path": "/Users", "bulkId": "q", "data": user("alice")},
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group("Ops", "bulkId:q")},
            {"method": "POST", "path": "/Users", "bulkId": "r", "data": user("ALICE")},
            {"method": "DELETE", "path": "/Users/none"},
            {"method": "POST", "path": "/Users", "bulkId": "s", "data": user("never")},
        ]

        answer = await client.post("/Bulk", json={"schemas": [BULK], "failOnErrors": 2, "Operations": operations})

        told = answer.json()["Operations"]
        assert ["201", "201", "409", "404"] == [each["status"] for each in told]
        members = (await client.get("/Groups")).json()["Resources"][0]["members"]
        assert ["alice"] == [each["display"] for each in members]
        assert 1 == (await client.get("/Users")).json()["totalResults"]


async def test_a_bulk_job_beyond_its_bounds_is_refused(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        client = await scene.client()
        many = [{"method": "DELETE", "path": "/Users/x"}] * 101

        answer = await client.post("/Bulk", json={"schemas": [BULK], "Operations": many})

        assert 413 == answer.status_code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"userName": "a", "userName": "b"}', 400),
        (b"{" + b'"a":{' * 40 + b"}" * 41, 400),
        (b'{"userName": "' + b"x" * (1024 * 1024) + b'"}', 413),
        (json.dumps(user("x" * 300)).encode(), 400),
        (json.dumps(user("a:b")).encode(), 400),
        (json.dumps(user("a b")).encode(), 400),
        (json.dumps(user("alice", nickName="y" * 40_000)).encode(), 400),
    ],
)
async def test_a_body_that_attacks_is_refused_in_words(tmp_path: object, body: bytes, status: int) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        client = await scene.client()

        answer = await client.post("/Users", content=body, headers={"content-type": "application/scim+json"})

        assert status == answer.status_code
        assert ["urn:ietf:params:scim:api:messages:2.0:Error"] == answer.json()["schemas"]
        assert 0 == (await client.get("/Users")).json()["totalResults"]


async def test_every_route_is_refused_without_its_permission_and_says_so_to_the_record(tmp_path: object) -> None:
    async with web_scene(f"sqlite:///{tmp_path}/store.db") as scene:
        nobody = httpx.AsyncClient(base_url=scene.address + "/scim/v2", trust_env=False)
        scene.clients.append(nobody)
        weak = await scene.client(role="viewer")

        anonymous = await nobody.get("/Users")
        refused = await weak.post("/Users", json=user("x"))

        assert (401, "Bearer") == (anonymous.status_code, anonymous.headers["www-authenticate"])
        assert 403 == refused.status_code
        told = [(deed.principal.partition("/")[0], deed.outcome, deed.code) for deed in scene.deeds]
        assert [("", "DENIED", "INVALID_CREDENTIALS"), ("acme", "DENIED", "PERMISSION_DENIED")] == told


async def test_the_subject_of_an_identity_provider_is_linked_to_who_was_provisioned(store_url: str) -> None:
    async with web_scene(store_url) as scene:
        client = await scene.client()
        alice = await made(client, "/Users", user("alice", externalId="oid-1"))
        twice = await client.post("/Users", json=user("bob", externalId="oid-1"))
        await client.put(f"/Users/{alice}", json=user("alice", externalId="oid-2"))

        def linked(subject: str) -> Any:
            return scene.store.run_now(
                lambda c: people.principal_of_external(c, tenant="acme", provider="corp", subject=subject),
                tenant="acme",
            )

        assert (409, None, "alice") == (twice.status_code, linked("oid-1"), linked("oid-2"))
