"""What an intent says of the policies that decided: what fits, what is refused, what the auditor's program takes."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.errors import ValidationError
from altar.ledger.entry import MAX_ENTRY_BYTES, Intent
from altar.verify.entries import EntryError, read_entry

DIGEST = "sha256:" + "a" * 64
PLAIN: dict[str, Any] = {
    "invocation": "i-1",
    "call": "c-1",
    "tool": "pay",
    "version": "1.0.0",
    "contract": DIGEST,
    "arguments": DIGEST,
    "principal": "p-1",
    "tenant": "acme",
    "session": "s-1",
    "correlation": "k-1",
}


@pytest.mark.parametrize(
    "said",
    [
        {"policy": DIGEST, "verdict": "allow"},
        {"policy": DIGEST, "verdict": "audit", "facts": '{"args.amount":250}'},
        {"policy": DIGEST, "verdict": "approved", "approval": "approval-1", "facts": '{"x":"' + "y" * 900 + '"}'},
        {"policy": DIGEST, "verdict": "break_glass", "facts": '{"x":"\u00fc\u2028"}'},
    ],
    ids=lambda said: said["verdict"],
)
def test_what_policies_decided_is_written_and_the_verifier_takes_it(said: dict[str, Any]) -> None:
    body = Intent(**PLAIN, **said).encode(1)

    assert len(body) <= MAX_ENTRY_BYTES
    assert {name: read_entry(body, 2)[name] for name in said} == said


def test_a_call_without_policies_has_the_bytes_it_always_had() -> None:
    assert b"policy" not in Intent(**PLAIN).encode(1)


@pytest.mark.parametrize(
    "said",
    [
        {"verdict": "allow", "policy": "sha256:short"},
        {"verdict": "perhaps", "policy": DIGEST},
        {"verdict": "allow", "policy": DIGEST, "facts": '{"x":"' + "y" * 1100 + '"}'},
        {"verdict": "allow", "policy": DIGEST, "approval": "x" * 2000},
    ],
)
def test_what_cannot_be_said_of_policies_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Intent(**PLAIN, **said)

    assert refused.value.code == "MALFORMED_REQUEST"


def test_the_verifier_refuses_a_verdict_it_does_not_know() -> None:
    body = Intent(**PLAIN, policy=DIGEST, verdict="audit").encode(1).replace(b'"audit"', b'"maybe"')

    with pytest.raises(EntryError):
        read_entry(body, 2)
