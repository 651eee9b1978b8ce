"""Contracts that ask for approval themselves, without any policy and beside one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.adm.enterprise import Governance
from altar.adm.errors import AltarError
from altar.adm.required_approval import RequiredApproval
from altar.aesp.governance.approval_check import approval_check
from altar.aesp.governance.contract_needs import unapproved
from altar.aesp.governance.requests import State
from altar.aesp.policy.deciding import with_contract
from altar.aesp.policy.explanation import Step
from altar.aesp.policy.policy import Bundle
from altar.grid.host.session_gate import intent_of
from altar.grid.manifests.governance_diff import with_governance
from altar.grid.manifests.manifest import HostContract, Manifest
from tests.unit.aesp.governance.approving import POLICY, Desk, desk, person
from tests.unit.grid.contracts import MANIFEST

TWO = {"approvers": ["boss"], "quorum": 2, "expires": "15m"}


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as ready:
        ready.bundle = None
        asks(ready, TWO)
        yield ready


def asks(made: Desk, requires_approval: Any) -> None:
    """Let the contract ask for something else; the declaration, and its digest, stay."""
    governance = Governance.from_adm({} if requires_approval is None else {"requires_approval": requires_approval})
    made.contract = HostContract(made.contract.declaration, governance=governance)


def code_of(made: Desk, under: str = "") -> str:
    call = made.call(under=under)
    try:
        approval_check(made.approvals, made.glass)(call)
    except AltarError as refused:
        return refused.code
    return ""


async def test_a_contract_that_asks_for_two_people_waits_for_two_in_a_tenant_without_policies(made: Desk) -> None:
    request = await made.asked()
    made.people.there["acme/other"] = person("other", "clerk")

    codes = [code_of(made), code_of(made, request.id)]
    with pytest.raises(AltarError) as no_role:
        await made.vote(request, "other")
    await made.vote(request, "tom")
    codes.append(code_of(made, request.id))
    await made.vote(request, "tina")
    call = made.call(under=request.id)
    approval_check(made.approvals, made.glass)(call)
    call.invocation_id, call.session_id, call.correlation_id = "i-1", "s-1", "c-1"
    intent = intent_of(call)

    assert ["APPROVAL_PENDING"] * 3 == codes
    assert "PERMISSION_DENIED" == no_role.value.code
    assert ("approved", request.id) == (intent.verdict, intent.approval)
    assert request.needs[0].digest == intent.policy
    assert request.created_ms + 15 * 60_000 == request.expires_ms


async def test_who_waits_is_told_that_the_contract_asks_and_which_policies_beside_it(made: Desk) -> None:
    alone = made.approvals.ask(made.call())
    made.bundle = Bundle(name="b", policies=(POLICY,))
    both = made.approvals.ask(made.call())

    assert "waits for approval, as its contract asks" in alone.message
    assert "waits for approval, as its contract and the policy 'large' ask" in both.message
    assert alone.handle != both.handle


async def test_an_approval_for_the_policy_alone_is_none_for_a_contract_that_asks_since(made: Desk) -> None:
    asks(made, None)
    made.bundle = Bundle(name="b", policies=(POLICY,))
    request = await made.asked()
    await made.vote(request, "tom")
    before = code_of(made, request.id)
    asks(made, TWO)

    assert ("", "APPROVAL_VOID") == (before, code_of(made, request.id))


@pytest.mark.parametrize(
    "now", [{**TWO, "quorum": 1}, {**TWO, "approvers": ["clerk"]}, {**TWO, "expires": "16m"}, None]
)
async def test_a_contract_that_asks_for_something_else_voids_what_was_approved_and_takes_no_more_votes(
    made: Desk, now: Any
) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    asks(made, now)

    with pytest.raises(AltarError) as late:
        await made.vote(request, "tina")
    asks(made, TWO)
    await made.vote(request, "tina")
    approved = code_of(made, request.id)
    asks(made, now)

    assert "APPROVAL_VOID" == late.value.code
    assert ("", "APPROVAL_VOID") == (approved, code_of(made, request.id))


async def test_what_a_contract_asks_for_holds_after_a_restart(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    await made.vote(request, "tina")

    (taken,) = await made.again()

    assert (request.needs, request.digest) == (taken.needs, taken.digest)
    assert State.APPROVED is made.approvals.state_of(taken)


async def test_a_break_glass_opens_a_contract_too(made: Desk) -> None:
    call = made.call()
    await made.glass.open(
        tenant="acme", tools=call.name, reason="the bank closes at noon", seconds=60, principal="acme/tom"
    )

    approval_check(made.approvals, made.glass)(call)

    assert "break_glass" == call.verdict.verdict


async def test_a_host_on_which_nobody_can_approve_refuses_the_call_and_lets_others_pass(made: Desk) -> None:
    call = made.call()
    with pytest.raises(AltarError) as refused:
        unapproved(call)
    asks(made, None)

    assert "FEATURE_UNAVAILABLE" == refused.value.code
    unapproved(made.call())


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (True, RequiredApproval()),
        (False, None),
        ({}, RequiredApproval((), 1, "24h")),
        ({"approvers": ["b", "a"], "quorum": 3, "expires": "7d"}, RequiredApproval(("a", "b"), 3, "7d")),
    ],
)
def test_what_a_document_says_is_what_is_asked(said: Any, means: RequiredApproval | None) -> None:
    read = Governance.from_adm({"requires_approval": said})

    assert means == read.requires_approval
    assert read == Governance.from_adm(read.to_adm())


@pytest.mark.parametrize(
    "said",
    [
        None,
        1,
        "yes",
        [],
        {"quorum": 0},
        {"quorum": 17},
        {"quorum": True},
        {"quorum": "2"},
        {"approvers": "boss"},
        {"approvers": ["no role"]},
        {"approvers": ["a", "a"]},
        {"approvers": [f"r{n}" for n in range(65)]},
        {"expires": "0h"},
        {"expires": "31d"},
        {"expires": "tomorrow"},
        {"qourum": 2},
    ],
)
def test_what_cannot_be_meant_is_refused_and_never_read_as_nothing(said: Any) -> None:
    with pytest.raises(AltarError) as refused:
        Governance.from_adm({"requires_approval": said})

    assert "INVALID_DECLARATION" == refused.value.code


def test_an_operator_can_ask_for_more_and_for_nothing() -> None:
    proposed = Governance.from_adm({"requires_approval": {"quorum": 1}, "required_roles": ["cashier"]})

    more, none = proposed.under({"requires_approval": TWO}), proposed.under({"requires_approval": False})

    assert (2, None) == (more.requires_approval and more.requires_approval.quorum, none.requires_approval)
    assert ("cashier",) == more.required_roles


def test_a_manifest_that_asks_for_approval_now_breaks_its_callers_and_says_how() -> None:
    contract = next(iter(MANIFEST))
    key = (contract.name, contract.version)
    old = Manifest([contract.declaration])
    new = Manifest([contract.declaration], governance={key: Governance.from_adm({"requires_approval": TWO})})

    (change,), (back,) = with_governance([], old, new), with_governance([], new, old)

    assert [("asks for the approval of people now: 2 of boss, within 15m", True)] == [
        (one.what, one.breaks) for one in change.findings
    ]
    assert [False] == [one.breaks for one in back.findings]


async def test_the_explanation_of_a_call_says_what_its_contract_asks_for(made: Desk) -> None:
    free = Step(check="approval", result="passed", reasons=("no policy asks for one",))

    step = with_contract(free, made.contract)
    without_roles = with_contract(free, made.contract, full=False)
    approved = with_contract(free, made.contract, approved=True)
    elsewhere = with_contract(free, made.contract, here=False)

    words = (
        "the contract asks for 2 different people in the role boss, within 0.25 h; nobody approves a call of their own"
    )
    assert ("asks", "APPROVAL_PENDING", (words,)) == (step.result, step.code, step.reasons)
    assert "boss" not in without_roles.reasons[0]
    assert ("passed", "refused") == (approved.result, elsewhere.result)
    asks(made, None)
    assert free == with_contract(free, made.contract)
