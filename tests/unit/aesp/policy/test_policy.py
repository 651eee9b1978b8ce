"""Bundles of policies as people write them, and how what is wrong with one is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from altar.adm.errors import ValidationError
from altar.aesp.policy.policy import MAX_BUNDLE_BYTES, Effect, bundle_of, read_bundle

BUNDLE = """\
name = "payments"
record = ["args.amount"]

[constants]
limit = 500

[[policies]]
name = "refunds-need-a-person"
tools = ["payments.*"]
condition = '''
args.amount > constants.limit &&
  !request.has_approval
'''
effect = "REQUIRE_APPROVAL"
approvers = ["finance"]
quorum = 2
expires = "1h"
message = "Too much."

[[policies]]
name = "not-in-development"
condition = 'request.environment == "development"'
effect = "DENY"
"""


def test_a_bundle_is_read_with_the_lines_of_its_policies() -> None:
    bundle = read_bundle(BUNDLE, path="p.toml")

    assert [(policy.name, policy.line, policy.condition_line) for policy in bundle.policies] == [
        ("refunds-need-a-person", 7, 11),
        ("not-in-development", 20, 22),
    ]
    refunds = bundle.policies[0]
    assert (refunds.effect, refunds.quorum, refunds.expires) == (Effect.REQUIRE_APPROVAL, 2, timedelta(hours=1))
    assert refunds.governs("payments.refund")
    assert not refunds.governs("payroll.refund")
    assert bundle.policies[1].governs("anything")


def test_what_is_kept_of_a_bundle_is_read_back_as_it_was() -> None:
    bundle = read_bundle(BUNDLE)

    assert bundle_of(bundle.body) == bundle


def test_the_digest_of_a_policy_does_not_depend_on_where_it_stands() -> None:
    moved = read_bundle("# a comment\n" + BUNDLE)

    before = read_bundle(BUNDLE)
    assert [policy.digest for policy in moved.policies] == [policy.digest for policy in before.policies]
    assert moved.digest != before.digest


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ('effect = "DENY"', 'effect = "NO"', "p.toml:23: policy 'not-in-development': 'effect' must be one of"),
        ('name = "not-in-development"', 'name = "refunds-need-a-person"', "two policies 'refunds-need-a-person'"),
        ('approvers = ["finance"]', "approvers = 3", "p.toml:15: .*'approvers' must be a list of texts, not 3"),
        ('expires = "1h"', 'expires = "1y"', "p.toml:17: policy 'refunds-need-a-person': 'expires' must be a time"),
        ("quorum = 2", "quorum = 0", "'quorum' must be a number from 1 to 16, not 0"),
        ("quorum = 2", "quorum = true", "'quorum' must be a number from 1 to 16, not True"),
        ('effect = "DENY"', 'effect = "DENY"\nquorum = 2', "p.toml:24: .*'quorum' says nothing for the effect DENY"),
        ('effect = "DENY"', 'effect = "DENY"\nefect = "X"', "There is no member 'efect'"),
        ('tools = ["payments.*"]', 'tools = ["a b"]', "p.toml:9: .*'a b' is no pattern of tools"),
        ('tools = ["payments.*"]', "tools = []", "'tools' is empty"),
        ('record = ["args.amount"]', 'record = ["principal.id"]', "p.toml:2: 'principal.id' is not for the record"),
        ("limit = 500", "limit = 9999999999999999999999", "p.toml:4: A constant cannot be kept"),
        ("limit = 500", "limit = nan", "A constant cannot be kept"),
        ("limit = 500", "limit = {}", "p.toml:4: The constant 'limit' must be"),
        ('name = "payments"', "name = 3", "p.toml:1: 'name' must be a text, not 3"),
        ('name = "payments"', 'name = "payments', "p.toml is no TOML"),
        ("[[policies]]", "[policies]", "p.toml is no TOML"),
    ],
)
def test_what_is_wrong_with_a_bundle_is_said_with_its_line(written: str, instead: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        read_bundle(BUNDLE.replace(written, instead), path="p.toml")

    assert refused.value.code == "INVALID_POLICY"


def test_a_bundle_that_is_too_large_or_too_deep_is_refused_before_it_is_read() -> None:
    condition = f'name = "x"\n[[policies]]\nname = "p"\neffect = "DENY"\ncondition = "{"a" * 1024 * 1024}"'

    with pytest.raises(ValidationError, match=f"more than {MAX_BUNDLE_BYTES} bytes"):
        read_bundle(condition)
    with pytest.raises(ValidationError, match="4096 are the limit"):
        read_bundle(condition.replace("a" * 1024 * 1024, "a" * 5_000))
    with pytest.raises(ValidationError, match="nested too deep"):
        read_bundle("a = " + "[" * 20_000)
