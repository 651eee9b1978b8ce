"""Agents on a host with policies: what waits for a person, what is denied, and what the log says of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from altar.adm.errors import AltarError
from altar.ai.agents import AgentResult, agent
from altar.ledger.reader import LogReader
from altar.testing import ScriptedLM, ToolUse
from tests.integration.approval_scene import ApprovalGrid

Both = Literal["dspy", "pydantic_ai"]
FRAMEWORKS: tuple[Both, ...] = ("dspy", "pydantic_ai")
both = pytest.mark.parametrize("framework", FRAMEWORKS)

DENIED = """
[[policies]]
name = "nothing-to-mallory"
tools = ["pay"]
condition = "args.to == 'mallory'"
effect = "DENY"
message = "Mallory is paid nothing."
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalGrid]:
    with ApprovalGrid(tmp_path_factory.mktemp("agents") / "grid") as made:
        made.people()
        made.deploy(more=DENIED)
        yield made


def pay(amount: int, to: str = "bob") -> ToolUse:
    return ToolUse("pay", {"amount": amount, "to": to})


def said(result: AgentResult) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in result.messages]


def recorded(scene: ApprovalGrid, result: AgentResult, *, tenant: str = "acme") -> list[tuple[Any, ...]]:
    """What the log of the host says of the calls of a run."""
    calls = {call.call_id for call in result.tool_calls} | {call.handle for call in result.tool_calls if call.handle}
    with LogReader.open(scene.directory / "data/ledger.db") as reader:
        entries = [json.loads(body) for _, body in reader.entries(tenant)]
    return [(entry["kind"], entry.get("tool"), entry.get("code")) for entry in entries if entry.get("call") in calls]


@both
def test_a_run_waits_for_a_person_and_goes_on_from_there_once(scene: ApprovalGrid, framework: Both) -> None:
    lm = ScriptedLM([[pay(1), pay(901 if framework == "dspy" else 902)], "Paid.", "You are welcome."])
    payer = agent(model=lm, framework=framework, tools=["pay"])

    with scene.session(scene.tokens["alice"]) as session:
        stopped = payer.run(session, "Pay bob.")
        moved = payer.using("pydantic_ai" if framework == "dspy" else "dspy")
        early = moved.resume(session, stopped)
        scene.approve("tom", stopped.tool_calls[1].handle)
        ended = payer.resume(session, early)
        payer.run(session, "Thanks.")

    assert stopped.error is not None
    assert ("APPROVAL_PENDING", "no") == (stopped.error.type, stopped.error.ran)
    assert (
        ["success", "pending"]
        == [call.status for call in stopped.tool_calls]
        == [call.status for call in early.tool_calls]
    )
    assert ("Paid.", None) == (ended.output, ended.error)
    assert ["success", "success"] == [call.status for call in ended.tool_calls]
    assert 1 == len(scene.started(stopped.tool_calls[1].handle))
    assert ["user", "assistant", "tool", "tool", "assistant", "user"] == [
        each.role for each in lm.requests[-1].messages
    ]


@both
def test_of_two_calls_that_wait_the_one_that_is_approved_first_keeps_its_answer(
    scene: ApprovalGrid, framework: Both
) -> None:
    more = 0 if framework == "dspy" else 10
    lm = ScriptedLM([[pay(921 + more), pay(922 + more)], "Paid."])
    payer = agent(model=lm, framework=framework, tools=["pay"])

    with scene.session(scene.tokens["alice"]) as session:
        stopped = payer.run(session, "Pay bob.")
        first, second = (call.handle for call in stopped.tool_calls)
        scene.approve("tom", second)
        between = payer.resume(session, stopped)
        scene.approve("tom", first)
        ended = payer.resume(session, between)

    assert ["success", "pending"] == sorted((call.status for call in between.tool_calls), reverse=True)
    assert "Paid." == ended.unwrap()
    assert [1, 1] == [len(scene.started(handle)) for handle in (first, second)]
    told = [text for role, text in said(ended) if role == "tool"]
    assert [True, True] == [str(amount + more) in text for amount, text in zip((922, 921), told, strict=True)]


@both
def test_a_call_that_a_person_refused_is_told_to_the_model(scene: ApprovalGrid, framework: Both) -> None:
    lm = ScriptedLM([pay(911 if framework == "dspy" else 912), "I could not."])
    payer = agent(model=lm, framework=framework, tools=["pay"])

    with scene.session(scene.tokens["alice"]) as session:
        stopped = payer.run(session, "Pay bob.")
        scene.refuse("tom", stopped.tool_calls[0].handle)
        ended = payer.resume(session, stopped)

    assert ("I could not.", ["refused"]) == (ended.unwrap(), [call.status for call in ended.tool_calls])
    assert "APPROVAL_REFUSED" in lm.requests[-1].text


def test_a_denial_is_told_and_recorded_in_the_same_way_in_both(scene: ApprovalGrid) -> None:
    results = []
    for framework in FRAMEWORKS:
        payer = agent(
            model=ScriptedLM([pay(3, "mallory"), pay(4), "Bob was paid."]), framework=framework, tools=["pay"]
        )
        with scene.session(scene.tokens["alice"]) as session:
            results.append(payer.run(session, "Pay mallory or bob."))

    first, second = results
    assert said(first) == said(second)
    assert [("refused", "POLICY_VIOLATION"), ("success", "")] == [(call.status, call.code) for call in first.tool_calls]
    assert recorded(scene, first) == recorded(scene, second) != []


@both
def test_a_run_that_waits_for_nobody_is_not_resumed(scene: ApprovalGrid, framework: Both) -> None:
    payer = agent(model=ScriptedLM(["Hello."]), framework=framework, tools=["pay"])

    with scene.session(scene.tokens["alice"]) as session:
        ended = payer.run(session, "Hello?")
        with pytest.raises(AltarError) as refused:
            payer.resume(session, ended)

    assert "MALFORMED_REQUEST" == refused.value.code


def test_a_quota_that_ends_in_the_middle_ends_the_run_in_the_same_way_in_both(scene: ApprovalGrid) -> None:
    results, models, records = [], [], []
    for framework in FRAMEWORKS:
        tenant = f"small-{framework.replace('_', '-')}"
        scene.tenant(tenant, quotas={"calls_per_minute": 2})
        lm = ScriptedLM([[pay(1), pay(2)], pay(3), "Paid."])
        payer = agent(model=lm, framework=framework, tools=["pay"], name="payer")
        with scene.session(scene.person(tenant, "sue", "developer")) as session:
            results.append(payer.run(session, "Pay bob."))
        models.append(lm)
        records.append(recorded(scene, results[-1], tenant=tenant))

    first, second = results
    for result in results:
        assert result.error is not None
        assert ("RATE_LIMIT_EXCEEDED", "yes") == (result.error.type, result.error.ran)
        assert 0 < (result.error.retry_after_ms or 0) <= 60_000
        assert ["success", "success", "refused"] == [call.status for call in result.tool_calls]
    assert [2, 2] == [len(lm.requests) for lm in models]
    assert said(first)[:-1] == said(second)[:-1]  # the last names the tenant
    assert records[0] == records[1] != []
