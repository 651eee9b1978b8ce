"""Every denial and every approval of the tier ADVANCED, explained, and compared with a stored text.

Each call is first made at the gate of a real host of the tier; what it is refused with is what the explanation says.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.adm.schema import Schema
from altar.aesp.control_plane import ControlPlane
from altar.aesp.policy.explain import Question
from altar.aesp.principal import Principal, PrincipalKind
from altar.grid.manifests.manifest import Manifest
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation
from tests.messages.conftest import Told
from tests.unit.aesp.service.plane import Plane, plane

pytestmark = pytest.mark.timeout(120)

WHEN_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z, a Monday


def _function(name: str, **properties: Any) -> FunctionDeclaration:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [each for each in properties if each != "note"],
        "additionalProperties": False,
    }
    return FunctionDeclaration(
        name=name,
        description=f"The function {name}.",
        parameters=Schema.from_json_schema(parameters),
        returns=Schema.from_json_schema({"type": "integer"}),
        version="1.0.0",
    )


PAY = _function("pay", amount={"type": "number"}, to={"type": "string"}, note={"type": "string"})
MANIFEST = Manifest(
    [PAY, _function("look"), _function("vault"), _function("sketch")],
    governance={
        ("vault", "1.0.0"): Governance(required_roles=("treasurer",), required_permissions=("vault:open",)),
        ("sketch", "1.0.0"): Governance(approval_status="DRAFT"),
    },
)
PAYMENTS = """
name = "payments"
record = ["args.amount"]

[constants]
limit = 500

[[policies]]
name = "large-payments"
tools = ["pay"]
condition = 'args.amount > constants.limit && !("payer" in principal.roles)'
effect = "DENY"
message = "Payments over 500 need the role payer."

[[policies]]
name = "not-to-mallory"
tools = ["pay"]
condition = 'args.to == "mallory" && (args.amount > 1.0 || args.note == "gift")'
effect = "DENY"
message = "Nobody pays mallory."

[[policies]]
name = "two-of-finance"
tools = ["pay"]
condition = 'args.amount > 100 && args.to != "petty cash"'
effect = "REQUIRE_APPROVAL"
approvers = ["finance"]
quorum = 2
expires = "4h"
message = "Two of finance have to agree."

[[policies]]
name = "watch-round-sums"
tools = ["pay"]
condition = 'args.amount in [10.0, 20.0]'
effect = "AUDIT"

[[policies]]
name = "soon-no-gifts"
tools = ["pay"]
condition = 'has(args.note) && args.note == "gift"'
effect = "DENY"
dry_run = true
"""
STRICT = """
name = "strict"
default = "DENY"

[[policies]]
name = "small-sums"
tools = ["pay"]
condition = 'args.amount < 10 && args.to.startsWith("known-")'
effect = "ALLOW"
"""


@dataclass(frozen=True)
class Case:
    """A call, who makes it, who asks why, and what the gate refuses it with."""

    who: str
    tool: str
    code: str
    asks: str = "operator/root"
    arguments: tuple[tuple[str, Any], ...] = ()


def pays(amount: float, to: str = "bob", **more: Any) -> tuple[tuple[str, Any], ...]:
    return tuple({"amount": amount, "to": to, **more}.items())


CASES = {
    "explained_allowed": Case("acme/ann", "pay", "", arguments=pays(50)),
    "explained_allowed_and_marked": Case("acme/ann", "pay", "", arguments=pays(20)),
    "explained_allowed_but_for_a_dry_run": Case("acme/ann", "pay", "", arguments=pays(5, note="gift")),
    "explained_allowed_in_a_tenant_without_policies": Case("plain/pia", "pay", "", arguments=pays(5000)),
    "explained_policy_denied": Case("acme/ann", "pay", "POLICY_VIOLATION", arguments=pays(900)),
    "explained_policy_denied_to_oneself": Case("acme/ann", "pay", "POLICY_VIOLATION", "acme/ann", pays(900)),
    "explained_policy_denied_twice": Case("acme/ann", "pay", "POLICY_VIOLATION", arguments=pays(900, "mallory")),
    "explained_policy_denied_by_default": Case("strict/sue", "pay", "POLICY_VIOLATION", arguments=pays(5)),
    "explained_policy_error": Case("acme/ann", "pay", "POLICY_ERROR", arguments=pays(0.5, "mallory")),
    "explained_approval_pending": Case("acme/ann", "pay", "APPROVAL_PENDING", arguments=pays(200)),
    "explained_approval_pending_to_oneself": Case("acme/ann", "pay", "APPROVAL_PENDING", "acme/ann", pays(200)),
    "explained_permission_denied": Case("acme/vic", "pay", "PERMISSION_DENIED", arguments=pays(50)),
    "explained_permission_denied_to_oneself": Case("acme/vic", "pay", "PERMISSION_DENIED", "acme/vic", pays(50)),
    "explained_unseen_tool": Case("acme/ann", "vault", "UNSUPPORTED_TOOL"),
    "explained_unseen_tool_to_oneself": Case("acme/ann", "vault", "UNSUPPORTED_TOOL", "acme/ann"),
    "explained_no_such_tool_to_oneself": Case("acme/ann", "voult", "UNSUPPORTED_TOOL", "acme/ann"),
    "explained_contract_not_active": Case("acme/ann", "sketch", "UNSUPPORTED_TOOL"),
    "explained_invalid_arguments": Case("acme/ann", "pay", "INVALID_TOOL_ARGS", arguments=(("amount", 5),)),
    "explained_rate_limit": Case("busy/bea", "look", "RATE_LIMIT_EXCEEDED"),
    "explained_deactivated": Case("acme/dan", "look", "INVALID_CREDENTIALS"),
    "explained_suspended_tenant": Case("gone/gus", "look", "TENANT_SUSPENDED"),
}


PAST = ("POLICY_VIOLATION", "POLICY_ERROR", "APPROVAL_PENDING", "PERMISSION_DENIED", "INVALID_CREDENTIALS")
"""Codes whose refusals are explained from the record."""


@dataclass
class Explained:
    """What the gate said to each call, and what was explained of it, by the name of the case."""

    codes: dict[str, str]
    texts: dict[str, str]
    values: dict[str, dict[str, Any]]
    narrowed: str
    past: dict[str, str]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Explained:
    """One host for all cases."""
    return asyncio.run(_explained(tmp_path_factory.mktemp("host")))


async def _explained(directory: Path) -> Explained:
    async with plane(directory, tier="advanced", require_review=False, manifest=MANIFEST) as made:
        await _people(made)
        found = Explained({}, {}, {}, "", {})
        gate = ControlPlane(OpenGate(), made.made._checks, refusals=made.made.refusals)
        for name, case in CASES.items():
            found.codes[name] = _made_at(made, gate, case)
            answer = await _ask(made, case)
            found.texts[name], found.values[name] = _still(answer.text), json.loads(answer.json)
        narrow = replace(_principal("acme/ann"), scopes=frozenset({"sessions:create", "tools:read"}))
        found.narrowed = _still(await _of_narrowed(made, narrow))
        made.made.refusals.flush()
        await asyncio.sleep(0)
        found.past = await _past(made)
        return found


async def _people(made: Plane) -> None:
    for tenant in ("acme", "strict", "plain", "busy", "gone"):
        await made.made.tenants.create(tenant)
    for who, role in (
        ("acme/ann", "developer"),
        ("acme/vic", "viewer"),
        ("acme/dan", "developer"),
        ("strict/sue", "developer"),
        ("plain/pia", "developer"),
        ("busy/bea", "developer"),
        ("gone/gus", "developer"),
    ):
        tenant, _, name = who.partition("/")
        await made.person(tenant, name, role)
    await made.made.roles.create("payer", tenant="acme", permissions=("tools/pay:execute",))
    await made.made.roles.create("treasurer", tenant="acme", permissions=("vault:open",))
    root = await made.token("operator", "root")
    for tenant, source in (("acme", PAYMENTS), ("strict", STRICT)):
        of = {"tenant_id": tenant}
        kept = await made.ask("EnterprisePolicyService/CreatePolicy", {**of, "source": source}, token=root)
        wanted = {**of, "version": kept.policy.version, "digest": kept.policy.digest}
        await made.ask("EnterprisePolicyService/ActivatePolicy", wanted, token=root)
    dan = {"tenant_id": "acme", "principal_id": "dan", "active": False}
    await made.ask("EnterpriseIdentityService/SetPrincipalActive", dan, token=root)
    await made.made.tenants.suspend("gone")
    await made.made.tenants.set_quotas("busy", {"calls_per_minute": 0})


def _principal(who: str) -> Principal:
    return Principal(who, who.partition("/")[0], PrincipalKind.USER, authenticated_by="password")


def _made_at(made: Plane, gate: ControlPlane, case: Case) -> str:
    """Make a call as a host does, up to its record; gives the code that it is refused with."""
    who = _principal(case.who)
    call = Invocation(case.tool, canonical(dict(case.arguments)), principal=who.id, tenant=who.tenant, who=who)
    try:
        person = made.made.directory.principal(who.id)
        seen = person is not None and person.active and made.made.directory.require_active(who.tenant)
        contracts = made.made.access.of(who, MANIFEST) if seen else MANIFEST
        call.contract = contracts.find(call.name)
        call.contract.check(call.arguments)
        gate.authorize(call)
    except AltarError as refused:
        return refused.code
    return ""


async def _ask(made: Plane, case: Case) -> Any:
    tenant, _, name = case.who.partition("/")
    asked: dict[str, Any] = {"tool": case.tool, "arguments": _base64(canonical(dict(case.arguments)))}
    if case.asks != case.who:
        asked |= {"tenant_id": tenant, "principal_id": name, "time_ms": WHEN_MS}
    asking = case.asks.partition("/")
    token = await made.token(asking[0], asking[2])
    return await made.ask("EnterprisePolicyService/Explain", asked, token=token)


async def _of_narrowed(made: Plane, who: Principal) -> str:
    explainer = _service(made)._explainer
    question = Question(tool="pay", arguments=dict(pays(5)))
    return str(explainer.explain(who, question, full=True, assumed=False).to_text())


def _service(made: Plane) -> Any:
    service, _ = made.administration._methods["EnterprisePolicyService/Explain"]
    return service._explaining  # type: ignore[attr-defined]  # the service of policies


async def _past(made: Plane) -> dict[str, str]:
    """Explain the refusals that the log of acme has, the first of each code."""
    token = await made.token("operator", "root")
    found: dict[str, str] = {}
    for position, entry in enumerate(made.entries("acme")):
        code = entry.get("code", "")
        if entry.get("event") != "call.denied" or code in found:
            continue
        asked = {"tenant_id": "acme", "position": position}
        answer = await made.ask("EnterprisePolicyService/Explain", asked, token=token)
        found[code] = re.sub(r"position \d+", "position N", _still(answer.text))
    return found


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def _still(text: str) -> str:
    """A text without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", text)
    text = re.sub(r"binding [0-9a-f]{32}", "binding ID", text)
    text = re.sub(r"approval-[0-9a-f]{24}", "approval-ID", text)
    return re.sub(r"sha256:[0-9a-f]{64}", "sha256:DIGEST", text) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_explained_as_the_gate_decides_on_it(explained: Explained, told: Told, name: str) -> None:
    case, value = CASES[name], explained.values[name]

    assert case.code == explained.codes[name]
    assert case.code == value.get("code", "")
    assert (not case.code) == value["allowed"]
    told(name, explained.texts[name])


def test_a_token_that_was_narrowed_is_explained(explained: Explained, told: Told) -> None:
    told("explained_insufficient_scope", explained.narrowed)


@pytest.mark.parametrize("code", PAST)
def test_a_refusal_in_the_record_is_explained_from_the_record(explained: Explained, told: Told, code: str) -> None:
    told(f"explained_past_{code.lower()}", explained.past[code])


def test_who_does_not_see_a_tool_is_told_what_is_told_of_one_that_is_not_there(explained: Explained) -> None:
    unseen = explained.texts["explained_unseen_tool_to_oneself"]
    absent = explained.texts["explained_no_such_tool_to_oneself"]

    assert absent.replace("voult", "vault") == unseen


def test_who_may_not_explain_is_not_told_which_roles_others_hold(explained: Explained) -> None:
    for name, case in CASES.items():
        if case.asks == case.who:
            told_of = re.search(r"treasurer|\"payer\"|in the role|these roles|this role does", explained.texts[name])
            assert told_of is None
    assert "in the role finance" in explained.texts["explained_approval_pending"]
