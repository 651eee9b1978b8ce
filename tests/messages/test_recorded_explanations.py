"""Calls of every kind of verdict in a real log: each explained from its record, and all of them replayed.

They are made at the gate of a real host of the tier ADVANCED, with its ledger, its approvals and its break-glass.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import altar.aesp
from altar.adm.canonical import canonical
from altar.adm.codes import CODES
from altar.adm.errors import AltarError
from altar.aesp.control_plane import ControlPlane
from altar.aesp.governance.requests import ApprovalLimits
from altar.aesp.policy.past import explain_past
from altar.aesp.policy.recorded_calls import RecordedCall
from altar.aesp.policy.refused_by import CHECK_OF
from altar.aesp.principal import Principal, PrincipalKind
from altar.grid.manifests.manifest import Manifest
from altar.later.invocation import Invocation, Outcome
from altar.testing import PATIENCE
from tests.messages.conftest import STORED, Told
from tests.messages.test_explanations import PAST, PAY, _base64, _function, _still
from tests.unit.aesp.governance.approving import Alarm
from tests.unit.aesp.service.plane import Plane, plane

pytestmark = pytest.mark.timeout(120)

MANIFEST = Manifest([PAY, _function("wire", amount={"type": "number"})])
BUNDLE = """
name = "every-kind"
record = ["args.amount", "args.to", "args.note"]

[[policies]]
name = "no-negative-sums"
condition = "args.amount < 0.0"
effect = "DENY"

[[policies]]
name = "not-so-much"
condition = "args.amount > 5000.0"
effect = "DENY"
break_glass = true

[[policies]]
name = "no-gifts-to-mallory"
tools = ["pay"]
condition = 'args.to == "mallory" && args.note == "gift"'
effect = "DENY"

[[policies]]
name = "two-of-finance"
tools = ["pay"]
condition = "args.amount > 100.0"
effect = "REQUIRE_APPROVAL"
approvers = ["finance"]
quorum = 2
expires = "4h"
message = "Two of finance have to agree."

[[policies]]
name = "somebody-looks"
tools = ["wire"]
condition = "args.amount > 100.0 && !request.has_approval"
effect = "REQUIRE_APPROVAL"
expires = "4h"

[[policies]]
name = "round-sums"
condition = "args.amount in [10.0, 20.0]"
effect = "AUDIT"
"""
OF_A_GATE = (
    "control_plane.py",
    "directory.py",
    "quotas.py",
    "rbac.py",
    "tool_access.py",
    "governance/active_bundles.py",
    "governance/approvals.py",
    "governance/refusals.py",
    "policy/cel.py",
    "policy/check.py",
    "policy/facts.py",
    "policy/programs.py",
)
"""The modules that checks of a gate of ADVANCED refuse in."""
NOT_OF_A_CALL = frozenset({"DEPENDENCY_UNAVAILABLE", "INVALID_POLICY", "RESOURCE_CONFLICT"})
"""Codes in those that no call is refused with: caught there, or said to who writes policies or decides on requests."""


@dataclass
class Scene:
    """A host, its gate, what each call was refused with, and what was explained of it, by the name of the call."""

    plane: Plane
    gate: ControlPlane
    root: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    errors: dict[str, AltarError] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    replayed: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    async def call(
        self, name: str, who: str, amount: float, *, under: str = "", tool: str = "pay", asks: str = "", **more: Any
    ) -> str:
        """Make a call as a host does, up to its end, and explain its record; gives the handle it is refused with."""
        tenant = who.partition("/")[0]
        arguments = {"amount": amount, **({"to": "bob", **more} if tool == "pay" else {})}
        call = Invocation(tool, canonical(arguments), under or f"c-{name}", principal=who, tenant=tenant)
        call.who = Principal(who, tenant, PrincipalKind.USER, authenticated_by="password")
        call.once, call.contract = bool(under), MANIFEST.find(tool)
        call.invocation_id, call.version = f"i-{name}", call.contract.version
        self.codes[name], handle = "", ""
        try:
            self.gate.authorize(call)
            await self._run(call)
        except AltarError as refused:
            self.codes[name], self.errors[name], handle = refused.code, refused, refused.handle
        self.plane.made.refusals.flush()  # each refusal is an entry of its own
        if handle:
            await self.plane.made.approvals.approvals.recorded(handle)  # type: ignore[union-attr]  # of this tier
        await self.explain(name, tenant, asks=asks)
        return handle

    async def explain(self, name: str, tenant: str, *, asks: str = "") -> None:
        """Explain the newest call of the log of a tenant."""
        entries, of_call = self._calls_of(tenant)
        async with asyncio.timeout(PATIENCE):
            while len(of_call) <= self.seen.get(tenant, 0):
                await asyncio.sleep(0)
                entries, of_call = self._calls_of(tenant)
        self.seen[tenant] = len(of_call)
        asked = {"tenant_id": tenant, "position": of_call[-1]}
        token = await self.plane.token(*asks.split("/")) if asks else self.root
        answer = await self.plane.ask("EnterprisePolicyService/Explain", asked, token=token)
        self.texts[name] = _still(re.sub(r"position \d+", "position N", answer.text))
        self.data[name] = json.loads(entries[of_call[-1]].get("data") or "{}")

    def _calls_of(self, tenant: str) -> tuple[list[dict[str, Any]], list[int]]:
        entries = self.plane.entries(tenant)
        made = [at for at, one in enumerate(entries) if one["kind"] == "intent" or one.get("event") == "call.denied"]
        return entries, made

    async def vote(self, handle: str, *people: str, approve: bool = True) -> None:
        """People of acme say what they think of a request."""
        service = "EnterpriseGovernanceService"
        for name in people:
            token = await self.plane.token("acme", name)
            shown = await self.plane.ask(f"{service}/GetApproval", {"approval_id": handle}, token=token)
            word = {"approval_id": handle, "digest": shown.approval.digest, "reason": "seen"}
            word |= {"adjudication": f"ADJUDICATION_{'APPROVE' if approve else 'REFUSE'}"}
            await self.plane.ask(f"{service}/AdjudicateApproval", word, token=token)

    async def _run(self, call: Invocation) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def run(_frame: Any) -> None:
            self.gate.record(call, Outcome(content=b"1"), lambda _call, _outcome: ended.set_result(None))

        def refuse(_call: Invocation, outcome: Outcome) -> None:
            assert outcome.error is not None
            ended.set_exception(outcome.error)

        self.gate.intend([call], run, refuse)
        await ended


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """One host for all."""
    return asyncio.run(_played(tmp_path_factory.mktemp("host")))


async def _played(directory: Path) -> Scene:
    async with plane(directory, tier="advanced", require_review=False, manifest=MANIFEST) as made:
        gate = made.made.control(made.host.gate)
        assert isinstance(gate, ControlPlane)
        scene = Scene(made, gate, await made.token("operator", "root"))
        await _people(made)
        of = {"tenant_id": "acme", "source": BUNDLE}
        kept = await made.ask("EnterprisePolicyService/CreatePolicy", of, token=scene.root)
        wanted = {"tenant_id": "acme", "version": kept.policy.version, "digest": kept.policy.digest}
        await made.ask("EnterprisePolicyService/ActivatePolicy", wanted, token=scene.root)
        await _calls(scene)
        await _no_call(scene)
        question = {"tenant_id": "acme", "bundle": BUNDLE}
        (answer,) = await made.ask("EnterprisePolicyService/ReplayPolicy", question, token=scene.root)
        scene.replayed = json.loads(answer.json)
        return scene


async def _people(made: Plane) -> None:
    for tenant in ("acme", "busy", "gone"):
        await made.made.tenants.create(tenant)
        await made.person(tenant, "ann", "developer")
    await made.made.roles.create("finance", tenant="acme", permissions=("tools:read",))
    for name in ("ben", "cam"):
        await made.person("acme", name, "developer")
    for name in ("fay", "fred", "finn"):
        await made.person("acme", name, "finance")
    await made.person("acme", "ada", "admin")
    await made.made.tenants.suspend("gone")
    await made.made.tenants.set_quotas("busy", {"calls_per_minute": 0})


async def _calls(scene: Scene) -> None:
    approvals = scene.plane.made.approvals
    assert approvals is not None
    await scene.call("allowed", "acme/ann", 50)
    await scene.call("marked", "acme/ann", 20)
    await scene.call("denied", "acme/ann", -1)
    await scene.call("no_value", "acme/ann", 5, to="mallory")
    asked = await scene.call("pending", "acme/ann", 300)
    await scene.vote(asked, "fay")
    await scene.call("pending_still", "acme/ann", 300, under=asked)
    await scene.call("pending_again_to_oneself", "acme/ann", 300, asks="acme/ann")
    again = {"tool": "pay", "arguments": _base64(canonical({"amount": 300, "to": "bob"}))}
    token = await scene.plane.token("acme", "ann")
    scene.texts["thought_of"] = (await scene.plane.ask("EnterprisePolicyService/Explain", again, token=token)).text
    await scene.vote(asked, "fred")
    await scene.call("void", "acme/ann", 301, under=asked)
    await scene.call("approved", "acme/ann", 300, under=asked)
    wired = await scene.call("wire_pending", "acme/ben", 900, tool="wire")
    await scene.call("wire_pending_still", "acme/ben", 900, tool="wire", under=wired)
    await scene.vote(wired, "ada")
    await scene.call("wire_approved", "acme/ben", 900, tool="wire", under=wired)
    declined = await scene.call("pending_too", "acme/cam", 400)
    await scene.vote(declined, "fay", approve=False)
    await scene.call("refused", "acme/cam", 400, under=declined)
    approvals.glass._alarm = Alarm()
    glass = await approvals.glass.open(
        tenant="acme", tools="pay", reason="nobody is reachable", seconds=600, principal="acme/ada"
    )
    await scene.call("glass_for_an_approval", "acme/ann", 310)
    await scene.call("glass_over_a_denial", "acme/ann", 6000)
    await approvals.glass.close(glass.id, tenant="acme", principal="acme/ada")
    for name, limits in (
        ("exhausted", ApprovalLimits(per_principal=0)),
        ("too_large", ApprovalLimits(argument_bytes=1)),
    ):
        approvals.approvals._limits = limits
        await scene.call(name, "acme/ann", 777)
    await scene.call("limited", "busy/ann", 5)
    await scene.call("suspended", "gone/ann", 5)


async def _no_call(scene: Scene) -> None:
    """Ask for what stands at the beginning of the log, which is no call."""
    for name, token in (("no_call", scene.root), ("no_call_to_others", await scene.plane.token("acme", "ann"))):
        try:
            asked = {"tenant_id": "acme", "position": 0}
            await scene.plane.ask("EnterprisePolicyService/Explain", asked, token=token)
        except AltarError as refused:
            scene.errors[name] = refused


EXPLAINED = {
    "approved": "explained_past_approved",
    "wire_approved": "explained_past_approved_that_asks_for_it",
    "glass_for_an_approval": "explained_past_break_glass",
    "glass_over_a_denial": "explained_past_break_glass_over_a_denial",
    "pending_still": "explained_past_approval_pending_now",
    "pending_again_to_oneself": "explained_past_approval_pending_now_to_oneself",
    "void": "explained_past_approval_void",
    "refused": "explained_past_approval_refused",
    "exhausted": "explained_past_resource_exhausted",
    "too_large": "explained_past_message_too_large",
    "limited": "explained_past_rate_limit_exceeded",
    "suspended": "explained_past_tenant_suspended",
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_stands_in_a_record_is_explained(scene: Scene, told: Told, name: str) -> None:
    told(EXPLAINED[name], scene.texts[name])


def test_the_bundle_in_force_changes_nothing_of_its_own_record(scene: Scene) -> None:
    assert [] == scene.replayed["changes"]
    assert 0 == scene.replayed["undecidable"]
    # `void`, `refused`, `exhausted` and `too_large` were decided by another check
    assert (18, 14, 4) == tuple(scene.replayed[name] for name in ("calls", "same", "elsewhere"))


def test_the_record_of_a_refusal_names_the_request_that_it_is_about(scene: Scene) -> None:
    for name in ("pending", "pending_still", "void", "refused"):
        assert re.fullmatch(r"approval-[0-9a-f]{24}", scene.data[name]["approval"])
    assert scene.data["pending"]["approval"] == scene.data["void"]["approval"]
    assert "approval" not in scene.data["denied"]


def test_who_waits_for_an_approval_is_told_what_the_policy_says(scene: Scene) -> None:
    for name in ("pending", "pending_still"):
        assert str(scene.errors[name]).endswith("as the policy 'two-of-finance' asks: Two of finance have to agree.")


def test_what_is_no_call_is_said_to_be_none_to_who_may_explain_all(scene: Scene) -> None:
    assert "What stands at position 0 of the log is no call" == str(scene.errors["no_call"])
    assert "There is no such call of yours in the log" == str(scene.errors["no_call_to_others"])


def test_how_a_request_stands_is_told_to_who_made_it_without_who_else_may_decide(scene: Scene) -> None:
    assert "may still decide: acme/finn, acme/fred" in scene.texts["pending_still"]
    assert "acme/fay approved" in scene.texts["pending_again_to_oneself"]
    assert "fred" not in scene.texts["pending_again_to_oneself"]
    assert "1 of 2 have approved for policy 'two-of-finance'" in scene.texts["thought_of"]


def test_every_code_that_a_gate_of_advanced_refuses_with_has_its_check() -> None:
    package = Path(altar.aesp.__file__).parent
    said = {
        node.value
        for name in OF_A_GATE
        for node in ast.walk(ast.parse((package / name).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = said & CODES.keys()

    assert codes - NOT_OF_A_CALL <= CHECK_OF.keys()
    assert {"POLICY_ERROR", "APPROVAL_VOID", "RATE_LIMIT_EXCEEDED"} <= codes  # it did look
    assert CHECK_OF.keys() <= CODES.keys()


@pytest.mark.parametrize("code", sorted(CODES.keys() & CHECK_OF.keys()))
def test_every_code_that_a_gate_of_advanced_refuses_with_has_a_stored_explanation(told: Told, code: str) -> None:
    name = f"explained_past_{code.lower()}"
    if name in {*EXPLAINED.values(), *(f"explained_past_{each.lower()}" for each in PAST)}:
        assert (STORED / f"{name}.txt").exists()  # of a refusal by a real gate
        return
    refused = RecordedCall(7, 1_767_607_200_000, "pay", "", "p-1", "denied", code)

    explanation = explain_past(
        refused, tenant="acme", principal="acme/ann", bundle_of=lambda _: None, contract_of=lambda *_: None
    )

    assert code == explanation.code
    assert (CHECK_OF[code], "refused") == next((e.check, e.result) for e in explanation.steps if e.code)
    told(name, _still(explanation.to_text()))
