"""Approvals judged by a clock and a directory that change at will."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.aesp.governance.approval_check import approval_check
from altar.aesp.governance.kept import opened, sealed
from altar.aesp.governance.quorum import human_of
from altar.aesp.governance.rendering import rendered
from altar.aesp.governance.requests import ApprovalLimits, State
from altar.aesp.policy.policy import Bundle
from altar.later.invocation import Invocation
from tests.unit.aesp.governance.approving import POLICY, Desk, desk, person


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as ready:
        yield ready


async def test_an_approval_is_good_until_the_instant_it_expires_on_every_connection(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    made.time = request.expires_ms / 1000 - 0.001
    before = made.use(request)
    made.time = request.expires_ms / 1000

    at_once = [made.use(request), made.use(request)]

    assert "" == before
    assert ["APPROVAL_VOID", "APPROVAL_VOID"] == at_once
    with pytest.raises(AltarError):
        await made.vote(request, "tina")


async def test_a_clock_that_is_set_back_opens_no_request_that_has_expired(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    made.time += 90_000
    made.approvals.sweep()
    made.time -= 90_000

    assert State.EXPIRED is made.approvals.state_of(request)
    assert "APPROVAL_VOID" == made.use(request)


async def test_what_is_used_is_used_until_the_call_turns_out_not_to_have_run(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    call = made.call(under=request.id)
    made.approvals.use(call)
    made.approvals.claimed(call)

    used = made.use(request)
    made.known.add(("acme", "acme/ann", request.id))
    running = made.use(request)
    made.known.clear()
    made.approvals.ended(call, ran=False)

    assert ("APPROVAL_VOID", "", "") == (used, running, made.use(request))
    assert ("approved", request.id) == (call.verdict.verdict, call.verdict.approval)


async def test_an_approval_is_for_one_call_of_one_caller(made: Desk) -> None:
    request = await made.asked(made.call(arguments=b'{"n":1}'))
    await made.vote(request, "tom")

    swapped, stolen = made.use(request, arguments=b'{"n":2}'), made.use(request, who="tina", arguments=b'{"n":1}')

    assert ("APPROVAL_VOID", "APPROVAL_VOID") == (swapped, stolen)
    assert "" == made.use(request, arguments=b'{"n":1}')


async def test_an_approval_is_for_the_variables_of_the_session_that_the_contract_binds(made: Desk) -> None:
    def call(variables: str, under: str = "") -> Invocation:
        invocation = made.call(under=under)
        invocation.variables = variables
        return invocation

    def code(variables: str) -> str:
        try:
            made.approvals.use(call(variables, request.id))
        except AltarError as refused:
            return refused.code
        return ""

    request = await made.asked(call("sha256:cool"))
    await made.vote(request, "tom")

    assert ["APPROVAL_VOID", "APPROVAL_VOID", ""] == [code(each) for each in ("sha256:hot", "", "sha256:cool")]
    (again,) = await made.again()
    assert ("sha256:cool", request.digest) == (again.variables, again.digest)


async def test_a_handle_is_no_approval_for_a_policy_that_asks_whether_there_is_one(made: Desk) -> None:
    request = await made.asked()
    made_up = made.call(under="approval-000000000000000000000000")

    pending = made.approvals.stands(made.call(under=request.id))
    await made.vote(request, "tom")

    assert not pending
    assert not made.approvals.stands(made_up)
    assert not made.approvals.stands(made.call(under=request.id, arguments=b'{"a":1}'))
    assert not made.approvals.stands(made.call("tina", under=request.id))
    assert made.approvals.stands(made.call(under=request.id))


async def test_a_vote_counts_no_more_when_its_voter_is_gone_has_lost_the_role_or_turns_out_to_be_the_requester(
    made: Desk,
) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    there = dict(made.people.there)
    states = {}

    changes: dict[str, dict[str, object]] = {
        "as it was": {},
        "inactive": {"active": False},
        "no role": {"grants": person("x", "clerk").grants},
        "the requester": {"email": "ann@acme.example"},
    }
    for what, members in changes.items():
        made.people.there = dict(there)
        made.people.change("ann", email="Ann@acme.example")
        made.people.change("tom", **members)
        states[what] = made.use(request)
    made.people.there = {name: one for name, one in there.items() if name != "acme/tom"}

    assert {
        "as it was": "",
        "inactive": "APPROVAL_PENDING",
        "no role": "APPROVAL_PENDING",
        "the requester": "APPROVAL_PENDING",
    } == states
    assert "APPROVAL_PENDING" == made.use(request)


async def test_the_vote_of_somebody_who_got_hold_of_the_key_of_the_program_afterwards_counts_no_more(
    made: Desk,
) -> None:
    request = await made.asked(made.call("worker"))
    await made.vote(request, "tom")

    before = made.use(request, who="worker")
    made.owners["acme/worker"] = {"acme/tom"}

    assert ("", "APPROVAL_PENDING") == (before, made.use(request, who="worker"))


async def test_a_policy_that_says_something_else_or_has_other_constants_or_is_gone_voids_an_approval(
    made: Desk,
) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    other = dataclasses.replace(POLICY, name="another")
    results = {}

    for what, bundle in {
        "another beside it": Bundle(name="b", policies=(POLICY, dataclasses.replace(other, dry_run=True))),
        "another asks too": Bundle(name="b", policies=(POLICY, other)),
        "a larger quorum": Bundle(name="b", policies=(dataclasses.replace(POLICY, quorum=2),)),
        "a dry run": Bundle(name="b", policies=(dataclasses.replace(POLICY, dry_run=True),)),
        "another constant": Bundle(name="b", policies=(POLICY,), constants={"limit": 5}),
        "none": None,
    }.items():
        made.bundle = bundle
        call = made.call(under=request.id)
        if call.verdict is not None:
            call.verdict.wants = tuple(one for one in call.verdict.wants if not one.dry_run)
        try:
            made.approvals.use(call)
            results[what] = ""
        except AltarError as refused:
            results[what] = refused.code

    assert "" == results.pop("another beside it")
    assert {"APPROVAL_VOID"} == set(results.values())


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "as the policy 'p0' asks: Says 0."),
        (2, "as the policies 'p0' and 'p1' ask: Says 0. Says 1."),
        (3, "as the policies 'p0', 'p1' and 'p2' ask: Says 0. Says 1. Says 2."),
        (7, "as the policies 'p0', 'p1', 'p2', 'p3', 'p4' and 2 more ask: Says 0. Says 1. Says 2. Says 3. Says 4."),
    ],
)
async def test_who_waits_is_told_what_the_policies_say_that_ask(made: Desk, count: int, words: str) -> None:
    asking = tuple(dataclasses.replace(POLICY, name=f"p{n}", message=f"Says {n}.") for n in range(count))
    made.bundle = Bundle(name="b", policies=asking)

    first = made.approvals.ask(made.call())
    with pytest.raises(AltarError) as under_its_handle:
        made.approvals.use(made.call(under=first.handle))

    assert str(first).endswith(words)
    assert str(first) == str(under_its_handle.value)


async def test_what_waits_and_what_a_break_glass_let_pass_is_counted_by_tenant(made: Desk) -> None:
    await made.asked(made.call(arguments=b'{"n":1}'))
    gone = await made.asked(made.call(arguments=b'{"n":2}'))
    await made.approvals.withdraw(gone, principal="acme/ann")
    call = made.call(arguments=b'{"n":3}')
    await made.glass.open(
        tenant="acme", tools=call.name, reason="the bank closes at noon", seconds=60, principal="acme/tom"
    )
    approval_check(made.approvals, made.glass)(call)
    before = {**made.approvals.figures(), **made.glass.figures()}
    made.time += 30 * 86_400
    later = {**made.approvals.figures(), **made.glass.figures()}

    assert {"acme": 1} == before["approvals_pending"] == before["break_glass_open"] == before["break_glass_calls"]
    assert {} == later["approvals_pending"] == later["break_glass_open"]
    assert {"acme": 1} == later["break_glass_calls"]


async def test_a_flood_of_requests_is_refused_and_taking_them_back_makes_no_room_at_once(tmp_path: Path) -> None:
    limits = ApprovalLimits(per_principal=3, per_tenant=5, argument_bytes=64, kept=timedelta(minutes=10))
    async with desk(tmp_path, limits=limits) as made:
        mine = [await made.asked(made.call(arguments=b'{"n":%d}' % n)) for n in range(3)]
        for one in mine:
            await made.approvals.withdraw(one, principal="acme/ann")
        codes = []
        for who, n in (("ann", 9), ("tina", 1), ("tina", 2), ("worker", 3)):
            try:
                await made.asked(made.call(who, b'{"n":%d}' % n))
                codes.append("")
            except AltarError as refused:
                codes.append(refused.code)
        with pytest.raises(AltarError) as too_large:
            made.approvals.ask(made.call("tom", b'{"n":"%s"}' % (b"x" * 64)))
        made.time += 601
        made.approvals.sweep()

        assert ["RESOURCE_EXHAUSTED", "", "", "RESOURCE_EXHAUSTED"] == codes
        assert "MESSAGE_TOO_LARGE" == too_large.value.code
        assert State.PENDING is made.approvals.state_of(await made.asked(made.call(arguments=b'{"n":9}')))


async def test_a_host_that_is_started_again_takes_up_what_the_log_says_and_nothing_that_was_changed_behind_it(
    made: Desk,
) -> None:
    whole, half, gone = [await made.asked(made.call(arguments=b'{"n":%d}' % n)) for n in range(3)]
    swapped = await made.asked(made.call(arguments=b'{"n":9}'))
    await made.vote(whole, "tom")
    await made.vote(half, "tina", approve=False)
    subject = made.subjects.of("acme", "acme/ann")
    forged = b'{"arguments":"{\\"n\\":10}","needs":[],"principal":"acme/ann"}'
    made.kept.save(swapped.id, sealed(subject, swapped.id, forged), then=lambda _error: None)
    made.kept.drop([gone.id])

    taken = await made.again()

    assert [whole.id, half.id] == [one.id for one in taken]
    found = {one.id: one for one in taken}
    assert whole.digest == found[whole.id].digest
    assert (State.APPROVED, State.REFUSED) == tuple(taken.state_of(found[one.id]) for one in (whole, half))


async def test_a_kept_call_is_unreadable_with_the_key_of_anybody_else_and_once_its_requester_is_forgotten(
    made: Desk,
) -> None:
    request = await made.asked(made.call(arguments=b'{"n":"needle"}'))
    body = await made.approvals.arguments(request)
    subject, other = made.subjects.of("acme", "acme/ann"), made.subjects.of("acme", "acme/tom")
    assert body is not None

    assert b"needle" in (opened(subject, request.id, body) or b"")
    assert b"needle" not in body
    assert [None, None, None] == [
        opened(other, request.id, body),
        opened(subject, "approval-1", body),
        opened(subject, request.id, body[:-1] + b"\x00"),
    ]
    made.subjects.destroy("acme", "acme/ann")
    assert [] == list(await made.again())


async def test_a_break_glass_lets_pass_what_it_covers_marks_it_and_ends_by_itself(made: Desk) -> None:
    check = approval_check(made.approvals, made.glass)
    call = made.call()
    opened_one = await made.glass.open(
        tenant="acme", tools=call.name, reason="the bank closes at noon", seconds=60, principal="acme/tom"
    )
    other = made.call()
    other.name, other.invocation_id = "elsewhere", "i-2"
    foreign = made.call()
    foreign.tenant, foreign.invocation_id = "rival", "i-3"

    check(call)
    refused = []
    for each in (other, foreign):
        with pytest.raises(AltarError) as pending:
            check(each)
        refused.append(pending.value.code)
    made.time += 60
    late = made.call()
    late.invocation_id = "i-4"
    with pytest.raises(AltarError):
        check(late)
    made.glass.sweep()

    assert ("break_glass", 1) == (call.verdict.verdict, opened_one.used)
    assert ["APPROVAL_PENDING"] * 2 == refused
    assert [opened_one.id] == [one["break_glass"] for one in made.alarm.heard]
    assert () == made.glass.of("acme")


@pytest.mark.parametrize(
    ("seconds", "reason", "tools"),
    [
        (0, "a good reason", "*"),
        (3601, "a good reason", "*"),
        (60, "why", "*"),
        (60, "a good reason", "a b"),
        (60, "x" * 500, "*"),
    ],
)
async def test_a_break_glass_without_a_reason_an_end_or_a_pattern_does_not_open(
    made: Desk, seconds: int, reason: str, tools: str
) -> None:
    with pytest.raises(AltarError) as refused:
        await made.glass.open(tenant="acme", tools=tools, reason=reason, seconds=seconds, principal="acme/tom")

    assert "MALFORMED_REQUEST" == refused.value.code
    assert [] == made.alarm.heard


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@acme.example", "ANN@Acme.Example"),
        ("ann@acme.example", "ann+work@acme.example"),
        ("ann@acme.example", " ann@acme.example. "),
        ("ann@acme.example", "\uff41nn@acme.example"),
    ],
)
def test_addresses_that_lead_to_one_mailbox_are_one_person(one: str, other: str) -> None:
    assert human_of(person("a", email=one)) == human_of(person("b", email=other))
    assert human_of(person("a")) != human_of(person("b"))


def test_what_is_shown_masks_secrets_and_hides_no_letters() -> None:
    schema = {
        "properties": {
            "pin": {"type": "string", "writeOnly": True},
            "login": {"$ref": "#/$defs/login"},
            "cards": {"type": "array", "items": {"anyOf": [{"type": "string", "format": "password"}]}},
        },
        "$defs": {"login": {"properties": {"code": {"format": "password"}, "user": {"type": "string"}}}},
    }
    given = (
        '{"api_key":"k-1","cards":["4711"],"login":{"code":"1234","user":"ann"},"pin":"0000",'
        '"token_count":3,"to":"bob\u202e\u200b","at":"Zürich"}'
    )

    shown = rendered(given.encode(), schema)

    for secret in ("k-1", "4711", "1234", "0000", "\u202e", "\u200b"):
        assert secret not in shown
    for plain in ('"user": "ann"', '"token_count": 3', "bob\\u{202e}\\u{200b}", "Zürich"):
        assert plain in shown
