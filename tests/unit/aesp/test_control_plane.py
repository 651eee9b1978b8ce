"""The checks of a tier, in their order, and what each lets pass; over a real store and a real ledger."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.aesp.control_plane import ControlPlane, authenticated
from altar.aesp.principal import Principal, PrincipalKind
from altar.grid.manifests.manifest import HostContract, Manifest
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation
from tests.unit.aesp.service.plane import Plane, plane
from tests.unit.grid.contracts import MANIFEST

NAME = MANIFEST.names[0]
ANN = Principal("acme/ann", "acme", PrincipalKind.USER, authenticated_by="test")


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane(tmp_path) as ready:
        await ready.made.tenants.create("acme")
        await ready.person("acme", "ann", "developer")
        yield ready


def call(who: object = ANN) -> Invocation:
    """A call that has been found."""
    made = Invocation(NAME, b"{}", principal="acme/ann", tenant="acme", who=who)
    made.contract = MANIFEST.find(NAME)
    return made


def governed(**members: object) -> HostContract:
    """The contract of the call with a governance beside it."""
    return HostContract(MANIFEST.find(NAME).declaration, governance=Governance(**members))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (None, "INVALID_CREDENTIALS"),
        ("acme/ann", "INVALID_CREDENTIALS"),
        (replace(ANN, expires=time.time() - 1), "INVALID_CREDENTIALS"),
        (replace(ANN, id="acme/nobody"), "INVALID_CREDENTIALS"),
        (replace(ANN, scopes=frozenset({"sessions:create"})), "INSUFFICIENT_SCOPE"),
    ],
)
async def test_who_has_not_proved_to_be_somebody_who_may_is_refused(made: Plane, who: object, code: str) -> None:
    gate = ControlPlane(OpenGate(), made.made._checks, refusals=made.made.refusals)

    with pytest.raises(AltarError) as refused:
        gate.authorize(call(who))
    gate.authorize(call())

    assert code == refused.value.code


async def test_the_first_check_that_refuses_is_the_last_that_is_asked(made: Plane) -> None:
    asked: list[str] = []

    def refuse(_: Invocation) -> None:
        asked.append("first")
        raise AltarError("PERMISSION_DENIED", "no")

    gate = ControlPlane(OpenGate(), (refuse, lambda _: asked.append("second")), refusals=made.made.refusals)
    with pytest.raises(AltarError):
        gate.authorize(call())

    assert ["first"] == asked


def test_a_credential_counts_up_to_its_end_and_not_at_it() -> None:
    now = [99.0]
    check = authenticated(lambda: now[0], lambda _: True)

    check(call(replace(ANN, expires=100.0)))
    check(call(replace(ANN, expires=math.inf)))
    now[0] = 100.0
    with pytest.raises(AltarError) as ended:
        check(call(replace(ANN, expires=100.0)))

    assert "INVALID_CREDENTIALS" == ended.value.code


@pytest.mark.parametrize("status", ["DRAFT", "PENDING_APPROVAL", "RETIRED"])
async def test_a_contract_that_is_not_active_is_not_there(made: Plane, status: str) -> None:
    contract = governed(approval_status=status)

    assert not made.made.access.sees(ANN, contract)
    with pytest.raises(AltarError) as refused:
        made.made.access.require(ANN, contract)
    assert "NOT_ACTIVE" == refused.value.code


async def test_all_required_roles_and_permissions_are_required(made: Plane) -> None:
    held = governed(required_roles=("developer",), required_permissions=("tools:read",), approval_status="ACTIVE")
    role = governed(required_roles=("developer", "treasurer"))
    permission = governed(required_permissions=("tools:read", "pii:read"))

    assert [True, False, False] == [made.made.access.sees(ANN, each) for each in (held, role, permission)]


async def test_what_is_seen_is_one_manifest_until_that_changes(made: Plane) -> None:
    access = made.made.access

    first, again = access.of(ANN, MANIFEST), access.of(ANN, MANIFEST)
    await made.made.roles.create("other", tenant="acme", permissions=("x:y",))
    unchanged = access.of(ANN, MANIFEST)
    nobody: Manifest = access.of(replace(ANN, id="acme/nobody"), MANIFEST)

    assert first is again is unchanged
    assert MANIFEST.names == first.names
    assert [] == nobody.names
