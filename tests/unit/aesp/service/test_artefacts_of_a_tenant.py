"""Roles, prices and configuration as versions: handed in, looked at by another person, in force at once, and back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import update

from altar.adm.errors import AltarError, ConfigurationError
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.store import tables
from altar.cli.advanced import require_ungoverned_by_policies
from altar.cli.configuration_of_host import CHANGEABLE, ConfigurationOfHost
from altar.settings import Aesp, Settings
from altar.settings import Host as HostSettings
from tests.unit.aesp.service.plane import Plane, plane

SERVICE = "EnterpriseArtefactService"
AUDITOR = 'description = "Reads the record."\npermissions = ["audit:read"]\n'
WIDER = 'permissions = ["audit:read", "audit:export"]\ninherits = ["viewer"]\n'
PRICES = """
currency = "EUR"

[[prices]]
tools = ["a*"]
call = "0.25"
second = "0.001"

[[prices]]
tools = ["nosuch"]
call = "1"
"""
DEAR = """
name = "dear"

[[policies]]
name = "dear"
condition = "resource.metadata.estimated_cost > 0.5"
effect = "DENY"
message = "Too dear."

[[policies]]
name = "staging"
condition = "request.environment == 'staging' && environment.region == 'eu'"
effect = "DENY"
message = "Not there."
"""
STAGING = """
[aesp]
environment = "staging"

[aesp.constants]
region = "eu"

[audit]
redact = ["iban"]

[host]
session_ttl = 60
max_session_ttl = 600
sessions_per_principal = 3
"""


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    """A host with ann and ben, who may do everything in acme, and cyd, who keeps artefacts there and nothing else."""
    async with plane(tmp_path, tier="advanced") as ready:
        for tenant in ("acme", "rival"):
            await ready.made.tenants.create(tenant)
        for name in ("ann", "ben"):
            await ready.person("acme", name, "admin")
        await ready.made.roles.create("keeper", tenant="acme", permissions=("artefacts:*",))
        await ready.person("acme", "cyd", "keeper")
        await ready.person("operator", "rob", "admin")
        yield ready


async def ask(made: Plane, who: str, method: str, **request: Any) -> Any:
    tenant, _, name = who.partition("/")
    return await made.ask(f"{SERVICE}/{method}", request, token=await made.token(tenant, name))


async def refusal(made: Plane, who: str, method: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(AltarError) as refused:
        await ask(made, who, method, **request)
    return refused.value.code, refused.value.message


async def in_force(made: Plane, artefact: str, source: str, *people: str) -> Any:
    """Hand something in as the first of two people and put it in force as the second."""
    author, reviewer = people or ("acme/ann", "acme/ben")
    answer = await ask(made, author, "CreateArtefact", artefact=artefact, source=source)
    looked_at = {"version": answer.version.version, "digest": answer.version.digest}
    await ask(made, reviewer, "ActivateArtefact", artefact=artefact, **looked_at)
    return answer


def granted(made: Plane, name: str) -> list[str]:
    return list(made.made.directory.granted(f"acme/{name}").permissions)


def states(made: Plane) -> dict[tuple[str, int], str]:
    rows = made.made.store.run_now(lambda c: c.execute(tables.artefacts.select()).all(), tenant=None, reads=True)
    return {(row.name, row.version): row.status for row in rows}


def tampered(made: Plane, kind: str, body: str) -> None:
    """Change what is in force past the program."""
    table = tables.artefacts
    changed = update(table).where(table.c.kind == kind, table.c.status == "ACTIVE").values(body=body)
    made.made.store.run_now(lambda c: c.execute(changed), tenant=None)


# ------------------------------------------------------------------------------------------------------------- roles


async def test_a_role_grants_what_its_version_in_force_says_and_each_step_is_recorded(made: Plane) -> None:
    await in_force(made, "role/auditor", AUDITOR)
    await made.person("acme", "dan", "auditor")
    first = granted(made, "dan")
    wider = await in_force(made, "role/auditor", WIDER)
    second = granted(made, "dan")
    back = await ask(made, "acme/ann", "RollbackArtefact", artefact="role/auditor")

    assert ["audit:read"] == first == granted(made, "dan")
    assert {"audit:export", "audit:read", "sessions:read", "tools:read"} == set(second)
    assert ["grants: audit:export", "inherits: viewer"] == list(wider.changes)
    assert (1, 2) == (back.version.version, back.before.version)
    recorded = [
        (entry["event"], entry["principal"], json.loads(entry["data"])["version"])
        for entry in made.entries("acme")
        if entry["kind"] == "event" and entry["event"].startswith("artefact.")
    ]
    assert [
        ("artefact.drafted", "acme/ann", 1),
        ("artefact.submitted", "acme/ann", 1),
        ("artefact.activated", "acme/ben", 1),
        ("artefact.drafted", "acme/ann", 2),
        ("artefact.submitted", "acme/ann", 2),
        ("artefact.activated", "acme/ben", 2),
        ("artefact.rolled_back", "acme/ann", 1),
    ] == recorded


async def test_a_role_that_is_kept_as_versions_is_changed_in_no_other_way(made: Plane) -> None:
    await in_force(made, "role/auditor", AUDITOR)
    told = {}

    for method, more in {
        "CreateRole": {"permissions": ["audit:read"]},
        "ChangeRole": {"add_permissions": ["audit:export"]},
        "DeleteRole": {},
    }.items():
        token = await made.token("acme", "ann")
        with pytest.raises(AltarError) as refused:
            await made.ask(f"EnterpriseAuthorizationService/{method}", {"name": "auditor", **more}, token=token)
        told[method] = (refused.value.code, refused.value.message)

    said = "The role 'auditor' is kept as versions, and is changed by a new one"
    assert {("RESOURCE_CONFLICT", said)} == set(told.values())
    assert (
        "RESOURCE_CONFLICT"
        == (await refusal(made, "acme/ann", "RetireArtefact", artefact="role/auditor", version=1))[0]
    )


async def test_nobody_writes_or_puts_in_force_a_role_that_grants_more_than_they_may(made: Plane) -> None:
    written = await refusal(made, "acme/cyd", "CreateArtefact", artefact="role/auditor", source=AUDITOR)
    inherited = await refusal(made, "acme/cyd", "CreateArtefact", artefact="role/x", source='inherits = ["admin"]')
    answer = await ask(made, "acme/ann", "CreateArtefact", artefact="role/auditor", source=AUDITOR)
    looked_at = {"artefact": "role/auditor", "version": 1, "digest": answer.version.digest}
    activated = await refusal(made, "acme/cyd", "ActivateArtefact", **looked_at)

    said = ("PERMISSION_DENIED", "'acme/cyd' cannot give the role 'auditor', which grants 'audit:read'")
    assert said == written == activated
    assert "PERMISSION_DENIED" == inherited[0]
    assert {("auditor", 1): "PENDING_APPROVAL"} == states(made)


async def test_what_was_looked_at_is_put_in_force_by_another_person_and_nothing_else(made: Plane) -> None:
    answer = await ask(made, "acme/ann", "CreateArtefact", artefact="role/auditor", source=AUDITOR)
    of = {"artefact": "role/auditor", "version": 1}

    alone = await refusal(made, "acme/ann", "ActivateArtefact", **of, digest=answer.version.digest)
    blind = await refusal(made, "acme/ben", "ActivateArtefact", **of)
    other = await refusal(made, "acme/ben", "ActivateArtefact", **of, digest="sha256:" + "0" * 64)

    assert ("PERMISSION_DENIED", "Version 1 was written by the same person, who cannot approve it too") == alone
    assert ("MALFORMED_REQUEST", "The request does not say what was looked at") == blind
    assert ("RESOURCE_CONFLICT", "Version 1 is not what was looked at") == other
    assert "UNKNOWN_RESOURCE" == (await refusal(made, "acme/ann", "GetArtefact", artefact="role/auditor"))[0]
    assert None is made.made.directory.snapshot("acme").role("auditor")  # type: ignore[union-attr]  # it is there


async def test_a_role_that_cannot_hold_is_not_in_force_either(made: Plane) -> None:
    """What it inherits was removed between the two people."""
    await made.made.roles.create("below", tenant="acme", permissions=("tools:read",))
    answer = await ask(made, "acme/ann", "CreateArtefact", artefact="role/above", source='inherits = ["below"]')
    circle = await refusal(made, "acme/ann", "CreateArtefact", artefact="role/admin", source=AUDITOR)
    artefacts, ben = made.made.policies.artefacts, Principal("acme/ben", "acme", PrincipalKind.USER, "password")  # type: ignore[union-attr]  # it has some
    await made.made.roles.delete("below", tenant="acme")

    with pytest.raises(AltarError) as refused:
        await artefacts.activate("role", "above", 1, tenant="acme", who=ben, digest=answer.version.digest)  # type: ignore[arg-type]  # its word

    assert "UNKNOWN_RESOURCE" == refused.value.code
    assert {("above", 1): "PENDING_APPROVAL"} == states(made)
    assert ("RESOURCE_CONFLICT", "The role 'admin' is built in and cannot be changed") == circle


async def test_a_role_that_somebody_changed_in_the_database_is_said(made: Plane) -> None:
    await in_force(made, "role/auditor", AUDITOR)
    row = {"tenant": "acme", "role": "auditor", "permission": "*"}
    made.made.store.run_now(lambda c: c.execute(tables.role_permissions.insert().values(**row)), tenant="acme")

    listed = await ask(made, "acme/ann", "ListArtefacts")

    assert ["The role 'auditor' does not grant what version 1 says"] == list(listed.problems)


# ------------------------------------------------------------------------------------------------------------ prices


async def decided(made: Plane) -> tuple[str, str]:
    """What policies decide on a call of ann's."""
    request = {"tenant_id": "acme", "principal_id": "acme/ann", "tool": "add", "arguments": "eyJuIjoxfQ=="}
    method = "EnterprisePolicyService/EvaluatePolicy"
    answer = await made.ask(method, request, token=await made.token("operator", "root"))
    return answer.decision, answer.policy


async def put_policies_in_force(made: Plane, source: str) -> None:
    token = {name: await made.token("acme", name) for name in ("ann", "ben")}
    kept = await made.ask("EnterprisePolicyService/CreatePolicy", {"source": source}, token=token["ann"])
    looked_at = {"version": kept.policy.version, "digest": kept.policy.digest}
    await made.ask("EnterprisePolicyService/ActivatePolicy", looked_at, token=token["ben"])


async def test_policies_read_the_price_in_force_as_the_estimated_cost(made: Plane) -> None:
    await put_policies_in_force(made, DEAR)
    first = await in_force(made, "price/list", PRICES)
    cheap = await decided(made)
    await in_force(made, "price/list", PRICES.replace('call = "0.25"', 'call = "0.25"\nestimate = "0.75"'))
    dear = await decided(made)
    price = await ask(made, "acme/ann", "GetPrice", tool="add")
    await ask(made, "acme/ann", "RollbackArtefact", artefact="price/list")

    assert ("allowed", "") == cheap == await decided(made)
    assert ("denied", "dear") == dear
    assert "add: nothing said → 0.25 a call, 0.001 a second" in first.changes
    assert "no tool of this host is named by 'nosuch'" in first.changes
    assert ("EUR", "0.75", 2) == (price.currency, price.estimate, price.version)
    assert {"call": "0.25", "second": "0.001"} == dict(price.rates)


async def test_a_price_list_that_somebody_changed_in_the_database_refuses_what_policies_decide(made: Plane) -> None:
    await put_policies_in_force(made, DEAR)
    await in_force(made, "price/list", PRICES)
    tampered(made, "price", '{"currency":"EUR","prices":[]}')

    with pytest.raises(AltarError) as refused:
        made.made.policies.bundles.of("acme")  # type: ignore[union-attr]  # it has some
    listed = await ask(made, "acme/ann", "ListArtefacts", artefact="price/list")
    price = await refusal(made, "acme/ann", "GetPrice", tool="add")

    assert "POLICY_ERROR" == refused.value.code == price[0]
    assert ["The body of version 1 is not the one that was handed in"] == list(listed.problems)


async def test_a_price_is_told_to_who_may_see_the_tool(made: Plane) -> None:
    await in_force(made, "price/list", PRICES)
    await made.made.roles.create("adder", tenant="acme", permissions=("tools/add:read",))
    await made.person("acme", "eli", "adder")

    seen = await ask(made, "acme/eli", "GetPrice", tool="add")

    assert "0.25" == seen.estimate
    assert "PERMISSION_DENIED" == (await refusal(made, "acme/eli", "GetPrice", tool="sub"))[0]


# ----------------------------------------------------------------------------------------------------- configuration

OPERATORS = ("operator/root", "operator/rob")


async def test_a_configuration_holds_at_once_and_the_file_counts_again_when_it_goes(made: Plane) -> None:
    await put_policies_in_force(made, DEAR)
    host = made.host
    before = (host.limits, host.app_records.redact, await decided(made))
    answer = await in_force(made, "configuration/host", STAGING, *OPERATORS)
    limits, redact, then = host.limits, host.app_records.redact, await decided(made)
    session = host.sessions.create("acme/ann", (), ttl=0, manifest=host.manifest, tenant="acme")
    shown = await ask(made, "operator/root", "GetArtefact", artefact="configuration/host")
    await in_force(made, "configuration/host", "", *OPERATORS)

    assert (timedelta(seconds=60), timedelta(seconds=600), 3) == (
        limits.session_ttl,
        limits.max_session_ttl,
        limits.sessions_per_principal,
    )
    assert (("iban",), ("denied", "staging"), 60) == (redact, then, session.ttl)
    assert before == (host.limits, host.app_records.redact, await decided(made))
    assert 'aesp.environment: "production" → "staging"' in answer.changes
    assert 'constants = { region = "eu" }' in shown.source


REFUSED = {
    "[host]\nlisten = '127.0.0.1:1'": "'host.listen' is read when a host starts, and cannot be changed while it runs",
    "[aesp]\nrequire_review = false": "'aesp.require_review' cannot be changed while a host runs. It says whether",
    "[aesp]\nnosuch = 1": "There is no setting 'aesp.nosuch'",
    "[nosuch]\nx = 1": "There is no setting 'nosuch.x'",
    "timeout = 3": "'timeout' is no section",
    "[host]\nsession_ttl = 'x'": "'host.session_ttl' cannot be 'x'",
    "[host]\nsession_ttl = -1": "'host.session_ttl' cannot be -1",
    "[aesp]\nenvironment = 'A B'": "'aesp.environment' cannot be 'A B'",
    "[aesp]\nconstants = 3": "'aesp.constants' cannot be 3",
    "[host]\nmax_session_ttl = 60": "[host] cannot be so: Value error, session_ttl is longer than max_session_ttl",
}


async def test_what_may_not_change_while_a_host_runs_is_refused_and_the_configuration_is_the_operators(
    made: Plane,
) -> None:
    of = {"artefact": "configuration/host"}
    told = {text: await refusal(made, "operator/root", "CreateArtefact", **of, source=text) for text in REFUSED}
    tenants = await refusal(made, "acme/ann", "CreateArtefact", **of, source=STAGING)
    another = await refusal(made, "operator/root", "CreateArtefact", artefact="configuration/x", source=STAGING)

    assert {"MALFORMED_REQUEST"} == {code for code, _ in told.values()}
    assert [] == [text for text, words in REFUSED.items() if not told[text][1].startswith(words)]
    assert ("PERMISSION_DENIED", "MALFORMED_REQUEST") == (tenants[0], another[0])


async def test_a_host_starts_with_the_configuration_in_force_and_not_at_all_with_one_that_was_changed(
    made: Plane, tmp_path: Path
) -> None:
    await in_force(made, "configuration/host", STAGING, *OPERATORS)
    settings = Settings(host=HostSettings(data=tmp_path / "data"), aesp=Aesp(tier="advanced"))
    again = ConfigurationOfHost(made.made.store, settings)

    tampered(made, "configuration", '{"aesp.environment":"development"}')
    listed = await ask(made, "operator/root", "ListArtefacts")

    assert "staging" == again.value("aesp.environment")
    assert "development" != made.made.policy_checks.desk.environment  # type: ignore[union-attr]  # it has some
    assert "The configuration in force cannot be read" in listed.problems[0]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ConfigurationOfHost(made.made.store, settings)


async def test_a_host_of_a_lower_tier_does_not_pass_over_a_configuration(made: Plane) -> None:
    await in_force(made, "configuration/host", STAGING, *OPERATORS)

    with pytest.raises(ConfigurationError, match="'operator' has configuration in force"):
        require_ungoverned_by_policies(made.made.store, ("acme", "operator"))


def test_every_setting_that_may_change_is_one_and_none_of_them_is_secret() -> None:
    known = {
        f"{section}.{name}"
        for section, held in Settings()
        if hasattr(type(held), "model_fields")
        for name, field in type(held).model_fields.items()
        if field.annotation is not SecretStr
    }

    assert set(CHANGEABLE) <= known


# ------------------------------------------------------------------------------------------------------ what is named


async def test_what_is_no_artefact_is_told_what_there_is(made: Plane) -> None:
    told = {
        name: await refusal(made, "acme/ann", "CreateArtefact", artefact=name, source="")
        for name in ("", "role", "role/", "policy/policies", "contract/add@1.0.0", "nosuch/x")
    }

    assert {"MALFORMED_REQUEST"} == {code for code, _ in told.values()}
    assert ("MALFORMED_REQUEST", "'role' is no artefact") == told["role"]


async def test_a_list_goes_on_over_kinds_and_names_and_a_draft_is_not_asked_about(made: Plane) -> None:
    for artefact, source in (("role/b", AUDITOR), ("price/list", PRICES), ("role/a", AUDITOR), ("role/a", WIDER)):
        await ask(made, "acme/ann", "CreateArtefact", artefact=artefact, source=source, draft=True)

    pages, cursor = [], ""
    for _ in range(3):
        page = await ask(made, "acme/ann", "ListArtefacts", limit=1, cursor=cursor)
        pages += [(one.artefact, one.version) for one in page.versions]
        cursor = page.next_cursor
    of_one = await ask(made, "acme/ann", "ListArtefacts", artefact="role/a", limit=1)
    rest = await ask(made, "acme/ann", "ListArtefacts", artefact="role/a", cursor=of_one.next_cursor)
    digest = of_one.versions[0].digest
    refused = await refusal(made, "acme/ben", "ActivateArtefact", artefact="role/a", version=2, digest=digest)

    assert [("price/list", 1), ("role/a", 2), ("role/b", 1)] == pages
    assert ([2], [1]) == ([one.version for one in of_one.versions], [one.version for one in rest.versions])
    assert ("RESOURCE_CONFLICT", "Version 2 is DRAFT, and cannot be activated") == refused


async def test_a_host_of_a_lower_tier_keeps_no_versions(tmp_path: Path) -> None:
    async with plane(tmp_path, tier="foundation") as below:
        told = await refusal(below, "operator/root", "CreateArtefact", artefact="role/x", source=AUDITOR)

    assert ("NOT_ACTIVE", "This host keeps no versions") == told
