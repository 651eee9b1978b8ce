"""A host that was killed between the result of a call under a key and its outcome: the log's word counts."""

from __future__ import annotations

import threading
from pathlib import Path

from altar.grid.host.idempotency import KeyLimits, Keys
from altar.later.invocation import Invocation, Outcome
from altar.ledger.ledger import Ledger
from tests.unit.ledger.samples import commit, intent, open_ledger, signer_in


def test_a_result_without_an_outcome_in_the_log_is_never_told(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    ledger = open_ledger(tmp_path / "ledger.db", signer)
    results = ledger.results
    (seq, error) = commit(ledger, intent(1, key="once"))
    assert error is None
    stored = threading.Event()
    results.save(seq, b'+"done"', then=lambda _error: stored.set())
    assert stored.wait(30)
    ledger.close()  # which gives the intent the outcome that a restart after a crash would: OUTCOME_UNKNOWN

    again = open_ledger(tmp_path / "ledger.db", signer)
    try:
        told = asked_again(again)
    finally:
        again.close()

    assert told.error is not None
    assert ("OUTCOME_UNKNOWN", "unknown") == (told.error.code, told.error.ran)


def asked_again(ledger: Ledger) -> Outcome:
    """What a caller is told that sends the call of the log again, under its key."""
    keys = Keys(ledger, limits=KeyLimits(), commit=ledger.commit)
    answered = threading.Event()
    answers: list[Outcome] = []

    def answer(_invocation: Invocation, outcome: Outcome) -> None:
        answers.append(outcome)
        answered.set()

    said = intent(2, key="once", call="call-1")
    invocation = Invocation(
        said.tool,
        b"{}",
        said.call,
        version=said.version,
        principal=said.principal,
        tenant=said.tenant,
        record=said,
        once=True,
    )
    first = keys.admit([invocation], answer)
    assert [] == first
    assert answered.wait(30)
    return answers[0]
