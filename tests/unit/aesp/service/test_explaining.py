"""Who is told why: one's own calls to everybody, all others to those who may explain, and nothing across tenants."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.ledger.entry import Event, Intent
from tests.messages.test_explanations import MANIFEST, PAYMENTS
from tests.unit.aesp.service.plane import Plane, plane

SERVICE = "EnterprisePolicyService"
DIGEST = "sha256:" + "5a" * 32


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    """A host with ann and ben, who may call, ada, who may do everything, and eve in another tenant."""
    async with plane(tmp_path, tier="advanced", require_review=False, manifest=MANIFEST) as ready:
        for tenant in ("acme", "rival"):
            await ready.made.tenants.create(tenant)
        for who, role in (("ann", "developer"), ("ben", "developer"), ("ada", "admin")):
            await ready.person("acme", who, role)
        await ready.person("rival", "eve", "admin")
        kept = await ask(ready, "acme/ada", "CreatePolicy", source=PAYMENTS)
        await ask(ready, "acme/ada", "ActivatePolicy", version=kept.policy.version, digest=kept.policy.digest)
        yield ready


async def ask(made: Plane, who: str, method: str, **request: Any) -> Any:
    tenant, _, name = who.partition("/")
    return await made.ask(f"{SERVICE}/{method}", request, token=await made.token(tenant, name))


async def ask_of(made: Plane, method: str, name: str, **request: Any) -> Any:
    return await made.ask(method, request, token=await made.token("acme", name))


async def refusal(made: Plane, who: str, method: str, **request: Any) -> str:
    with pytest.raises(AltarError) as refused:
        await ask(made, who, method, **request)
    return refused.value.code


def paying(amount: float) -> dict[str, Any]:
    arguments = json.dumps({"amount": amount, "to": "bob"}).encode()
    return {"tool": "pay", "arguments": base64.b64encode(arguments).decode()}


async def recorded(made: Plane, entry: Intent | Event) -> None:
    """Make an entry durable in the log of the host."""
    durable: asyncio.Future[AltarError | None] = asyncio.get_running_loop().create_future()
    made.host.gate.commit([entry], lambda _seq, error: durable.set_result(error))
    assert await durable is None


def intent(made: Plane, principal: str, **more: Any) -> Intent:
    return Intent(
        invocation=f"invocation-{principal}",
        call=f"call-{principal}",
        tool="pay",
        version="1.0.0",
        contract=DIGEST,
        arguments=DIGEST,
        principal=made.host.gate.named("acme", f"acme/{principal}"),
        tenant="acme",
        session="s",
        correlation=f"correlation-{principal}",
        **more,
    )


async def test_everybody_is_told_of_their_own_calls_and_only_some_of_those_of_others(made: Plane) -> None:
    own = await ask(made, "acme/ann", "Explain", **paying(50))
    by_name = await ask(made, "acme/ann", "Explain", principal_id="ann", **paying(50))
    other = await refusal(made, "acme/ann", "Explain", principal_id="ben", **paying(50))
    absent = await refusal(made, "acme/ann", "Explain", principal_id="nobody", **paying(50))
    allowed = await ask(made, "acme/ada", "Explain", principal_id="ben", **paying(50))

    assert own.allowed
    assert by_name.allowed
    assert ("PERMISSION_DENIED", "PERMISSION_DENIED") == (other, absent)
    assert "acme/ben" in allowed.text
    assert json.loads(allowed.json)["verdict"] == allowed.verdict == "allowed"


async def test_nothing_is_told_of_another_tenant(made: Plane) -> None:
    await recorded(made, intent(made, "ann"))

    asked: list[dict[str, Any]] = [
        {"principal_id": "ann", **paying(50)},
        {"invocation_id": "invocation-ann"},
        {"position": 0},
    ]
    theirs = [await refusal(made, "rival/eve", "Explain", tenant_id="acme", **each) for each in asked]
    missing = [await refusal(made, "rival/eve", "Explain", tenant_id="nowhere", **each) for each in asked]

    assert ["UNKNOWN_RESOURCE"] * 3 == theirs == missing
    assert "UNKNOWN_RESOURCE" == await refusal(made, "rival/eve", "Explain", invocation_id="invocation-ann")


async def test_another_time_or_environment_is_for_those_who_may_explain(made: Plane) -> None:
    assert "PERMISSION_DENIED" == await refusal(made, "acme/ann", "Explain", time_ms=1, **paying(50))
    assert "PERMISSION_DENIED" == await refusal(made, "acme/ann", "Explain", environment={"a": "b"}, **paying(50))
    assert (await ask(made, "acme/ada", "Explain", time_ms=1, environment={"a": "b"}, **paying(50))).allowed


async def test_a_call_in_the_record_is_explained_by_any_of_its_ids_to_who_made_it_and_who_may(made: Plane) -> None:
    bundle = (await ask(made, "acme/ada", "GetPolicy")).policy.digest
    facts = '{"absent":["args.note"],"args.amount":20,"request.principal.roles":["developer"]}'
    await recorded(made, intent(made, "ann", policy=bundle, verdict="audit", facts=facts))

    told = [
        await ask(made, "acme/ann", "Explain", invocation_id="invocation-ann"),
        await ask(made, "acme/ada", "Explain", call_id="call-ann"),
        await ask(made, "acme/ada", "Explain", invocation_id="correlation-ann"),
    ]

    assert ["allowed"] * 3 == [each.verdict for each in told]
    value = json.loads(told[1].json)
    assert ("recorded", "acme/ann", "pay") == (value["kind"], value["principal"], value["tool"])
    steps = {step["name"]: step["result"] for check in value["checks"] for step in check.get("policies", ())}
    assert ("false", "true", "unknown") == tuple(
        steps[name] for name in ("large-payments", "watch-round-sums", "not-to-mallory")
    )
    assert "UNKNOWN_RESOURCE" == await refusal(made, "acme/ben", "Explain", invocation_id="invocation-ann")


async def test_the_record_does_not_tell_who_asks_that_there_is_a_tool_they_do_not_see(made: Plane) -> None:
    denied = Event(
        event="call.denied",
        subject="tools/vault",
        resource="tools/vault",
        tenant="acme",
        principal="acme/ann",
        correlation="mine",
        outcome="DENIED",
        code="UNSUPPORTED_TOOL",
    )
    await recorded(made, denied)

    assert "UNKNOWN_RESOURCE" == await refusal(made, "acme/ann", "Explain", call_id="mine")
    assert "vault" in (await ask(made, "acme/ada", "Explain", call_id="mine")).text


async def test_what_is_no_question_is_refused(made: Plane) -> None:
    asked: list[dict[str, Any]] = [
        {"tool": "pay", "arguments": base64.b64encode(b"[]").decode()},
        {"tool": "pay", "arguments": base64.b64encode(b"{").decode()},
        {"arguments": ""},
        {"invocation_id": "x" * 129},
        {"invocation_id": "a\nb"},
        {"tool": "pay", "time_ms": 1 << 62},
        {"tool": "pay", "environment": {str(n): "" for n in range(101)}},
    ]

    refused = [await refusal(made, "acme/ada", "Explain", **each) for each in asked]

    assert ["MALFORMED_REQUEST"] * len(asked) == refused


async def test_a_call_of_the_record_that_does_not_say_its_cost_is_tried_with_the_price_in_force(made: Plane) -> None:
    facts = '{"args.amount":20,"request.principal.roles":[]}'
    await recorded(made, intent(made, "ann", policy=DIGEST, verdict="allow", facts=facts))
    told = facts.replace("}", ',"resource.metadata.estimated_cost":1}')
    await recorded(made, intent(made, "ben", policy=DIGEST, verdict="allow", facts=told))
    condition = "resource.metadata.estimated_cost > 6.0"
    tried = f'name = "x"\n[[policies]]\nname = "dear"\ncondition = "{condition}"\neffect = "DENY"'
    artefacts = "EnterpriseArtefactService"

    (before,) = await ask(made, "acme/ada", "ReplayPolicy", bundle=tried)
    prices = {"artefact": "price/list", "source": 'currency = "EUR"\n[[prices]]\ntools = ["*"]\ncall = "7"\n'}
    handed_in = await ask_of(made, f"{artefacts}/CreateArtefact", "ada", **prices)
    looked_at = {"version": handed_in.version.version, "digest": handed_in.version.digest}
    await ask_of(made, f"{artefacts}/ActivateArtefact", "ada", artefact="price/list", **looked_at)
    (after,) = await ask(made, "acme/ada", "ReplayPolicy", bundle=tried)

    assert [] == json.loads(before.json)["changes"]
    assert [{"was": "allow", "becomes": "denied", "calls": 1}] == json.loads(after.json)["changes"]


async def test_a_bundle_is_tried_on_the_record_by_those_who_may(made: Plane) -> None:
    facts = '{"args.amount":20,"request.principal.roles":[]}'
    await recorded(made, intent(made, "ann", policy=DIGEST, verdict="allow", facts=facts))
    tried = 'name = "x"\n[[policies]]\nname = "none"\ncondition = "args.amount > 10"\neffect = "DENY"'

    (found,) = await ask(made, "acme/ada", "ReplayPolicy", bundle=tried)

    assert [{"was": "allow", "becomes": "denied", "calls": 1}] == json.loads(found.json)["changes"]
    assert "allowed -> denied" in found.text
    assert "PERMISSION_DENIED" == await refusal(made, "acme/ann", "ReplayPolicy", bundle=tried)
    assert "PERMISSION_DENIED" == await refusal(made, "acme/ann", "EvaluatePolicy", **paying(1))
    assert "denied" == (await ask(made, "acme/ada", "EvaluatePolicy", **paying(900))).decision
