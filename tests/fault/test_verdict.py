"""The verdict on a run with faults finds each broken promise: evidence is forged here, one promise at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from altar.ledger import FileSigner, Intent, Ledger, Outcome
from altar.ledger.export import write_export
from tests.fault.verdict import Verdict, canonical_digest, judge
from tests.unit.ledger.samples import commit, open_ledger, signer_in

pytestmark = pytest.mark.fault

CONTENT = {"attempt": 1, "key": "k1", "pid": 7}


class Evidence:
    """Three calls, as honest processes would have written them down; a test forges one thing before the verdict.

    k1 of ``once`` succeeded, k2 of ``again`` was sent twice and succeeded, k3 of ``once`` was lost with its runtime.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ran = ["k1 1 7", "k2 1 7", "k2 1 8", "k3 1 8"]
        self.intents = [intent("k1", "once"), intent("k2", "again"), intent("k3", "once")]
        self.outcomes = [
            outcome(0, "k1", result=canonical_digest(CONTENT)),
            outcome(1, "k2", result=canonical_digest({**CONTENT, "key": "k2"}), attempts=2),
            outcome(2, "k3", code="RUNTIME_CRASH", ran="unknown"),
        ]
        self.acked = [
            answer("k1", "once"),
            answer("k2", "again"),
            answer("k3", "once", code="RUNTIME_CRASH", ran="unknown"),
        ]
        self.damage: Callable[[bytes], bytes] = bytes
        self.stopped = True

    def judged(self) -> Verdict:
        """Write the three files and judge them."""
        signer = signer_in(self._directory)
        self._write("ran", "".join(f"{line}\n" for line in self.ran))
        self._write("acked", "".join(f"{json.dumps(line)}\n" for line in self.acked))
        export = self._directory / "log.jsonl"
        self._write_log(signer, export)
        export.write_bytes(self.damage(export.read_bytes()))
        return judge(ran=self._directory / "ran", acked=self._directory / "acked", export=export, vkey=signer.vkey)

    def _write(self, name: str, text: str) -> None:
        (self._directory / name).write_text(text)

    def _write_log(self, signer: FileSigner, export: Path) -> None:
        ledger: Ledger = open_ledger(self._directory / "ledger.db", signer)
        first = [commit(ledger, one)[0] for one in self.intents]
        for one in self.outcomes:
            seq = first[one["intent"]]
            commit(ledger, Outcome(**{**one, "intent": seq}))
        if self.stopped:
            ledger.close()
        with export.open("wb") as out:
            write_export(self._directory / "ledger.db", out, vkey=signer.vkey)
        ledger.close()


def intent(key: str, tool: str, *, attempt: int = 1) -> Intent:
    return Intent(
        invocation=f"inv-{key}.{attempt}",
        call=f"{key}.{attempt}",
        tool=tool,
        version="1.0.0",
        contract=canonical_digest(tool),
        arguments=canonical_digest({"key": key, "attempt": attempt}),
        principal="client-1",
        tenant="default",
        session="",
        correlation="",
    )


def outcome(
    place: int, key: str, *, code: str = "", ran: str = "yes", result: str = "", attempts: int = 1
) -> dict[str, Any]:
    return {
        "intent": place,
        "invocation": f"inv-{key}.1",
        "status": "ERROR" if code else "SUCCESS",
        "code": code,
        "ran": ran,
        "result": result,
        "runtime": "runtime-1",
        "attempts": attempts,
    }


def answer(key: str, tool: str, *, code: str = "", ran: str = "yes") -> dict[str, Any]:
    return {
        "call": f"{key}.1",
        "tool": tool,
        "key": key,
        "attempt": 1,
        "status": "ERROR" if code else "SUCCESS",
        "code": code,
        "ran": ran,
        "content": None if code else {**CONTENT, "key": key},
    }


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path)


def assert_found(evidence: Evidence, *expected: str) -> None:
    problems = evidence.judged().problems
    for words in expected:
        assert [problem for problem in problems if words in problem], problems


def test_honest_evidence_is_accepted_and_counted(evidence: Evidence) -> None:
    verdict = evidence.judged()

    assert () == verdict.problems
    assert (3, 2, 4, 1) == tuple(verdict.counts[name] for name in ("answers", "successes", "runs", "runs_repeated"))


def test_a_log_that_was_altered_is_found(evidence: Evidence) -> None:
    evidence.damage = lambda data: data.replace(b"runtime-1", b"runtime-2", 1)

    assert_found(evidence, "does not verify")


def test_a_log_that_was_cut_off_is_found(evidence: Evidence) -> None:
    evidence.damage = lambda data: b"".join(data.splitlines(keepends=True)[:-1])

    assert_found(evidence, "does not verify")


def test_an_intent_without_an_outcome_is_found(evidence: Evidence) -> None:
    evidence.outcomes.pop()
    evidence.stopped = False

    assert_found(evidence, "the intent of k3.1 has 0 outcomes", "not signed")


def test_an_intent_with_two_outcomes_is_found(evidence: Evidence) -> None:
    evidence.damage = _with_an_outcome_twice

    assert_found(evidence, "has 2 outcomes", "does not verify")


def test_an_acknowledged_success_with_another_content_is_found(evidence: Evidence) -> None:
    evidence.acked[0]["content"] = {**CONTENT, "pid": 8}

    assert_found(evidence, "the success of k1.1 was acknowledged")


def test_an_acknowledged_success_that_the_log_has_as_a_failure_is_found(evidence: Evidence) -> None:
    evidence.outcomes[0] = outcome(0, "k1", code="RUNTIME_CRASH", ran="unknown")

    assert_found(evidence, "the success of k1.1 was acknowledged")


def test_an_acknowledged_success_that_is_not_in_the_log_is_found(evidence: Evidence) -> None:
    evidence.acked.append(answer("k9", "once"))

    assert_found(evidence, "the success of k9.1 was acknowledged", "k9.1 was said to have succeeded, and it never ran")


@pytest.mark.parametrize(("code", "ran"), [("TOOL_EXECUTION_FAILED", "yes"), ("RUNTIME_CRASH", "unknown")])
def test_an_acknowledged_failure_that_is_not_in_the_log_is_found(evidence: Evidence, code: str, ran: str) -> None:
    evidence.acked.append(answer("k9", "once", code=code, ran=ran))

    assert_found(evidence, f"{code} of k9.1 was acknowledged, and the log has nothing")


def test_a_failure_that_the_log_has_in_another_word_is_found(evidence: Evidence) -> None:
    evidence.acked[2]["code"] = "DATA_PROCESSING_ERROR"

    assert_found(evidence, "DATA_PROCESSING_ERROR of k3.1 was acknowledged")


def test_a_call_that_was_lost_before_it_reached_the_host_is_no_broken_promise(evidence: Evidence) -> None:
    evidence.acked.append(answer("k9", "once", code="CONNECTION_FAILED", ran="unknown"))

    assert () == evidence.judged().problems


def test_a_call_that_was_admitted_twice_is_found(evidence: Evidence) -> None:
    evidence.intents.append(evidence.intents[2])
    evidence.outcomes.append(outcome(3, "k3", code="RUNTIME_CRASH", ran="unknown"))

    assert_found(evidence, "k3.1 was admitted 2 times")


def test_a_tool_that_is_not_idempotent_and_ran_twice_is_found(evidence: Evidence) -> None:
    evidence.ran.append("k3 1 9")

    assert_found(evidence, "('k3', 1) of a tool that is not idempotent ran 2 times")


def test_a_key_of_such_a_tool_that_ran_in_two_calls_is_found(evidence: Evidence) -> None:
    evidence.intents.append(intent("k3", "once", attempt=2))
    evidence.outcomes.append({**outcome(3, "k3"), "invocation": "inv-k3.2"})
    evidence.ran.append("k3 2 9")

    assert_found(evidence, "the key 'k3' of a tool that is not idempotent ran 2 times")


def test_an_idempotent_tool_that_ran_oftener_than_it_was_sent_is_found(evidence: Evidence) -> None:
    evidence.ran.append("k2 1 9")

    assert_found(evidence, "('k2', 1) ran 3 times, and the log has 2 attempts")


def test_a_run_without_an_intent_is_found(evidence: Evidence) -> None:
    evidence.ran.append("k8 1 9")

    assert_found(evidence, "('k8', 1) ran, and the log has no intent for it")


def test_a_run_that_was_denied_is_found(evidence: Evidence) -> None:
    evidence.acked[2]["ran"] = "no"

    assert_found(
        evidence, "k3.1 was said not to have run, and it ran", "k3.1 was said not to have run, and the log has"
    )


def _with_an_outcome_twice(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b'kind\\":\\"outcome' in line)
    return b"".join([*lines[: place + 1], *lines[place:]])
