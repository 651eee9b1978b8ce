"""What is said of a bundle before it is in force: what is odd, how its tests end, what it would change."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.errors import AltarError
from altar.aesp.policy.examining import Examination, examine
from altar.aesp.policy.linting import RULES
from altar.aesp.policy.policy import read_bundle
from altar.aesp.policy.writing import written
from tests.unit.grid.contracts import MANIFEST

CONTRACTS = tuple(MANIFEST)


def bundle(*policies: str, head: str = "") -> str:
    """A bundle with these policies, each a condition and an effect and whatever else it says."""
    tables = [f'[[policies]]\nname = "p{at}"\n{policy}' for at, policy in enumerate(policies, 1)]
    return "\n\n".join(['name = "b"', head, *tables]) + "\n"


def look(text: str, **more: Any) -> Examination:
    return examine(read_bundle(text), CONTRACTS, **more)


def rule(condition: str, effect: str = "DENY", **more: str) -> str:
    lines = [f"condition = '{condition}'", f'effect = "{effect}"', *(f"{name} = {held}" for name, held in more.items())]
    return "\n".join(lines)


WAITS = rule("request.has_approval == false", "REQUIRE_APPROVAL", approvers='["finance"]', quorum="2")

ODD: dict[str, list[tuple[str, str]]] = {
    bundle(rule("principal.mfa")): [],
    bundle(rule("args.n > 9", tools='["add"]'), head='record = ["args.n"]'): [],
    bundle(rule("args.n > 9", tools='["add"]')): [("unrecorded", "p1")],
    bundle(rule("args.amount > 9", tools='["send"]'), head='record = ["args.amount"]'): [("does-not-fit", "p1")],
    bundle(rule("principal.mfa", tools='["nosuch.*"]')): [("no-such-tool", "p1")],
    bundle(rule("false")): [("never-fires", "p1")],
    bundle(rule("1 > 2")): [("never-fires", "p1")],
    bundle(rule("principal.mfa && false")): [("never-fires", "p1")],
    bundle(rule('principal.kind == "user" && principal.kind == "service_account"')): [("never-fires", "p1")],
    bundle(rule('principal.kind == "user" || principal.kind == "service_account"')): [],
    bundle(rule("true")): [("always-fires", "p1")],
    bundle(rule("true", tools='["send"]')): [],
    bundle(rule("principal.mfa", "ALLOW")): [("pointless-allow", "p1")],
    bundle(rule("principal.mfa", "ALLOW"), head='default = "DENY"'): [],
    bundle(rule("principal.mfa", "AUDIT"), head='default = "DENY"'): [("denies-all", "")],
    bundle(rule("true", tools='["add"]'), rule("principal.mfa", tools='["add"]')): [("shadowed", "p2")],
    bundle(rule("principal.mfa", tools='["add"]'), rule("true", tools='["a*"]')): [("shadowed", "p1")],
    bundle(rule("true", tools='["add"]'), rule("principal.mfa")): [],
    bundle(rule("true", tools='["x"]'), rule("principal.mfa", tools='["x"]')): [
        ("no-such-tool", "p1"),
        ("no-such-tool", "p2"),
        ("shadowed", "p2"),
    ],
    bundle(rule("principal.mfa", "AUDIT"), rule("principal.mfa")): [("same-condition", "p1")],
    bundle(rule("principal.mfa"), rule("principal . mfa")): [("same-condition", "p2")],
    bundle(rule("principal.mfa", tools='["add"]'), rule("principal.mfa", tools='["send"]')): [],
    bundle(rule("principal.mfa", dry_run="true"), rule("principal.mfa")): [],
}


@pytest.mark.parametrize("text", ODD)
def test_what_can_never_matter_or_could_not_be_followed_is_found(text: str) -> None:
    found = look(text)

    assert ODD[text] == [(one.rule, one.policy) for one in found.findings], [str(one) for one in found.findings]


@pytest.mark.parametrize(
    ("holders", "said"),
    [
        (2, []),
        (1, ["It asks for 2 who hold finance, and 1 at most could approve"]),
        (0, ["It asks for 2 who hold finance, and nobody could approve"]),
        (-1, ["There is no role 'finance'", "It asks for 2 who hold finance, and nobody could approve"]),
    ],
)
def test_approvers_that_are_not_there_are_found(holders: int, said: list[str]) -> None:
    found = look(bundle(WAITS), holders=lambda _role: holders)

    assert said == [one.message for one in found.findings if one.rule == "unreachable-approvers"]


def test_a_policy_that_names_no_approvers_is_for_whoever_has_the_permission() -> None:
    text = bundle(rule("request.has_approval == false", "REQUIRE_APPROVAL", quorum="2"))

    found = look(text, holders=lambda _role: 0)

    assert () == read_bundle(text).policies[0].approvers
    assert [] == [one.message for one in found.findings if one.rule == "unreachable-approvers"]


def test_every_rule_is_found_by_some_case() -> None:
    found = {name for cases in ODD.values() for name, _ in cases}

    assert RULES.keys() == found | {"unreachable-approvers"}


TEST = """
[[tests]]
name = "one"
tool = "add"
args = { n = 5 }
"""


@pytest.mark.parametrize(
    ("test", "decided"),
    [
        ('expect = "ALLOW"', "ALLOW"),
        ('expect = "DENY"\nfacts = { "principal.mfa" = true }', "DENY"),
        ('expect = "DENY"\nfacts = { "request.principal.mfa" = true }\npolicy = "p1"', "DENY"),
        ('expect = "REQUIRE_APPROVAL"\nfacts = { "principal.daily_invocations" = 1001 }', "REQUIRE_APPROVAL"),
        ('expect = "AUDIT"\ntime = "2026-01-04T12:00:00Z"', "AUDIT"),
        ('expect = "ERROR"\nenvironment = { region = "eu" }', "ERROR"),
        ('expect = "AUDIT"\nfacts = { "resource.metadata.estimated_cost" = 200 }', "AUDIT"),
    ],
)
def test_a_test_of_a_bundle_decides_as_a_host_would(test: str, decided: str) -> None:
    text = bundle(
        rule("principal.mfa"),
        rule("principal.daily_invocations > 1000", "REQUIRE_APPROVAL", approvers='["admin"]'),
        rule("time.getDayOfWeek() == 0 || resource.metadata.estimated_cost > 100", "AUDIT"),
        rule('"region" in environment && environment["zone"] == "a"'),
    )

    found = look(text + TEST + test)

    assert [(decided, True, "")] == [(case.decided, case.passed, case.message) for case in found.cases]


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("", "`expect` must be one of ALLOW, DENY, REQUIRE_APPROVAL, AUDIT, ERROR, not None"),
        ('expect = "ALLOW"\nwhen = 1', "there is no member 'when'"),
        ('expect = "ALLOW"\ntime = "today"', "'today' is no time"),
        ('expect = "ALLOW"\nfacts = { "principal.rolls" = [] }', "there is no fact 'principal.rolls'"),
        ('expect = "ALLOW"\nfacts = { "principal.mfa" = 1 }', "the fact 'principal.mfa' is of the type bool, not 1"),
        ('expect = "ALLOW"\nfacts = { "principal.roles" = [1] }', "is of the type list<string>"),
        ('expect = "ALLOW"\nenvironment = { a = 1 }', "`environment` holds texts only"),
    ],
)
def test_a_test_that_is_none_is_refused_and_named(test: str, words: str) -> None:
    with pytest.raises(AltarError) as refused:
        look(bundle(rule("principal.mfa")) + TEST + test)

    assert "INVALID_POLICY" == refused.value.code
    assert refused.value.message.startswith("test 'one': ")
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ('expect = "DENY"', "expected DENY, and it is ALLOW"),
        ('expect = "ALLOW"\npolicy = "p1"', "expected 'p1' to decide, and 'no policy' does"),
        ('expect = "ALLOW"\nversion = "9.0.0"', "test 'one': 'add' has no version '9.0.0'"),
    ],
)
def test_a_test_that_fails_says_how(test: str, message: str) -> None:
    found = look(bundle(rule("principal.mfa")) + TEST + test)

    assert [(False, message)] == [(case.passed, case.message) for case in found.cases]
    assert 1 == len(found.wrong)


def test_arguments_of_a_test_are_checked_as_those_of_a_call() -> None:
    found = look(bundle(rule("principal.mfa")) + TEST.replace("n = 5", 'n = "five"') + 'expect = "ALLOW"')

    assert [False] == [case.passed for case in found.cases]


def test_what_a_bundle_changes_is_told_for_the_tests_of_both() -> None:
    test = TEST + 'expect = "VERDICT"\n'
    before = bundle(rule("args.n > 4", tools='["add"]'), rule("principal.mfa")) + test.replace("VERDICT", "DENY")
    after = bundle(rule("args.n > 9", tools='["add"]'), WAITS.replace("request.has_approval == false", "args.n > 3"))
    after = after.replace('"p2"', '"p3"').replace('effect = "REQ', 'tools = ["add"]\neffect = "REQ')

    found = look(after + test.replace("VERDICT", "REQUIRE_APPROVAL"), against=read_bundle(before))

    assert [("one", "add", "DENY", "REQUIRE_APPROVAL", "p3")] == [
        (one.case, one.tool, one.was, one.becomes, one.policy) for one in found.changes
    ]
    assert (("p3",), ("p2",), ("p1",)) == (found.added, found.removed, found.changed)


def test_constants_the_default_and_what_is_recorded_are_part_of_what_changes() -> None:
    before = bundle(rule("principal.mfa"), head="[constants]\na = 1\nb = 1")
    after = bundle(rule("principal.mfa"), head='default = "DENY"\nrecord = ["args.n"]\n[constants]\nb = 2\nc = 3')

    found = look(after, against=read_bundle(before))

    assert (("constants.c",), ("constants.a",), ("constants.b", "default", "record")) == (
        found.added,
        found.removed,
        found.changed,
    )


ODD_TEXTS = ("a\"b'c", "two\nlines", "back\\slash", "ünïcode", "\x7f\t", "''' and \"\"\"", "\r\nx")


@pytest.mark.parametrize("held", ODD_TEXTS)
def test_a_bundle_that_is_written_out_says_the_same(held: str) -> None:
    text = bundle(WAITS, rule("principal.mfa", "AUDIT", dry_run="true")) + TEST + 'expect = "ALLOW"'
    made = read_bundle(text)
    odd = type(made)(
        name=made.name,
        policies=made.policies,
        description=held,
        constants={"x": held, "y": [held], "z": 1.5},
        tests=({**made.tests[0], "note": {"a b": held}},),
    )

    again = read_bundle(written(odd))

    assert (odd.description, odd.constants, [dict(each) for each in odd.tests]) == (
        again.description,
        again.constants,
        [dict(each) for each in again.tests],
    )
    assert [policy.digest for policy in odd.policies] == [policy.digest for policy in again.policies]
