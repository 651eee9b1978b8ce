"""What holds for every method of administration, also for one that is added tomorrow."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.aesp.service.client import SERVICES
from altar.aesp.service.permissions import METHODS, Access
from tests.unit.aesp.service.plane import Plane, plane

FREE = {
    "EnterpriseAuthenticationService/AuthenticateUser",
    "EnterpriseAuthenticationService/AuthenticateServiceAccount",
    "EnterpriseAuthenticationService/RefreshToken",
    "EnterpriseAuthenticationService/RevokeToken",
    "EnterpriseAuthenticationService/ListProviders",
    "EnterpriseAuthenticationService/ValidateToken",
    "EnterpriseAuthenticationService/GetUserRoles",
    "EnterpriseAuthenticationService/GetUserPermissions",
    "EnterpriseAuthorizationService/CheckPermission",
    "EnterprisePolicyService/Explain",
    "EnterpriseGovernanceService/ListPendingApprovals",
    "EnterpriseGovernanceService/GetApproval",
    "EnterpriseGovernanceService/AdjudicateApproval",
    "EnterpriseGovernanceService/WithdrawApproval",
}
"""What needs no permission: to prove who one is, and to look at oneself; requests for approval are shown to their
requester and approvers only, which is judged request by request. Nothing else may be added without thought."""

GOVERNED = sorted(set(METHODS) - FREE)
TENANTS_OWN = [name for name in GOVERNED if METHODS[name].access is Access.TENANT]

VALID: dict[str, dict[str, Any]] = {
    "CreatePrincipal": {"type": "PRINCIPAL_TYPE_USER"},
    "ExportAuditLogs": {"format": "EXPORT_FORMAT_NDJSON"},
    "AuthorizeAction": {"resource": "tools", "action": "execute"},
    "WhoCan": {"resource": "tools", "action": "execute"},
    "CreateRole": {"permissions": ["tools:read"]},
    "CreateGroup": {"display": "a group"},
    "AssignRole": {"scope": "*"},
    "SubmitContract": {"contract": "add@1.10.0"},
    "ActivateContract": {"contract": "add@1.10.0"},
    "RetireContract": {"contract": "add@1.10.0"},
    "CreateArtefact": {"artefact": "role/spies", "source": "permissions = ['tools:read']"},
    "DeleteArtefact": {"artefact": "role/spies", "version": 1},
    "GetArtefact": {"artefact": "role/spies"},
    "SubmitArtefact": {"artefact": "role/spies", "version": 1},
    "ActivateArtefact": {"artefact": "role/spies", "version": 1, "digest": "x"},
    "RollbackArtefact": {"artefact": "role/spies"},
    "RetireArtefact": {"artefact": "role/spies", "version": 1},
    "GetPrice": {"tool": "add"},
    "CreatePolicy": {"source": 'name = "p"'},
    "UpdatePolicy": {"source": 'name = "p"', "version": 1},
    "DeletePolicy": {"version": 1},
    "ValidatePolicy": {"source": 'name = "p"'},
    "TestPolicy": {"source": 'name = "p"'},
    "DiffPolicy": {"to_version": 1},
    "SubmitPolicy": {"version": 1},
    "ActivatePolicy": {"version": 1},
    "RetirePolicy": {"version": 1},
}
"""What a request of a method needs beside ids to be one."""


@pytest_asyncio.fixture
async def made(tmp_path: Path, store_url: str) -> AsyncIterator[Plane]:
    async with plane(tmp_path, database_url=store_url, tier="advanced") as ready:
        for tenant in ("acme", "rival"):
            await ready.made.tenants.create(tenant)
        yield ready


def test_every_method_of_every_service_has_a_rule_and_every_rule_a_method() -> None:
    methods = {f"{name}/{method.name}" for name, service in SERVICES.items() for method in service.methods}

    assert methods == set(METHODS)


def test_only_proving_who_one_is_and_looking_at_oneself_is_free() -> None:
    free = {name for name, rule in METHODS.items() if rule.access in {Access.OPEN, Access.OWN}}

    assert free == FREE


async def test_every_method_is_refused_without_its_permission_and_leaves_an_entry(made: Plane) -> None:
    token = await made.person("acme", "nobody")
    codes = {}

    for method in GOVERNED:
        with pytest.raises(AltarError) as refused:
            await made.ask(method, VALID.get(method.partition("/")[2]), token=token)
        codes[method] = refused.value.code

    assert dict.fromkeys(GOVERNED, "PERMISSION_DENIED") == codes
    recorded = {
        entry["event"]
        for entry in made.entries("acme")
        if entry["kind"] == "event" and (entry["principal"], entry.get("outcome")) == ("acme/nobody", "DENIED")
    }
    assert {METHODS[method].event for method in GOVERNED} == recorded


async def test_an_administrator_of_a_tenant_is_not_the_operator(made: Plane) -> None:
    boss = await made.person("acme", "boss", "admin")

    for method in (name for name, rule in METHODS.items() if rule.access is Access.OPERATOR):
        with pytest.raises(AltarError) as refused:
            await made.ask(method, {"tenant_id": "rival"} if _names_a_tenant(method) else {}, token=boss)
        assert "PERMISSION_DENIED" == refused.value.code, method


def _names_a_tenant(method: str) -> bool:
    service, _, name = method.partition("/")
    return "tenant_id" in SERVICES[service].methods_by_name[name].input_type.fields_by_name


async def test_without_a_credential_nothing_is_done(made: Plane) -> None:
    for method in GOVERNED:
        with pytest.raises(AltarError) as refused:
            await made.ask(method)
        assert "INVALID_CREDENTIALS" == refused.value.code, method


# ------------------------------------------------------------------------------------------- other tenants' ids

THEIRS = {
    "principal_id": "eve",
    "name": "eve",
    "role": "spies",
    "group": "moles",
    "key_id": "",
    "binding_id": "",
    "artefact": "role/moles",
}
"""Ids of another tenant by the member of a request; those of keys and bindings are known when they are made."""


async def _theirs(made: Plane) -> dict[str, str]:
    """Things of the tenant rival that nobody of acme may notice, by the member that would name them."""
    await made.person("rival", "eve")
    await made.made.roles.create("spies", tenant="rival", permissions=("tools:read",))
    binding = await made.made.roles.bind("spies", tenant="rival", principal="eve")
    key = await made.made.keys.create("rival/eve", tenant="rival")
    root = await made.token("operator", "root")
    artefact = {"tenant_id": "rival", "artefact": "role/moles", "source": "permissions = ['tools:read']"}
    await made.ask("EnterpriseArtefactService/CreateArtefact", artefact, token=root)
    for name in ("eve", "moles"):
        await made.ask("EnterpriseIdentityService/CreateGroup", {"tenant_id": "rival", "name": name}, token=root)
    return THEIRS | {"key_id": key.key.id, "binding_id": binding.id}


def _absent(theirs: str) -> str:
    """A text that names nothing, as long as theirs and of the same letters; an artefact keeps its kind."""
    if theirs.startswith("role/"):
        return f"role/{_absent(theirs.removeprefix('role/'))}"
    return "".join("0" if letter.isdigit() else "z" if letter.isalpha() else letter for letter in theirs)


def _requests(method: str, ids: dict[str, str], tenant: str) -> list[dict[str, Any]]:
    """A request for each way in which a method can name something: each member by itself, and the tenant."""
    service, _, name = method.partition("/")
    members = SERVICES[service].methods_by_name[name].input_type.fields_by_name
    base = VALID.get(name, {})
    known = {member: held for member, held in ids.items() if member in members}
    full = {
        member: held
        for member, held in known.items()
        if not (member == "group" and "principal_id" in known)  # a binding has one of the two
    }
    made = [base | full] if full else []  # what names nothing is about the asker's own tenant, which goes on
    if "principal_id" in full:
        made.append(base | full | {"principal_id": f"{tenant}/{full['principal_id']}"})
    if "group" in known:
        made.append(base | {member: held for member, held in known.items() if member != "principal_id"})
    for member, described in members.items():
        if described.is_repeated and member in {"add", "remove"}:
            made.append(base | full | {member: [ids["principal_id"]]})
    if "tenant_id" in members:
        made.append(base | full | {"tenant_id": tenant})
    return made


async def _answer(made: Plane, method: str, request: dict[str, Any], token: str) -> tuple[str, list[str]]:
    """What is answered, with ids of equal length made equal, and the statements that were sent to the database."""
    made.statements.clear()
    try:
        answer = await made.ask(method, request, token=token)
        text = repr([str(part) for part in answer] if isinstance(answer, list) else str(answer))
    except AltarError as refused:
        text = f"{refused.code} {refused.message} {refused.hint} {refused.path}"
    words = {str(held) for held in request.values() if isinstance(held, str)} | {
        str(one) for held in request.values() if isinstance(held, list) for one in held
    }
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "?" * len(word))
    text = re.sub(r"[0-9a-f]{16,}|altar_\S+|[A-Za-z0-9_-]{43}|(_ms: )\d+", "#", text)
    return text, sorted(one for one in made.statements if not _IS_WATCHING.search(one))


_IS_WATCHING = re.compile(r"^(BEGIN|COMMIT|PRAGMA|SELECT 1$)|tenant_versions|set_config| counters")
"""What the store asks now and then by itself, whatever is asked of it."""


async def test_the_ids_of_another_tenant_are_answered_like_ids_that_do_not_exist(made: Plane) -> None:
    theirs = await _theirs(made)
    boss = await made.person("acme", "boss", "admin")
    absent = {member: _absent(held) for member, held in theirs.items()}
    told: dict[str, list[Any]] = {}

    for method in sorted(TENANTS_OWN, key=lambda name: ("/Create" in name, name)):  # what makes things comes last
        foreign = [await _answer(made, method, one, boss) for one in _requests(method, theirs, "rival")]
        nothing = [await _answer(made, method, one, boss) for one in _requests(method, absent, _absent("rival"))]
        differ = [pair for pair in zip(foreign, nothing, strict=True) if pair[0] != pair[1]]
        told |= {method: differ} if differ else {}

    assert not told, "\n".join(map(str, told.items()))
