"""The last administrator of a tenant stays one, whatever people ask for; over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.errors import ValidationError
from altar.aesp.administrators import has_administrator
from tests.unit.aesp.service.plane import Plane, plane

SERVICE = "EnterpriseIdentityService"


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane(tmp_path) as ready:
        await ready.made.tenants.create("acme")
        await ready.person("acme", "ann")
        await ready.person("acme", "bob")
        yield ready


async def asked(made: Plane, method: str, **request: Any) -> Any:
    """One request of the operator about acme, who may do everything there."""
    token = await made.token("operator", "root")
    return await made.ask(method, {"tenant_id": "acme", **request}, token=token)


async def bound(made: Plane, name: str, role: str = "admin", **more: Any) -> str:
    return (await made.made.roles.bind(role, tenant="acme", principal=name, **more)).id


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        (f"{SERVICE}/DeletePrincipal", {"principal_id": "ann"}),
        (f"{SERVICE}/SetPrincipalActive", {"principal_id": "ann", "active": False}),
        (f"{SERVICE}/UpdatePrincipalRoles", {"principal_id": "ann", "remove": ["admin"]}),
        ("EnterpriseAuthorizationService/RevokeRole", {"binding_id": ""}),
    ],
)
async def test_the_last_administrator_is_not_deleted_deactivated_or_without_the_role(
    made: Plane, method: str, request_of: dict[str, Any]
) -> None:
    binding = await bound(made, "ann")
    request = {**request_of, "binding_id": binding} if "binding_id" in request_of else request_of

    with pytest.raises(ValidationError) as refused:
        await asked(made, method, **request)
    await bound(made, "bob", expires_ms=2**52)
    with pytest.raises(ValidationError):
        await asked(made, method, **request)
    await bound(made, "bob", scope="tools/x")
    with pytest.raises(ValidationError):
        await asked(made, method, **request)
    await bound(made, "bob")
    await asked(made, method, **request)

    assert "RESOURCE_CONFLICT" == refused.value.code
    assert "last administrator of the tenant 'acme'" in refused.value.message


async def test_the_last_administrator_of_the_host_stays_one(made: Plane) -> None:
    token = await made.token("operator", "root")

    with pytest.raises(ValidationError) as refused:
        await made.ask(f"{SERVICE}/DeletePrincipal", {"principal_id": "root"}, token=token)

    assert "'operator'" in refused.value.message


async def test_somebody_inactive_is_no_administrator(made: Plane) -> None:
    await bound(made, "ann")
    await bound(made, "bob")
    await asked(made, f"{SERVICE}/SetPrincipalActive", principal_id="bob", active=False)

    with pytest.raises(ValidationError):
        await asked(made, f"{SERVICE}/DeletePrincipal", principal_id="ann")


async def test_who_is_administrator_through_groups_and_an_inheriting_role_counts(made: Plane) -> None:
    roles, group = made.made.roles, {"name": "chiefs"}
    await roles.create("chief", tenant="acme", inherits=("admin",))
    await asked(made, f"{SERVICE}/CreateGroup", **group)
    await asked(made, f"{SERVICE}/ChangeGroupMembers", **group, add=["ann"])
    await roles.bind("chief", tenant="acme", group="chiefs")

    for method, request in (
        (f"{SERVICE}/ChangeGroupMembers", {**group, "remove": ["ann"]}),
        (f"{SERVICE}/DeleteGroup", group),
        (f"{SERVICE}/DeletePrincipal", {"principal_id": "ann"}),
        ("EnterpriseAuthorizationService/ChangeRole", {"name": "chief", "remove_inherits": ["admin"]}),
    ):
        with pytest.raises(ValidationError) as refused:
            await asked(made, method, **request)
        assert "RESOURCE_CONFLICT" == refused.value.code, method


async def test_a_service_account_that_is_the_last_administrator_is_not_revoked(made: Plane) -> None:
    account = await made.made.service_accounts.create("robot", tenant="acme")
    await bound(made, account.key.principal.partition("/")[2])

    with pytest.raises(ValidationError) as refused:
        await asked(made, f"{SERVICE}/RevokeServiceAccount", principal_id="robot")

    assert "RESOURCE_CONFLICT" == refused.value.code


async def test_a_tenant_that_never_had_an_administrator_can_be_changed(made: Plane) -> None:
    await asked(made, f"{SERVICE}/DeletePrincipal", principal_id="ann")


@pytest.mark.timeout(120)
async def test_the_last_two_cannot_remove_each_other_at_the_same_time(tmp_path: Path, store_url: str) -> None:
    async with plane(tmp_path, database_url=store_url) as made:
        for turn in range(5):
            tenant = f"acme-{turn}"
            await made.made.tenants.create(tenant)
            for name in ("ann", "bob"):
                await made.person(tenant, name, "admin")
            token = await made.token("operator", "root")
            ended = await asyncio.gather(
                *(
                    made.ask(f"{SERVICE}/DeletePrincipal", {"tenant_id": tenant, "principal_id": name}, token=token)
                    for name in ("ann", "bob")
                ),
                return_exceptions=True,
            )

            assert 1 == sum(isinstance(each, ValidationError) for each in ended), ended
            assert await made.made.store.run(partial(has_administrator, tenant=tenant), tenant=tenant, reads=True)
