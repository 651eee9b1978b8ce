"""The verdict on a run with faults, from three files alone.

In come what the tools wrote down when they ran, what the client wrote down when it was answered, and an export of
the audit log with the key to verify it.
Out comes a `Verdict` that names every broken promise.
Nothing is asked of the processes under test, and no code of theirs is used but the auditor's program.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altar.verify import verify

CLIENTS_OWN_WORDS = frozenset({"CONNECTION_FAILED", "TIMEOUT"})
"""Codes that a client may say by itself when it hears nothing: the log may know better, or know nothing."""

Run = tuple[str, int]
"""A key and the number of the client's attempt, which are all the arguments of a call."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every promise that was broken, in words, and what was counted."""

    problems: tuple[str, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Record:
    """The log, arranged: intents by position, by call id and by arguments; outcomes by the intent they answer."""

    intents: dict[int, dict[str, Any]]
    by_call: dict[str, list[int]]
    by_arguments: dict[str, list[int]]
    outcomes: dict[int, list[dict[str, Any]]]
    rejected: set[str]

    def never_used(self, intents: list[int]) -> bool:
        """Whether these are permits to run where the call was made, of which the host has no report."""
        return all(self.intents[seq].get("where") == "caller" for seq in intents) and not any(
            "reported" in outcome for seq in intents for outcome in self.outcomes[seq]
        )

    def is_disputed(self, intent: dict[str, Any]) -> bool:
        """Whether it ran where it was made, and the log has that its caller said something else than is recorded."""
        return intent.get("where") == "caller" and intent["invocation"] in self.rejected


def judge(*, ran: Path, acked: Path, export: Path, vkey: str) -> Verdict:
    """Compare the three files. ``vkey`` is the verifier key of the log."""
    runs = [_run_of(line) for line in ran.read_text().splitlines()]
    answers = _final(json.loads(line) for line in acked.read_text().splitlines())
    record = _read(export)
    report = verify(export, vkey=vkey)
    problems = [f"the log does not verify: {finding.where} {finding.what}" for finding in report.findings]
    if report.unsigned_tail:
        problems.append(f"the last {report.unsigned_tail} entries are not signed")
    problems += _unanswered(record)
    problems += _lost(answers, record)
    problems += _run_without_record(runs, record)
    problems += _run_too_often(runs, record)
    problems += _run_though_denied(runs, answers)
    return Verdict(tuple(problems), _counts(runs, answers, record))


def canonical_digest(value: object) -> str:
    """The digest of a value's canonical JSON, for what the tools here take and give: ASCII text and small integers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _final(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers, but for each "it did not run" after which the same key was sent again: that held until then."""
    given = list(answers)
    last = {answer["call"]: place for place, answer in enumerate(given)}
    return [answer for place, answer in enumerate(given) if answer["ran"] != "no" or last[answer["call"]] == place]


def _run_of(line: str) -> Run:
    key, attempt, _pid = line.split(" ")
    return key, int(attempt)


def _arguments(run: Run) -> str:
    return canonical_digest({"key": run[0], "attempt": run[1]})


def _read(export: Path) -> _Record:
    record = _Record({}, defaultdict(list), defaultdict(list), defaultdict(list), set())
    for line in export.read_text().splitlines():
        members = json.loads(line)
        if "entry" not in members:
            continue
        entry = json.loads(members["entry"])
        if entry["kind"] == "intent":
            record.intents[members["seq"]] = entry
            record.by_call[entry["call"]].append(members["seq"])
            record.by_arguments[entry["arguments"]].append(members["seq"])
        elif entry["kind"] == "outcome":
            record.outcomes[entry["intent"]].append(entry)
        elif entry.get("event") == "report.rejected":
            record.rejected.add(entry["subject"])
    return record


def _unanswered(record: _Record) -> Iterator[str]:
    """Every intent has exactly one outcome."""
    for seq, intent in record.intents.items():
        if len(record.outcomes[seq]) != 1:
            yield f"the intent of {intent['call']} has {len(record.outcomes[seq])} outcomes"


def _lost(answers: list[dict[str, Any]], record: _Record) -> Iterator[str]:
    """Whatever the client was told stands in the log, in the same words."""
    for answer in answers:
        intents = _that_may_have_run(record.by_call[answer["call"]], record)
        outcomes = [outcome for seq in intents for outcome in record.outcomes[seq]]
        if any(record.is_disputed(record.intents[seq]) for seq in intents):
            continue
        if len(intents) > 1:
            yield f"{answer['call']} was admitted {len(intents)} times"
        elif answer["status"] == "SUCCESS":
            due = canonical_digest(answer["content"])
            if [("SUCCESS", due)] != [(outcome["status"], outcome["result"]) for outcome in outcomes]:
                yield f"the success of {answer['call']} was acknowledged, and the log has {outcomes}"
        elif not outcomes:
            if answer["ran"] == "yes" or (answer["ran"] == "unknown" and answer["code"] not in CLIENTS_OWN_WORDS):
                yield f"{answer['code']} of {answer['call']} was acknowledged, and the log has nothing"
        elif answer["ran"] == "no" and record.never_used(intents):
            continue  # who would have run it knows, and the log says that nobody told
        elif answer["ran"] == "no" and outcomes[0]["ran"] != "no":
            yield f"{answer['call']} was said not to have run, and the log has {outcomes[0]}"
        elif answer["code"] not in {outcomes[0]["code"], "OUTCOME_UNKNOWN", *CLIENTS_OWN_WORDS}:
            yield f"{answer['code']} of {answer['call']} was acknowledged, and the log has {outcomes[0]}"


def _run_without_record(runs: list[Run], record: _Record) -> Iterator[str]:
    """Nothing runs before its intent is durable."""
    for run in sorted(set(runs)):
        if not record.by_arguments[_arguments(run)]:
            yield f"{run} ran, and the log has no intent for it"


def _run_too_often(runs: list[Run], record: _Record) -> Iterator[str]:
    """A key runs once at most, but a call of ``again`` as often as it was sent, which the log says."""
    for run, times in sorted(Counter(runs).items()):
        for seq in record.by_arguments[_arguments(run)]:
            outcomes = record.outcomes[seq]
            if record.intents[seq]["tool"] != "again":
                if times > 1:
                    yield f"{run} of a tool that is not idempotent ran {times} times"
            elif outcomes and outcomes[0]["code"] != "OUTCOME_UNKNOWN" and times > outcomes[0]["attempts"]:
                yield f"{run} ran {times} times, and the log has {outcomes[0]['attempts']} attempts"
    for key, times in Counter(key for key, _ in _not_of_tool(runs, record, "again")).items():
        if times > 1:
            yield f"the key {key!r} of a tool that is not idempotent ran {times} times"


def _run_though_denied(runs: list[Run], answers: list[dict[str, Any]]) -> Iterator[str]:
    """What is said not to have run has not run; what is said to have run has."""
    happened = set(runs)
    for answer in answers:
        run = answer["key"], answer["attempt"]
        if answer["ran"] == "no" and run in happened:
            yield f"{answer['call']} was said not to have run, and it ran"
        if answer["status"] == "SUCCESS" and run not in happened:
            yield f"{answer['call']} was said to have succeeded, and it never ran"


def _not_of_tool(runs: list[Run], record: _Record, tool: str) -> set[Run]:
    return {run for run in runs for seq in record.by_arguments[_arguments(run)] if record.intents[seq]["tool"] != tool}


def _that_may_have_run(intents: list[int], record: _Record) -> list[int]:
    """Of the intents of one call, those that may have run: there may be others before the last.

    Under an idempotency key a call may be admitted again when what came before it did not run.
    Where it runs is its caller's process, it may have been given a permit that never reached the caller, who then asked
    for another; one that was used has a report.
    """
    if len(intents) > 1 and all(record.intents[seq].get("where") == "caller" for seq in intents):
        used = [seq for seq in intents if any("reported" in outcome for outcome in record.outcomes[seq])]
        return used or intents[-1:]
    if len(intents) < 2 or any(record.intents[seq].get("key") != "once" for seq in intents):
        return intents
    *earlier, last = intents
    ran = [seq for seq in earlier if any(outcome["ran"] != "no" for outcome in record.outcomes[seq])]
    return [*ran, last]


def _counts(runs: list[Run], answers: list[dict[str, Any]], record: _Record) -> dict[str, int]:
    outcomes = [outcome for ends in record.outcomes.values() for outcome in ends]
    return {
        "answers": len(answers),
        "successes": sum(answer["status"] == "SUCCESS" for answer in answers),
        "runs": len(runs),
        "runs_repeated": len(runs) - len(set(runs)),
        "intents": len(record.intents),
        "outcomes_unknown": sum(outcome["ran"] == "unknown" for outcome in outcomes),
        "outcomes_resent": sum(outcome["attempts"] > 1 for outcome in outcomes),
        "answers_unknown": sum(answer["ran"] == "unknown" for answer in answers),
        "answers_not_run": sum(answer["ran"] == "no" for answer in answers),
    }
