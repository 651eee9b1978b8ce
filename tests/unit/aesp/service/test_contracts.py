"""Contracts that a tenant approves or ends for itself: what is called, what is seen, and what an approval is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.aesp.principal import Principal, PrincipalKind
from altar.grid.manifests.manifest import Manifest
from tests.unit.aesp.service.plane import Plane, plane
from tests.unit.grid.contracts import declaration

SERVICE = "EnterpriseContractService"
WAITS, ENDED, FREE = "wait@1.0.0", "gone@1.0.0", "free@1.0.0"
CONTRACTS = [declaration("wait"), declaration("gone"), declaration("free")]
SAID = {
    ("wait", "1.0.0"): Governance(approval_status="PENDING_APPROVAL"),
    ("gone", "1.0.0"): Governance(approval_status="RETIRED"),
}


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    """A host with a contract that waits for approval, one that is retired, and one of which nothing is said."""
    async with plane(tmp_path, tier="advanced", manifest=Manifest(CONTRACTS, governance=SAID)) as ready:
        for tenant in ("acme", "rival"):
            await ready.made.tenants.create(tenant)
            for name in ("ann", "ben"):
                await ready.person(tenant, name, "admin")
        yield ready


async def ask(made: Plane, who: str, method: str, **request: Any) -> Any:
    tenant, _, name = who.partition("/")
    return await made.ask(f"{SERVICE}/{method}", request, token=await made.token(tenant, name))


def called(made: Plane, tenant: str = "acme") -> dict[str, str]:
    """What becomes of a call of each contract by ben, "" for one that goes on; and whether it is seen."""
    ben = Principal(f"{tenant}/ben", tenant, PrincipalKind.USER, "password")
    told = {}
    for contract in made.host.manifest:
        try:
            made.made.access.require(ben, contract)
            told[contract.name] = ""
        except AltarError as refused:
            told[contract.name] = refused.message
        assert (told[contract.name] == "") is made.made.access.sees(ben, contract)
    return told


def digest_of(made: Plane, contract: str) -> str:
    """What somebody who looks at a contract of the manifest sees as its digest."""
    return next(one.digest for one in made.host.manifest if f"{one.name}@{one.version}" == contract)


NO = "The contract of {!r} is {}, and is not called"
OFFERED = {"wait": NO.format("wait", "PENDING_APPROVAL"), "gone": NO.format("gone", "RETIRED"), "free": ""}


async def test_a_tenant_approves_for_itself_what_the_manifest_says_waits_for_approval(made: Plane) -> None:
    before = called(made)
    await ask(made, "acme/ann", "SubmitContract", contract=WAITS)
    proposed = called(made)
    with pytest.raises(AltarError) as alone:
        await ask(made, "acme/ann", "ActivateContract", contract=WAITS, digest=digest_of(made, WAITS))
    await ask(made, "acme/ben", "ActivateContract", contract=WAITS, digest=digest_of(made, WAITS))

    assert (OFFERED, OFFERED, OFFERED | {"wait": ""}) == (before, proposed, called(made))
    assert OFFERED == called(made, "rival")
    assert "PERMISSION_DENIED" == alone.value.code


async def test_a_contract_is_approved_as_it_was_looked_at_and_no_other(made: Plane) -> None:
    await ask(made, "acme/ann", "SubmitContract", contract=WAITS)
    told = []

    for digest in ("", digest_of(made, FREE)):
        with pytest.raises(AltarError) as refused:
            await ask(made, "acme/ben", "ActivateContract", contract=WAITS, digest=digest)
        told.append((refused.value.code, refused.value.message))

    assert [
        ("MALFORMED_REQUEST", "The request does not say what was looked at"),
        ("RESOURCE_CONFLICT", "Version 1 is not what was looked at"),
    ] == told
    assert OFFERED == called(made)


async def test_an_approval_is_worth_nothing_for_another_contract_of_the_same_version(made: Plane) -> None:
    await ask(made, "acme/ann", "SubmitContract", contract=WAITS)
    await ask(made, "acme/ben", "ActivateContract", contract=WAITS, digest=digest_of(made, WAITS))

    other = declaration("wait", destructive=True)
    made.host.activate(Manifest([other, *CONTRACTS[1:]], governance=SAID))

    assert OFFERED == called(made)


async def test_a_tenant_ends_a_contract_for_itself_and_one_person_is_enough(made: Plane) -> None:
    await ask(made, "acme/ann", "SubmitContract", contract=FREE)
    await ask(made, "acme/ben", "ActivateContract", contract=FREE, digest=digest_of(made, FREE))
    await ask(made, "acme/ann", "RetireContract", contract=FREE)

    assert NO.format("free", "RETIRED") == called(made)["free"]
    assert "" == called(made, "rival")["free"]


async def test_what_the_manifest_has_retired_no_tenant_brings_back(made: Plane) -> None:
    await ask(made, "acme/ann", "SubmitContract", contract=ENDED)
    await ask(made, "acme/ben", "ActivateContract", contract=ENDED, digest=digest_of(made, ENDED))

    assert OFFERED == called(made)


async def test_contracts_are_listed_with_what_was_said_last_and_others_are_not_there(made: Plane) -> None:
    await ask(made, "acme/ann", "SubmitContract", contract=WAITS)
    await ask(made, "acme/ann", "RetireContract", contract=WAITS)
    await ask(made, "acme/ann", "SubmitContract", contract=FREE)

    listed = await ask(made, "acme/ann", "ListContracts")
    theirs = await ask(made, "rival/ann", "ListContracts")
    with pytest.raises(AltarError) as unknown:
        await ask(made, "acme/ann", "SubmitContract", contract="nosuch@1.0.0")

    assert [(FREE, 2), (WAITS, 4)] == [(one.contract, one.status) for one in listed.contracts]
    assert [] == list(theirs.contracts)
    assert "UNKNOWN_RESOURCE" == unknown.value.code
    digests = {contract.name: contract.digest for contract in made.host.manifest}
    assert digests["free"] == listed.contracts[0].digest
