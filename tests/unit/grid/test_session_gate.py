"""What the gate of a host records: optional members, streams, calls that only read, and idempotency keys.

Over a real ledger; time is given by hand.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import digest
from altar.adm.errors import ExecutionError
from altar.grid.host.host import Host, HostLimits
from altar.grid.host.idempotency import KeyLimits
from altar.grid.host.runtimes import AttachedRuntime
from altar.grid.host.session_gate import intent_of, outcome_of_call
from altar.later.invocation import Invocation, Outcome, Streamed
from altar.ledger import Ledger
from altar.testing import PATIENCE
from altar.verify import verify
from tests.unit.grid.contracts import MANIFEST, Link, call
from tests.unit.later.doubles import Answers
from tests.unit.ledger.samples import TIME_MS, entries_in, open_ledger, rows, signer_in

ARGUMENTS = b'{"n":1}'
BROKEN = ExecutionError("TOOL_EXECUTION_FAILED", "no", ran="yes", hint="ask")


class Place:
    """A host over a ledger that can be closed and opened again, with one runtime by hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.options = options
        self.path = folder / "ledger.db"
        self.now = 1000.0
        self.limits = HostLimits()
        self.ledger: Ledger
        self.host: Host

    def open(self, **limits: Any) -> None:
        loop = asyncio.get_running_loop()

        def deliver(answer: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(answer)

        self.limits = HostLimits(**limits)
        self.ledger = open_ledger(self.path, signer_in(self.folder), deliver=deliver, **self.options)
        self.ledger.wall_ms = lambda: TIME_MS + int((self.now - 1000) * 1000)
        self.host = Host(
            name="host-1", manifest=MANIFEST, ledger=self.ledger, limits=self.limits, clock=lambda: self.now
        )
        self.link = Link()
        self.runtime: AttachedRuntime = self.host.runtimes.attach("one", self.link)
        for contract in MANIFEST:
            self.host.runtimes.fulfil(self.runtime, contract.name, contract.version, contract.digest)
        self.host.runtimes.credit(self.runtime, 64)

    async def close(self) -> None:
        await asyncio.to_thread(self.ledger.close)

    async def reopen(self, **limits: Any) -> None:
        await self.close()
        self.open(**limits)

    def call(self, name: str = "send", key: str = "", *, arguments: bytes = ARGUMENTS, **more: Any) -> Answers:
        answers = Answers()
        made = Invocation(name, arguments, key or "c-1", principal="alice", reply_to=answers, **more)
        made.once = bool(key)
        self.made = made
        self.host.execute([made])
        return answers

    async def settled(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the ledger answers from its own thread
                await asyncio.sleep(0.001)

    async def sent(self, count: int = 1) -> int:
        await self.settled(lambda: len(self.runtime.in_flight) >= count)
        return max(self.runtime.in_flight)

    async def ran(self, outcome: Outcome, answers: Answers) -> Outcome:
        """Let the newest call end so, and give what was answered."""
        self.host.runtimes.result(self.runtime, await self.sent(), outcome)
        return await self.answered(answers)

    async def answered(self, answers: Answers) -> Outcome:
        await self.settled(lambda: answers.given)
        return answers.given[0][1]

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in entries_in(self.path) if entry["kind"] == kind]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    made.open()
    yield made
    await made.close()
    report = verify(made.path, vkey=made.ledger.vkey)
    assert report.ok, report.findings


# ---------------------------------------------------------------------------------------------- optional members


def test_an_intent_says_who_made_the_call_and_why_this_version() -> None:
    made = call(invocation_id="i-2", route="weights:5/100", once=True)
    made.parent = call(invocation_id="i-1")

    entry = intent_of(made)

    assert ("i-1", "weights:5/100", "", "once") == (entry.parent, entry.route, entry.where, entry.key)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(streamed=Streamed(3, 9, digest(b"[1,2,3]"))), ("SUCCESS", "", digest(b"[1,2,3]"), 3, 9)),
        (
            Outcome(error=BROKEN, streamed=Streamed(2, 5, digest(b"[1,2]"))),
            ("PARTIAL", "TOOL_EXECUTION_FAILED", digest(b"[1,2]"), 2, 5),
        ),
        (Outcome(error=BROKEN, streamed=Streamed(0, 2, digest(b"[]"))), ("ERROR", "TOOL_EXECUTION_FAILED", "", 0, 2)),
    ],
)
def test_the_outcome_of_a_stream_says_what_was_passed_on(outcome: Outcome, expected: tuple[object, ...]) -> None:
    entry = outcome_of_call(call(invocation_id="i-1"), outcome)

    assert expected == (entry.status, entry.code, entry.result, entry.chunks, entry.bytes)


# -------------------------------------------------------------------------------------------- calls that only read


async def test_a_call_that_only_reads_is_recorded_in_one_commit_after_it_ran(place: Place) -> None:
    await place.settled(lambda: place.recorded("event"))
    before = place.ledger.commits
    answers = place.call("look")
    assert 1 == len(place.link.sent)

    assert Outcome(b"2") == await place.ran(Outcome(b"2"), answers)

    (intent,), (outcome,) = place.recorded("intent"), place.recorded("outcome")
    entries = entries_in(place.path)
    assert entries.index(intent) == outcome["intent"] == entries.index(outcome) - 1
    assert before + 1 == place.ledger.commits
    assert 0 == place.host.gate.in_flight


@pytest.mark.parametrize("outcome", [Outcome(error=BROKEN), Outcome(b'"two"')])
async def test_a_read_that_fails_is_recorded_all_the_same(place: Place, outcome: Outcome) -> None:
    answers = place.call("look")

    told = await place.ran(outcome, answers)

    assert told.error is not None
    assert [told.error.code] == [entry["code"] for entry in place.recorded("outcome")]


async def test_a_read_that_is_cancelled_is_recorded_all_the_same(place: Place) -> None:
    answers = place.call("look")
    tag = await place.sent()
    place.host.cancel(place.made)
    assert [tag] == place.link.cancelled

    await place.ran(Outcome(error=ExecutionError("CANCELLED", "gone", ran="unknown")), answers)

    assert ["CANCELLED"] == [entry["code"] for entry in place.recorded("outcome")]


async def test_a_read_that_a_crash_cut_short_leaves_nothing_behind(place: Place) -> None:
    place.call("look")
    await place.sent()

    await place.reopen()

    assert [] == place.recorded("intent")


async def test_a_strict_host_records_a_read_before_it_runs(place: Place) -> None:
    await place.reopen(strict_intents=True)
    answers = place.call("look")
    assert [] == place.link.sent

    await place.sent()

    assert 1 == len(place.recorded("intent"))
    await place.ran(Outcome(b"2"), answers)


async def test_reads_and_other_calls_of_one_frame_are_all_answered(place: Place) -> None:
    answers = Answers()
    names = ("look", "send", "look", "send")
    place.host.execute([Invocation(name, ARGUMENTS, "c", reply_to=answers) for name in names])
    assert ["look", "look"] == [each.name for each in place.link.sent]
    await place.sent(4)
    for tag in list(place.runtime.in_flight):
        place.host.runtimes.result(place.runtime, tag, Outcome(b"2"))
    await place.settled(lambda: len(answers.given) == 4)

    assert (4, 4) == (len(place.recorded("intent")), len(place.recorded("outcome")))


async def test_a_read_whose_record_cannot_be_written_is_withheld(place: Place) -> None:
    answers = place.call("look")
    await place.sent()
    await place.close()

    told = await place.ran(Outcome(b"2"), answers)

    assert told.error is not None
    assert "OUTCOME_UNKNOWN" == told.error.code


# ------------------------------------------------------------------------------------------------ idempotency keys


async def test_a_host_without_keys_keeps_no_file_for_them(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call())

    assert place.host.gate.keys is None
    assert not (place.folder / "ledger.db.results").exists()


async def test_a_result_is_told_again_and_the_log_says_so(place: Place) -> None:
    first = await place.ran(Outcome(b"2"), place.call(key="k"))
    again = await place.answered(place.call(key="k", correlation_id="second"))

    assert (b"2", False) == (first.content, first.replayed)
    assert (b"2", True) == (again.content, again.replayed)
    assert 1 == len(place.link.sent)
    (intent,) = place.recorded("intent")
    assert ("k", "once") == (intent["call"], intent["key"])
    told = [event for event in place.recorded("event") if event["event"] == "call.replayed"]
    assert [(intent["invocation"], "second")] == [(event["subject"], event["note"]) for event in told]


async def test_a_repeat_is_found_and_checked_again(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))

    stale = place.call(key="k", known_digest=digest(b"another contract"))

    assert "VERSION_MISMATCH" == stale.error.code


@pytest.mark.parametrize("changed", [{"arguments": b'{"n":2}'}, {"name": "add"}])
async def test_another_call_under_a_key_is_a_conflict(place: Place, changed: dict[str, Any]) -> None:
    answers = place.call(key="k")
    await place.sent()
    while_it_runs = place.call(key="k", **changed)
    await place.ran(Outcome(b"2"), answers)
    afterwards = place.call(key="k", **changed)

    assert "IDEMPOTENCY_CONFLICT" == while_it_runs.error.code == afterwards.error.code
    assert "no" == afterwards.error.ran


async def test_two_of_one_frame_share_a_run(place: Place) -> None:
    answers = Answers()
    frame = [Invocation("send", ARGUMENTS, "k", principal="alice", reply_to=answers, once=True) for _ in range(2)]
    place.host.execute(frame)
    await place.ran(Outcome(b"2"), answers)
    await place.settled(lambda: len(answers.given) == 2)

    assert 1 == len(place.link.sent)
    assert {False, True} == {outcome.replayed for _, outcome in answers.given}


async def test_who_waits_is_told_the_error_of_the_one_that_ran(place: Place) -> None:
    first = place.call(key="k")
    await place.sent()
    second = place.call(key="k")

    await place.ran(Outcome(error=BROKEN), first)

    told = await place.answered(second)
    assert (BROKEN, True) == (told.error, told.replayed)


async def test_what_did_not_run_frees_the_key_and_is_told_to_who_waits(place: Place) -> None:
    refused = ExecutionError("RESOURCE_EXHAUSTED", "full", ran="no")
    first = place.call(key="k")
    await place.sent()
    second = place.call(key="k")
    await place.ran(Outcome(error=refused), first)

    told = await place.answered(second)
    assert ("RESOURCE_EXHAUSTED", False) == (told.error.code if told.error else "", told.replayed)
    assert b"2" == (await place.ran(Outcome(b"2"), place.call(key="k"))).content
    assert 2 == len(place.link.sent)


async def test_who_has_waited_long_enough_is_told_and_the_run_goes_on(place: Place) -> None:
    first = place.call(key="k")
    await place.sent()
    hasty = place.call(key="k", deadline=place.now + 5)
    place.now += 5
    place.host.gate.sweep()

    assert ("TIMEOUT", "unknown") == (hasty.error.code, hasty.error.ran)
    assert [] == place.link.cancelled
    assert b"2" == (await place.ran(Outcome(b"2"), first)).content


async def test_the_last_who_leaves_ends_the_run(place: Place) -> None:
    first_answers, first = place.call(key="k"), place.made
    tag = await place.sent()
    second_answers, second = place.call(key="k"), place.made
    place.host.cancel(first)
    assert ("CANCELLED", []) == (first_answers.error.code, place.link.cancelled)
    place.host.cancel(second)
    assert ("CANCELLED", [tag]) == (second_answers.error.code, place.link.cancelled)

    place.host.runtimes.result(place.runtime, tag, Outcome(error=ExecutionError("CANCELLED", "gone", ran="unknown")))
    await place.settled(lambda: place.recorded("outcome"))
    assert (1, 1) == (len(first_answers.given), len(second_answers.given))


async def test_a_call_whose_connection_is_lost_goes_on_for_who_comes_back(place: Place) -> None:
    place.call(key="k")
    await place.sent()
    place.host.lost(place.made)
    assert [] == place.link.cancelled
    back = place.call(key="k")

    await place.ran(Outcome(b"2"), back)

    assert [(b"2", True)] == [(outcome.content, outcome.replayed) for _, outcome in back.given]


async def test_a_call_inside_does_not_wait_for_the_one_that_waits_for_it(place: Place) -> None:
    first = place.call(key="k")
    tag = await place.sent()
    inside = Answers()
    nested = Invocation("send", ARGUMENTS, "k", principal="alice", reply_to=inside, once=True)
    nested.parent = place.made
    assert place.host.gate.keys is not None
    nested.contract, nested.version = MANIFEST.find("send"), "1.0.0"
    nested.record = intent_of(nested)

    assert [] == place.host.gate.keys.admit([nested], inside)
    assert "IDEMPOTENCY_CONFLICT" == inside.error.code
    place.host.runtimes.result(place.runtime, tag, Outcome(b"2"))
    await place.answered(first)


async def test_a_key_expires(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))
    place.now += 599
    assert (await place.answered(place.call(key="k"))).replayed
    place.now += 1

    assert not (await place.ran(Outcome(b"3"), place.call(key="k"))).replayed
    assert 2 == len(place.link.sent)


async def test_what_has_expired_is_swept_out_of_memory_and_file(place: Place) -> None:
    for number in range(5):
        await place.ran(Outcome(b"2"), place.call(key=f"k-{number}"))
    keys = place.host.gate.keys
    assert keys is not None
    assert 5 == len(keys)
    place.now += 600

    place.host.gate.sweep()

    assert 0 == len(keys)
    await place.settled(lambda: not kept(place))
    floor = rows(place.folder / "ledger.db.results", "SELECT body FROM results WHERE intent = -1")
    assert [(str(place.ledger.size).encode(),)] == floor


async def test_a_principal_has_so_many_keys_and_no_more(place: Place) -> None:
    await place.reopen(keys=KeyLimits(per_principal=1))
    await place.ran(Outcome(b"2"), place.call(key="k-1"))
    full = place.call(key="k-2")

    assert ("RESOURCE_EXHAUSTED", "no") == (full.error.code, full.error.ran)
    assert timedelta(seconds=600) == full.error.retry_after
    assert (await place.answered(place.call(key="k-1"))).replayed


async def test_a_principal_has_so_many_bytes_and_no_more(place: Place) -> None:
    await place.reopen(keys=KeyLimits(bytes_per_principal=2))
    await place.ran(Outcome(b"2"), place.call(key="k-1"))

    assert "RESOURCE_EXHAUSTED" == place.call(key="k-2").error.code
    place.now += 600
    place.host.gate.sweep()
    assert b"3" == (await place.ran(Outcome(b"3"), place.call(key="k-2"))).content


async def test_so_many_wait_for_others_and_no_more(place: Place) -> None:
    await place.reopen(keys=KeyLimits(waiting=1))
    first = place.call(key="k")
    await place.sent()
    second, third = place.call(key="k"), place.call(key="k")

    assert ("RESOURCE_EXHAUSTED", "no") == (third.error.code, third.error.ran)
    await place.ran(Outcome(b"2"), first)
    await place.answered(second)


async def test_a_result_is_there_after_a_restart_until_it_expires(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))
    failed = await place.ran(Outcome(error=BROKEN), place.call(key="bad"))
    place.now += 300

    await place.reopen()
    again = await place.answered(place.call(key="k"))
    still_failed = await place.answered(place.call(key="bad"))
    place.now += 301
    anew = await place.ran(Outcome(b"3"), place.call(key="k"))

    assert (b"2", True) == (again.content, again.replayed)
    assert failed.error is not None
    assert still_failed.error is not None
    told = (still_failed.error.code, still_failed.error.message, still_failed.error.hint, still_failed.error.ran)
    assert (failed.error.code, failed.error.message, failed.error.hint, failed.error.ran) == told
    assert (b"3", False) == (anew.content, anew.replayed)


async def test_what_a_restart_cut_short_is_unknown_and_not_run_again(place: Place) -> None:
    place.call(key="k")
    await place.sent()
    await place.reopen()

    told = await place.answered(place.call(key="k"))

    assert told.error is not None
    assert ("OUTCOME_UNKNOWN", "unknown", True) == (told.error.code, told.error.ran, told.replayed)
    assert [] == place.link.sent


async def test_what_did_not_run_frees_its_key_over_a_restart_too(place: Place) -> None:
    await place.ran(Outcome(error=ExecutionError("RESOURCE_EXHAUSTED", "full", ran="no")), place.call(key="k"))
    await place.reopen()

    assert b"2" == (await place.ran(Outcome(b"2"), place.call(key="k"))).content


async def test_a_clock_that_was_set_back_makes_keys_live_longer_and_never_shorter(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))
    place.now -= 500
    await place.reopen()
    place.now += 599

    assert (await place.answered(place.call(key="k"))).replayed


async def test_a_damaged_result_is_told_to_nobody_and_nothing_runs_again(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))
    await place.close()
    meddle(place, "UPDATE results SET body = x'2B33' WHERE intent >= 0")
    place.open()

    told = await place.answered(place.call(key="k"))

    assert told.error is not None
    assert ("OUTCOME_UNKNOWN", "yes") == (told.error.code, told.error.ran)
    assert [] == place.link.sent


async def test_a_damaged_floor_is_no_floor(place: Place) -> None:
    await place.ran(Outcome(b"2"), place.call(key="k"))
    await place.close()
    meddle(place, "UPDATE results SET body = CAST('999' AS BLOB) WHERE intent = -1")
    place.open()

    assert (await place.answered(place.call(key="k"))).replayed


def kept(place: Place) -> list[Any]:
    return rows(place.folder / "ledger.db.results", "SELECT intent FROM results WHERE intent >= 0")


def meddle(place: Place, sql: str) -> None:
    connection = sqlite3.connect(place.folder / "ledger.db.results")
    with connection:
        connection.execute(sql)
    connection.close()
