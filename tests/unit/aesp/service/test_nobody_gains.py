"""Ways by which somebody who may administer a little could come to more than they have, and why none of them works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.service.reach import Reach
from altar.aesp.store import people
from tests.unit.aesp.service.plane import Plane, plane

IDENTITY = "EnterpriseIdentityService"


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    """A tenant acme with boss, who may everything, and helper, who may administer people and keys and no more."""
    async with plane(tmp_path) as ready:
        await ready.made.tenants.create("acme")
        permissions = ["principals:change", "principals:read", "keys:create", "bindings:create"]
        await ready.made.roles.create("help-desk", tenant="acme", permissions=permissions)
        await ready.person("acme", "boss", "admin")
        await ready.person("acme", "helper", "help-desk")
        yield ready


async def refusal(made: Plane, method: str, request: Mapping[str, Any], *, token: str) -> str:
    """The code that a request is refused with."""
    with pytest.raises(AltarError) as refused:
        await made.ask(method, request, token=token)
    return refused.value.code


async def test_a_service_account_with_a_role_that_is_not_there_is_not_left_behind(made: Plane) -> None:
    boss = await made.token("acme", "boss")
    asked = {"name": "deployer", "roles": ["viewer", "nosuch"]}

    assert "UNKNOWN_RESOURCE" == await refusal(made, f"{IDENTITY}/CreateServiceAccount", asked, token=boss)

    assert made.made.directory.principal("acme/svc:deployer") is None


async def test_a_service_account_whose_role_goes_meanwhile_is_not_left_behind(made: Plane) -> None:
    boss, create = await made.token("acme", "boss"), made.made.service_accounts.create
    for binding in await made.made.roles.bindings(tenant="acme", role="help-desk"):
        await made.made.roles.unbind(binding.id, tenant="acme")

    async def created(*names: Any, **more: Any) -> Any:
        new = await create(*names, **more)
        await made.made.roles.delete("help-desk", tenant="acme")
        return new

    made.made.service_accounts.create = created  # type: ignore[method-assign]  # the role goes at the worst moment
    asked = {"name": "deployer", "roles": ["help-desk"]}
    assert "UNKNOWN_RESOURCE" == await refusal(made, f"{IDENTITY}/CreateServiceAccount", asked, token=boss)

    assert made.made.directory.principal("acme/svc:deployer") is None
    assert [] == await made.made.keys.listed(tenant="acme", principal="acme/svc:deployer", after="", limit=10)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("SetPassword", {"principal_id": "boss"}),
        ("CreateApiKey", {"principal_id": "boss"}),
        ("SetPrincipalActive", {"principal_id": "boss", "active": True}),
    ],
)
async def test_who_is_deactivated_keeps_what_protects_them_from_being_taken_over(
    made: Plane, method: str, request_: Mapping[str, Any]
) -> None:
    helper = await made.token("acme", "helper")
    await made.person("acme", "second", "admin")  # the last administrator could not be deactivated
    await made.ask(f"{IDENTITY}/SetPrincipalActive", {"principal_id": "boss", "active": False}, token=helper)

    assert "PERMISSION_DENIED" == await refusal(made, f"{IDENTITY}/{method}", request_, token=helper)


async def test_the_roles_of_a_group_protect_a_deactivated_member_too(made: Plane) -> None:
    def work(connection: Any) -> None:
        people.create_principal(connection, tenant="acme", name="chief", now_ms=1, active=False)
        people.create_group(connection, tenant="acme", name="chiefs", now_ms=1)
        people.set_members(connection, tenant="acme", group="chiefs", principals=["chief"], source="local")

    await made.made.store.run(work, tenant="acme")
    await made.made.roles.bind("admin", tenant="acme", group="chiefs")
    helper = await made.token("acme", "helper")

    asked = {"principal_id": "chief"}
    assert "PERMISSION_DENIED" == await refusal(made, f"{IDENTITY}/SetPassword", asked, token=helper)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("CreateApiKey", {"principal_id": "boss"}),
        ("CreateApiKey", {"principal_id": "boss", "scopes": ["keys:create", "tools:execute"]}),
        ("SetPassword", {"principal_id": "boss"}),
    ],
)
async def test_a_narrowed_key_gives_its_own_principal_nothing_wider(
    made: Plane, method: str, request_: Mapping[str, Any]
) -> None:
    narrow = await made.made.keys.create("acme/boss", tenant="acme", scopes=["keys:create", "principals:change"])

    assert "PERMISSION_DENIED" == await refusal(made, f"{IDENTITY}/{method}", request_, token=narrow.text)


async def test_a_narrowed_key_replaces_no_key_that_may_more(made: Plane) -> None:
    narrow = await made.made.keys.create("acme/boss", tenant="acme", scopes=["keys:create"])
    wide = await made.made.keys.create("acme/boss", tenant="acme")

    for asked, expected in ((wide.key.id, "PERMISSION_DENIED"), (narrow.key.id, "")):
        request = {"key_id": asked}
        if expected:
            assert expected == await refusal(made, f"{IDENTITY}/RotateApiKey", request, token=narrow.text)
        else:
            answer = await made.ask(f"{IDENTITY}/RotateApiKey", request, token=narrow.text)
            assert ["keys:create"] == list(answer.key.scopes)


async def test_a_key_makes_another_one_that_may_as_little(made: Plane) -> None:
    narrow = await made.made.keys.create("acme/boss", tenant="acme", scopes=["keys:create"])
    request = {"principal_id": "boss", "scopes": ["keys:create"]}

    answer = await made.ask(f"{IDENTITY}/CreateApiKey", request, token=narrow.text)

    assert ["keys:create"] == list(answer.key.scopes)


async def test_a_role_that_this_host_has_not_heard_of_yet_is_given_to_nobody(made: Plane) -> None:
    helper = Principal("acme/helper", "acme", PrincipalKind.USER, authenticated_by="test")

    with pytest.raises(AltarError) as refused:
        Reach(made.made.rbac, made.made.directory).require_role(helper, "made-elsewhere", tenant="acme")

    assert "UNKNOWN_RESOURCE" == refused.value.code


async def test_roles_are_not_taken_away_with_the_permission_to_give_them(made: Plane) -> None:
    helper = await made.token("acme", "helper")
    request = {"principal_id": "boss", "remove": ["admin"]}

    assert "PERMISSION_DENIED" == await refusal(made, f"{IDENTITY}/UpdatePrincipalRoles", request, token=helper)
    assert ("admin",) == made.made.directory.granted("acme/boss").roles


async def test_asking_the_record_for_somebody_leaves_no_trace_of_the_question(made: Plane) -> None:
    boss = await made.token("acme", "boss")
    subjects = made.made._ledger.subjects
    assert subjects is not None

    request = {"principal_id": "who-never-was"}
    answer = await made.ask("EnterpriseAuditService/QueryEvents", request, token=boss)

    assert [] == list(answer.events)
    assert subjects.find("acme", "acme/who-never-was") is None
    assert subjects.find("acme", "acme/boss") is not None


async def test_a_permission_that_one_administrator_took_does_not_come_back_with_what_another_adds(made: Plane) -> None:
    boss = await made.token("acme", "boss")
    requests = [
        {"name": "help-desk", "remove_permissions": ["keys:create"]},
        {"name": "help-desk", "add_permissions": ["tools:read"]},
        {"name": "help-desk", "add_inherits": ["viewer"]},
    ]

    await asyncio.gather(*(made.ask("EnterpriseAuthorizationService/ChangeRole", one, token=boss) for one in requests))
    role = await made.made.roles.show("help-desk", tenant="acme")

    held = {each.text for each in role.permissions}
    assert ("keys:create" in held, "tools:read" in held, role.inherits) == (False, True, ("viewer",))
