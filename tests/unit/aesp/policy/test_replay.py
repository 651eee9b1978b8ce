"""A bundle tried on recorded calls: what would change, what cannot be decided, and what is counted again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ConfigurationError
from altar.aesp.policy.concluding import Concluded
from altar.aesp.policy.facts import static_facts
from altar.aesp.policy.past import explain_past
from altar.aesp.policy.policy import Effect, read_bundle
from altar.aesp.policy.programs import compile_bundle
from altar.aesp.policy.recorded_calls import RecordedCall, calls_in, entries_of_export, read_call, tenant_of_export
from altar.aesp.policy.replay import Replay, Replayed, tool_of
from altar.ledger.entry import Event, Intent
from tests.messages.test_explanations import MANIFEST

DIGEST = "sha256:" + "5a" * 32
MONDAY_MS = 1_767_607_200_000
LARGE = """
name = "tried"
record = ["args.amount"]
[[policies]]
name = "large"
condition = 'args.amount > 100 && !("payer" in principal.roles)'
effect = "DENY"
"""


def body(number: int = 0, *, time_ms: int = MONDAY_MS, principal: str = "p-1", facts: Any = None, **more: Any) -> bytes:
    """The entry of a call that was allowed."""
    intent = Intent(
        invocation=f"i-{number}",
        call=f"c-{number}",
        tool="pay",
        version="1.0.0",
        contract=DIGEST,
        arguments=DIGEST,
        principal=principal,
        tenant="acme",
        session="s",
        correlation="k",
        policy=DIGEST,
        **{"verdict": "allow", "facts": canonical(facts).decode() if facts else "", **more},
    )
    return intent.encode(time_ms + number)


def refused(code: str, *, facts: Any = None, count: int = 0, call: str = "c-1") -> bytes:
    """The entry of a call that was refused."""
    said = {"facts": canonical(facts).decode(), "policy": DIGEST, "rule": "large", "call": call}
    data = canonical(said).decode() if facts else ""
    event = Event(
        event="call.denied",
        subject="tools/pay",
        tenant="acme",
        principal="p-1",
        resource="tools/pay",
        outcome="DENIED",
        code=code,
        count=count,
        data=data,
    )
    return event.encode(MONDAY_MS)


def replayed(bundle: str, *bodies: bytes, since_ms: int = 0) -> Replayed:
    made = read_bundle(bundle)
    trial = Replay(made, tool_of=tool_of(made, MANIFEST.get), since_ms=since_ms)
    for call in calls_in(enumerate(bodies)):
        trial.take(call)
    return trial.result()


def paid(amount: float, *roles: str) -> dict[str, Any]:
    return {"args.amount": amount, "request.principal.roles": list(roles)}


def test_calls_that_would_be_decided_otherwise_are_counted_and_named() -> None:
    found = replayed(LARGE, body(0, facts=paid(50)), body(1, facts=paid(500)), body(2, facts=paid(500, "payer")))

    assert (3, 2, 1, 0) == (found.calls, found.same, found.changed, found.undecidable)
    assert {("allow", "denied"): 1} == found.changes
    assert [(1, ("large",))] == [(each.position, each.policies) for each in found.samples]


def test_a_refusal_that_would_be_none_counts_as_a_change_as_often_as_it_stands_for() -> None:
    found = replayed(LARGE, refused("POLICY_VIOLATION", facts=paid(50), count=7))

    assert {("denied", "allow"): 7} == found.changes


def test_what_another_check_refused_is_refused_again() -> None:
    found = replayed(LARGE, refused("PERMISSION_DENIED"), refused("RATE_LIMIT_EXCEEDED", count=3))

    assert (4, 4, 0) == (found.calls, found.elsewhere, found.changed)


def test_what_was_not_recorded_makes_a_call_undecidable_unless_the_rest_decides() -> None:
    amount_alone, small_alone = {"args.amount": 500}, {"args.amount": 5}
    found = replayed(LARGE, body(0, facts=amount_alone), body(1, facts=small_alone), body(2))

    assert (1, 2) == (found.same, found.undecidable)
    assert 1 == found.missing["principal.roles"]


def test_an_argument_that_was_not_given_is_not_one_that_was_not_recorded() -> None:
    bundle = (
        'name = "x"\n[[policies]]\nname = "n"\ncondition = \'has(args.note) && args.note == "gift"\'\neffect = "DENY"'
    )
    found = replayed(bundle, body(0, facts={"absent": ["args.note"]}), body(1, facts={"args.note": "gift"}), body(2))

    assert (1, 1, 1) == (found.same, found.changed, found.undecidable)


def test_calls_of_a_day_are_counted_again_under_the_bundle_that_is_tried() -> None:
    bundle = 'name = "x"\n[[policies]]\nname = "often"\ncondition = "principal.daily_invocations > 2"\neffect = "DENY"'
    recorded = {"request.principal.daily_invocations": 1}  # what an older host recorded does not count
    day = 86_400_000
    bodies = [body(n, facts=recorded) for n in range(4)]
    bodies += [body(4, principal="p-2", facts=recorded), body(5, time_ms=MONDAY_MS + day, facts=recorded)]

    found = replayed(bundle, *bodies)

    assert [2, 3] == [each.position for each in found.samples]
    assert ("principal.daily_invocations",) == found.recounted


def test_calls_before_the_period_count_for_its_first_day_and_are_not_replayed() -> None:
    bundle = 'name = "x"\n[[policies]]\nname = "often"\ncondition = "tenant.daily_invocations > 2"\neffect = "DENY"'

    found = replayed(bundle, *(body(n) for n in range(3)), since_ms=MONDAY_MS + 2)

    assert (1, {("allow", "denied"): 1}) == (found.calls, found.changes)


def test_an_approved_call_stays_so_and_one_that_nobody_had_to_approve_would_wait() -> None:
    bundle = (
        'name = "x"\n[[policies]]\nname = "ask"\ncondition = "args.amount > 1"\n'
        'effect = "REQUIRE_APPROVAL"\napprovers = ["boss"]'
    )
    found = replayed(bundle, body(0, facts=paid(9), verdict="approved", approval="r"), body(1, facts=paid(9)))

    assert (1, {("allow", "pending"): 1}) == (found.same, found.changes)


def test_what_was_decided_by_an_approval_and_not_by_policies_is_left_out() -> None:
    bundle = 'name = "x"\n[[policies]]\nname = "ask"\ncondition = "args.amount > 100"\neffect = "REQUIRE_APPROVAL"'
    handle = "approval-" + "5a" * 12
    asked_before = refused("APPROVAL_PENDING", facts=paid(9), call=handle)  # the policies do not ask any more

    found = replayed(bundle, asked_before, *(refused(f"APPROVAL_{how}", facts=paid(9)) for how in ("VOID", "REFUSED")))

    assert (3, 0) == (found.elsewhere, found.changed)
    assert {("pending", "allow"): 1} == replayed(bundle, refused("APPROVAL_PENDING", facts=paid(9))).changes


def test_several_refusals_in_one_entry_are_undecidable_because_it_has_no_facts_of_them() -> None:
    bundle = 'name = "x"\n[[policies]]\nname = "of-another-tool"\ntools = ["look"]\ncondition = "true"\neffect = "DENY"'

    found = replayed(bundle, refused("POLICY_VIOLATION", count=7))

    assert (7, 0) == (found.undecidable, found.changed)


def test_a_break_glass_over_a_denial_stays_so_as_long_as_the_denial_lets_it() -> None:
    text = 'name = "x"\n[[policies]]\nname = "p"\ncondition = "args.amount > 1"\neffect = "DENY"\n'
    ran = body(0, facts=paid(9), verdict="break_glass")

    assert 0 == replayed(f"{text}break_glass = true", ran).changed
    assert {("pending", "denied"): 1} == replayed(text, ran).changes


def test_a_replay_decides_as_the_host_does_on_any_facts() -> None:
    text = (
        """
    name = "all"
    record = ["args"]
    default = "DENY"
    """.replace('record = ["args"]', 'record = ["args.amount", "args.to", "args.note"]')
        + "".join(
            f'\n[[policies]]\nname = "p{n}"\ncondition = \'{condition}\'\neffect = "{effect}"{more}\n'
            for n, (condition, effect, more) in enumerate(
                [
                    ("args.amount > 60", "DENY", ""),
                    ('args.note == "x"', "ALLOW", ""),
                    ('has(args.note) ? args.note == "y" : args.to == "bob"', "ALLOW", ""),
                    ("args.amount > 40", "REQUIRE_APPROVAL", '\napprovers = ["boss"]'),
                    ('"payer" in principal.roles', "AUDIT", ""),
                    ("args.amount / 0.0 > 1.0 && args.amount > 30", "DENY", "\ndry_run = true"),
                ]
            )
        )
    )
    bundle, contract, draw = read_bundle(text), MANIFEST.find("pay"), random.Random(3)
    tool = compile_bundle(bundle).for_tool(contract)
    names: dict[tuple[Effect, bool], Concluded] = {
        (Effect.ALLOW, False): "allow",
        (Effect.AUDIT, False): "audit",
        (Effect.REQUIRE_APPROVAL, False): "pending",
        (Effect.DENY, False): "denied",
        (Effect.DENY, True): "denied",
    }

    for number in range(60):
        arguments: dict[str, Any] = {"amount": draw.randrange(80), "to": draw.choice(["bob", "eve"])}
        arguments |= {} if draw.random() < 0.4 else {"note": draw.choice("xyz")}
        values = {n: v for n, v in static_facts(contract, constants={}, environment={}).items() if n in tool.needs}
        values["principal.roles"] = draw.choice([[], ["payer"]])
        tool.plan.add_arguments(values, canonical(arguments))
        ruling = tool.verdicts(values)

        found = replayed(text, body(number, facts=orjson.loads(tool.plan.record(values, {}))))

        becomes = next(iter(found.changes), ("allow", "allow"))[1]
        assert names[ruling.effect, ruling.error is not None] == becomes, arguments


def test_entries_that_are_damaged_are_said_to_be() -> None:
    with pytest.raises(ConfigurationError) as damaged:
        list(calls_in([(7, b'{"kind":"intent"}')]))

    assert "LOG_DAMAGED" == damaged.value.code
    assert "Entry 7" in damaged.value.message


def test_an_export_gives_the_same_calls(tmp_path: Path) -> None:
    bodies = [body(0, facts=paid(9)), b'{"attempts":1,"kind":"outcome"}', refused("POLICY_VIOLATION", facts=paid(500))]
    lines: list[dict[str, Any]] = [{"altar_audit_export": 2, "origin": "o", "size": 3, "tenant": "acme", "vkey": "v"}]
    lines += [{"entry": each.decode(), "leaf": "", "seq": at} for at, each in enumerate(bodies)]
    file = tmp_path / "acme.export"
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    assert ("acme", 3) == tenant_of_export(file)
    assert list(calls_in(enumerate(bodies))) == list(calls_in(entries_of_export(file)))


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello\n")

    with pytest.raises(AltarError) as refusal:
        tenant_of_export(file)

    assert "INVALID_CONFIG" == refusal.value.code


def test_a_record_that_its_facts_do_not_lead_to_counts_and_the_difference_is_told() -> None:
    call = read_call(4, body(0, facts=paid(500)))
    assert isinstance(call, RecordedCall)
    bundle = read_bundle(LARGE)

    told = explain_past(
        call, tenant="acme", principal="p-1", bundle_of=lambda _: (bundle, 1), contract_of=lambda _n, _v: None
    )

    assert told.allowed
    assert any("the record counts" in note for note in told.notes)
