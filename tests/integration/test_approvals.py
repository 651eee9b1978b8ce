"""Approvals of calls on a real host: asked for, given, used once, and attacked."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from altar.adm.call import ToolResult
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, ValidationError
from altar.cli.approvals import approvals, break_glass
from altar.cli.main import main
from altar.testing.waiting import until
from tests.integration.approval_scene import ApprovalGrid

SECOND = """
[[policies]]
name = "two-people"
tools = ["pay_slowly"]
condition = "args.amount > constants.limit"
effect = "REQUIRE_APPROVAL"
approvers = ["treasurer"]
quorum = 2
expires = "1h"
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalGrid]:
    with ApprovalGrid(tmp_path_factory.mktemp("approvals") / "grid") as made:
        made.people()
        made.deploy(more=SECOND)
        yield made


def code_of(result: ToolResult) -> str:
    return "" if result.error is None else str(result.error.type)


def asked(scene: ApprovalGrid, amount: int, *, tool: str = "pay", who: str = "alice", **more: object) -> str:
    """Make a call that needs approval; gives its handle."""
    given = {"amount": amount, **({"to": "bob"} if tool == "pay" else {}), **more}
    with scene.session(scene.tokens[who]) as session:
        result = session.call(tool, given)
    assert "APPROVAL_PENDING" == code_of(result)
    assert result.error is not None
    return result.error.handle


def resumed(scene: ApprovalGrid, handle: str, *, who: str = "alice") -> ToolResult:
    with scene.session(scene.tokens[who]) as session:
        return session.resume(handle)


def refused_with(work: object) -> str:
    with pytest.raises(AltarError) as refused:
        work()  # type: ignore[operator]  # a lambda of the test
    return refused.value.code


def test_an_approved_call_runs_once_and_its_intent_names_the_approval(scene: ApprovalGrid) -> None:
    handle = asked(scene, 501)
    assert handle == asked(scene, 501)  # the same call has the same request
    shown = scene.shown("tom", handle)
    scene.approve("tom", handle, reason="ordered")

    first, again = resumed(scene, handle), resumed(scene, handle)

    assert '{\n  "amount": 501,\n  "to": "bob"\n}' == shown["arguments"]
    assert (501, None) == (first.unwrap(), first.metadata)
    assert (501, {"replayed": True}) == (again.unwrap(), again.metadata)
    (intent,) = scene.started(handle)
    assert ("approved", handle) == (intent["verdict"], intent["approval"])
    assert {"approval.requested", "approval.decided", "approval.consumed"} <= {
        one["event"] for one in scene.as_("ada", "GetApprovalHistory", approval_id=handle)["events"]
    }


def test_a_waiting_call_is_answered_when_it_is_approved_and_keeps_its_own_call_id(scene: ApprovalGrid) -> None:
    def approve() -> None:
        def listed() -> bool:
            return bool([one for one in scene.as_("tom", "ListPendingApprovals")["approvals"] if waits(one)])

        def waits(one: dict[str, object]) -> bool:
            return one["state"] == "APPROVAL_STATE_PENDING" and one["tool"] == "pay"

        until(listed, what="a request")
        (handle,) = [
            str(one["approval_id"]) for one in scene.as_("tom", "ListPendingApprovals")["approvals"] if waits(one)
        ]
        scene.approve("tom", handle)

    person = threading.Thread(target=approve)
    person.start()

    with scene.session(scene.tokens["alice"]) as session:
        result = session.options(approval="wait", timeout=60).call("pay", amount=502, to="bob")

    person.join()
    assert 502 == result.unwrap()
    assert not result.call_id.startswith("approval-")


def test_two_connections_at_the_same_instant_run_an_approved_call_once(scene: ApprovalGrid) -> None:
    handle = asked(scene, 503)
    scene.approve("tom", handle)
    together = threading.Barrier(4)

    def resume(_: int) -> ToolResult:
        with scene.session(scene.tokens["alice"]) as session:
            together.wait()
            return session.options(idempotency_key=handle).call("pay", amount=503, to="bob")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(resume, range(4)))

    assert [503] * 4 == [result.unwrap() for result in results]
    assert 1 == len(scene.started(handle))


def test_other_arguments_another_tool_and_another_caller_do_not_get_an_approval(scene: ApprovalGrid) -> None:
    handle = asked(scene, 504)
    scene.approve("tom", handle)

    with scene.session(scene.tokens["alice"]) as session:
        keyed = session.options(idempotency_key=handle)
        swapped = keyed.call("pay", amount=504, to="mallory")
        other = keyed.call("pay_slowly", amount=504)
        made_up = session.options(idempotency_key="approval-000000000000000000000000").call("pay", amount=1, to="x")
    with scene.session(scene.tokens["tina"]) as session:
        stolen = session.options(idempotency_key=handle).call("pay", amount=504, to="bob")

    assert ["APPROVAL_VOID"] * 4 == [code_of(one) for one in (swapped, other, made_up, stolen)]
    assert "APPROVAL_VOID" == refused_with(lambda: resumed(scene, handle, who="tina"))
    assert [] == scene.started(handle)
    assert 504 == resumed(scene, handle).unwrap()


def test_who_asked_does_not_approve_under_any_account(scene: ApprovalGrid) -> None:
    scene.account("carol", "carol@acme.example", "developer", "treasurer")
    scene.account("carol-too", "Carol+work@ACME.example", "treasurer")
    handle = asked(scene, 505, who="carol")
    digest = scene.shown("tom", handle)["digest"]

    own = refused_with(lambda: scene.approve("carol", handle, digest=digest))
    second = refused_with(lambda: scene.approve("carol-too", handle, digest=digest))

    assert ("PERMISSION_DENIED", "UNKNOWN_RESOURCE") == (own, second)
    assert "APPROVAL_PENDING" == code_of(resumed(scene, handle, who="carol"))


def test_neither_who_holds_the_key_of_a_program_approves_for_it_nor_the_program_itself(scene: ApprovalGrid) -> None:
    for name in ("vera", "will"):
        scene.account(name, f"{name}@acme.example", "treasurer", "admin")
    made = scene.ask(
        "EnterpriseIdentityService/CreateServiceAccount",
        {"name": "robot", "roles": ["developer", "treasurer"]},
        credential=scene.tokens["vera"],
    )
    robot = made["principal"]["principal_id"]
    scene.tokens["robot"] = made["api_key"]
    scene.ask("EnterpriseIdentityService/CreateApiKey", {"principal_id": robot}, credential=scene.tokens["will"])
    handle = asked(scene, 506, who="robot")
    other = asked(scene, 507)
    digest, digest_other = (scene.shown("tom", one)["digest"] for one in (handle, other))

    owner = refused_with(lambda: scene.approve("vera", handle, digest=digest))
    holder = refused_with(lambda: scene.approve("will", handle, digest=digest))
    program = refused_with(lambda: scene.approve("robot", other, digest=digest_other))

    assert ["PERMISSION_DENIED", "PERMISSION_DENIED", "UNKNOWN_RESOURCE"] == [owner, holder, program]
    scene.approve("tom", handle)
    assert 506 == resumed(scene, handle, who="robot").unwrap()


def test_one_person_with_two_accounts_is_one_of_a_quorum(scene: ApprovalGrid) -> None:
    scene.account("dora", "dora@acme.example", "treasurer")
    scene.account("dora-too", "dora@acme.example", "treasurer")
    handle = asked(scene, 508, tool="pay_slowly")
    scene.approve("dora", handle)

    twice = refused_with(lambda: scene.approve("dora-too", handle))
    before = code_of(resumed(scene, handle))
    scene.approve("tom", handle)

    assert ("RESOURCE_CONFLICT", "APPROVAL_PENDING") == (twice, before)
    assert 508 == resumed(scene, handle).unwrap()


def test_the_word_of_an_approver_who_has_left_does_not_count_when_the_call_runs(scene: ApprovalGrid) -> None:
    scene.account("eve", "eve@acme.example", "treasurer")
    handle = asked(scene, 509)
    state = scene.approve("eve", handle)["state"]
    scene.ask(
        "EnterpriseIdentityService/SetPrincipalActive", {"tenant_id": "acme", "principal_id": "eve", "active": False}
    )

    left = code_of(resumed(scene, handle))
    scene.approve("tina", handle)

    assert ("APPROVAL_STATE_APPROVED", "APPROVAL_PENDING") == (state, left)
    assert 509 == resumed(scene, handle).unwrap()


def test_a_changed_policy_voids_an_approval_and_another_one_that_changed_does_not(scene: ApprovalGrid) -> None:
    void, kept = asked(scene, 510), asked(scene, 511, tool="pay_slowly")
    scene.approve("tom", void)
    scene.approve("tom", kept)
    scene.approve("tina", kept)
    scene.deploy(quorum=2, more=SECOND)  # of the policy about "pay" alone

    changed, unchanged = resumed(scene, void), resumed(scene, kept)

    scene.deploy(more=SECOND)
    assert ("APPROVAL_VOID", "") == (code_of(changed), code_of(unchanged))
    assert 511 == unchanged.unwrap()
    assert [] == scene.started(void)


def test_what_was_not_shown_is_not_approved_and_a_refusal_ends_the_request(scene: ApprovalGrid) -> None:
    handle, other = asked(scene, 512), asked(scene, 513)
    wrong = refused_with(lambda: scene.approve("tom", handle, digest=scene.shown("tom", other)["digest"]))
    scene.refuse("tom", handle)
    scene.as_("alice", "WithdrawApproval", approval_id=other)

    assert "RESOURCE_CONFLICT" == wrong
    assert "APPROVAL_REFUSED" == code_of(resumed(scene, handle))
    assert "APPROVAL_VOID" == code_of(resumed(scene, other))
    assert handle != asked(scene, 512)  # asked again it is another request


def test_each_verb_at_a_terminal_answers_in_one_line_or_in_json(
    scene: ApprovalGrid, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files, (mine, theirs) = scene.grid.client, (asked(scene, 519), asked(scene, 520))
    for name, value in {
        "ALTAR_SOURCE": scene.grid.source,
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
    }.items():
        monkeypatch.setenv(name, value)

    def ran(who: str, *arguments: str) -> str:
        monkeypatch.setenv("ALTAR_CREDENTIAL", scene.tokens[who])
        assert 0 == main(arguments)
        return capsys.readouterr().out

    withdrawn = ran("alice", "approvals", "withdraw", mine)
    refused = ran("tom", "approvals", "refuse", theirs, "--reason", "not this month")
    shown = json.loads(ran("alice", "approvals", "show", mine, "--json"))

    assert (f"{mine}  WITHDRAWN\n", f"{theirs}  REFUSED\n") == (withdrawn, refused)
    assert "APPROVAL_STATE_WITHDRAWN" == shown["state"]
    for group in (approvals, break_glass):
        for command in group.commands.values():
            assert "--json" in {word for parameter in command.params for word in parameter.opts}, command.name


def test_a_request_is_not_there_for_whom_it_does_not_concern(scene: ApprovalGrid) -> None:
    scene.account("zoe", "zoe@acme.example", "developer")
    handle = asked(scene, 514)

    with pytest.raises(ValidationError) as refused:
        scene.shown("zoe", handle)

    assert "UNKNOWN_RESOURCE" == refused.value.code
    assert [] == scene.as_("zoe", "ListPendingApprovals")["approvals"]


def test_a_break_glass_without_anybody_to_hear_the_alarm_stays_closed(scene: ApprovalGrid) -> None:
    with pytest.raises(ExecutionError) as refused:
        scene.as_("ada", "OpenBreakGlass", tools="pay*", reason="nobody is there to ask", seconds=60)

    assert "DEPENDENCY_UNAVAILABLE" == refused.value.code
    assert [] == scene.as_("ada", "ListBreakGlass")["open"]
    with pytest.raises(AuthorizationError):
        scene.as_("tom", "OpenBreakGlass", tools="pay*", reason="nobody is there to ask", seconds=60)


def test_approvals_hold_over_a_killed_host_and_what_was_used_stays_used(scene: ApprovalGrid) -> None:
    used, approved, half = asked(scene, 515), asked(scene, 516), asked(scene, 517, tool="pay_slowly")
    refused = asked(scene, 518)
    for handle in (used, approved, half):
        scene.approve("tom", handle)
    scene.refuse("tom", refused)
    assert 515 == resumed(scene, used).unwrap()

    scene.grid.restart_host(signal.SIGKILL)
    scene.grid.mend()
    again, first = resumed(scene, used), resumed(scene, approved)
    waits = code_of(resumed(scene, half))
    scene.approve("tina", half)

    assert (515, {"replayed": True}) == (again.unwrap(), again.metadata)
    assert (516, None) == (first.unwrap(), first.metadata)
    assert "APPROVAL_PENDING" == waits
    assert 517 == resumed(scene, half).unwrap()
    assert "APPROVAL_REFUSED" == code_of(resumed(scene, refused))
    assert [1, 1, 1] == [len(scene.started(handle)) for handle in (used, approved, half)]
