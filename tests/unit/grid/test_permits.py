"""Permits at the host, over a real ledger: who gets one, what closes it, and what the record says of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import AltarError, ExecutionError
from altar.grid.host import host as host_module
from altar.grid.host import known_reports
from altar.grid.host.host import Host, HostLimits
from altar.grid.host.known_reports import RecentReports
from altar.grid.host.permit_history import reported_in
from altar.grid.host.permits import PermitLimits
from altar.grid.manifests.manifest import Manifest
from altar.grid.reports import FallbackCall, Report
from altar.later.invocation import Invocation
from altar.ledger import Ledger
from altar.testing import PATIENCE, FakeClock
from tests.unit.grid.contracts import declaration
from tests.unit.later.doubles import Answers
from tests.unit.ledger.samples import entries_in, open_ledger, signer_in

HERE = {"altar.local_dispatch": True}
SPARE = {"altar.local_dispatch": True, "altar.fallback": True}
DIGEST = "sha256:" + "b" * 64

MANIFEST = Manifest(
    [
        replace(declaration("here"), metadata=HERE),
        replace(declaration("look", read_only=True), metadata=HERE),
        replace(declaration("drop", destructive=True), metadata=HERE),
        replace(declaration("spare"), metadata=SPARE),
        declaration("there"),
    ]
)


class Place:
    """A host whose clock stands still, and what it answers to calls and to reports."""

    def __init__(self, ledger: Ledger, path: Path, **limits: Any) -> None:
        self.ledger = ledger
        self.path = path
        self.clock = FakeClock()
        permits = PermitLimits(**{"principals": frozenset({"alice"}), **limits})
        self.host = Host(
            name="host-1", manifest=MANIFEST, ledger=ledger, limits=HostLimits(permits=permits), clock=self.clock
        )
        self.answers = Answers()
        self.told: list[AltarError | None] = []

    async def permit(self, name: str = "here", *, principal: str = "alice", **more: Any) -> str:
        """Ask for a permit; its id, or empty when it was refused."""
        asked = Invocation(name, b'{"n":1}', f"c-{name}", principal=principal, reply_to=self.answers, **more)
        count = len(self.answers.given)
        self.host.authorize([asked])
        await self.settled(lambda: len(self.answers.given) > count)
        outcome = self.answers.given[-1][1]
        return "" if outcome.error is not None else asked.invocation_id

    async def report(self, permit: str, *, principal: str = "alice", **more: Any) -> AltarError | None:
        """Report; what the host said."""
        told: list[AltarError | None] = []
        self.host.permits.report(report(permit, **more), principal, told.append)
        await self.settled(lambda: told)
        return told[0]

    def send(self, permit: str, *, principal: str = "alice", **more: Any) -> None:
        self.host.permits.report(report(permit, **more), principal, self.told.append)

    async def settled(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the ledger answers from its own thread
                await asyncio.sleep(0.001)

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in entries_in(self.path) if entry["kind"] == kind]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.recorded("event") if event["event"] == name]


def report(permit: str, **more: Any) -> Report:
    said: dict[str, Any] = {
        "permit": permit,
        "call_id": "c-here",
        "status": "SUCCESS",
        "code": "",
        "ran": "yes",
        "result": DIGEST,
        "began_ms": 10,
        "ended_ms": 20,
        "journal": "j",
        "position": 1,
    }
    return Report(**(said | more))


def failure(code: str = "TIMEOUT", ran: str = "yes") -> dict[str, Any]:
    return {"status": "ERROR", "code": code, "ran": ran, "result": ""}


Opened = Callable[..., Place]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    loop = asyncio.get_running_loop()
    path = tmp_path / "ledger.db"
    ledgers: list[Ledger] = []

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    def start(**limits: Any) -> Place:
        for before in ledgers:
            before.close()
        ledgers.append(open_ledger(path, signer_in(tmp_path), deliver=deliver))
        return Place(ledgers[-1], path, **limits)

    yield start
    await asyncio.to_thread(ledgers[-1].close)


@pytest.fixture
async def place(opened: Opened) -> Place:
    return opened()


# ------------------------------------------------------------------------------------------------------- who gets one


@pytest.mark.parametrize("name", ["here", "look"])
async def test_a_permit_is_an_intent_that_says_where_the_call_runs(place: Place, name: str) -> None:
    permit = await place.permit(name)

    (intent,) = place.recorded("intent")
    assert (intent["invocation"], intent["where"], intent["principal"]) == (permit, "caller", "alice")
    assert place.recorded("outcome") == []
    assert len(place.host.permits) == 1


@pytest.mark.parametrize(
    ("name", "principal", "more", "code"),
    [
        ("here", "bob", {}, "PERMISSION_DENIED"),
        ("there", "alice", {}, "POLICY_VIOLATION"),
        ("drop", "alice", {}, "POLICY_VIOLATION"),
        ("absent", "alice", {}, "UNSUPPORTED_TOOL"),
        ("here", "alice", {"deadline": 0.0}, "TIMEOUT"),
        ("here", "alice", {"once": True}, "FEATURE_UNAVAILABLE"),
        ("here", "alice", {"known_digest": DIGEST}, "VERSION_MISMATCH"),
        ("here", "alice", {"session_id": "s"}, "INVALID_SESSION"),
    ],
)
async def test_what_may_not_run_where_it_is_called_gets_none_and_leaves_no_intent(
    place: Place, name: str, principal: str, more: dict[str, Any], code: str
) -> None:
    assert await place.permit(name, principal=principal, **more) == ""

    assert (place.answers.error.code, place.answers.error.ran) == (code, "no")
    assert place.recorded("intent") == []


async def test_any_client_may_where_all_are_named(opened: Opened) -> None:
    assert await opened(principals=frozenset({"*"})).permit(principal="bob")


async def test_there_are_only_so_many_open_permits_of_one_principal_and_in_all(opened: Opened) -> None:
    place = opened(principals=frozenset({"*"}), most=3, per_principal=2)
    first = await place.permit()
    await place.permit()

    assert await place.permit() == ""
    refused = place.answers.given[-1][1].error
    assert refused is not None
    assert refused.code == "RESOURCE_EXHAUSTED"
    assert await place.permit(principal="bob")
    assert await place.permit(principal="carol") == ""
    assert await place.report(first) is None
    assert await place.permit(principal="carol")


async def test_a_closing_host_gives_none(place: Place) -> None:
    place.host.gate.closing = True

    assert await place.permit() == ""
    assert place.answers.error.code == "NOT_ACTIVE"


async def test_a_host_with_open_permits_can_leave(place: Place) -> None:
    await place.permit()

    async with asyncio.timeout(PATIENCE):
        await place.host.drain()


# ---------------------------------------------------------------------------------------------------- what closes it


async def test_a_report_is_the_outcome_and_says_that_it_was_reported(place: Place) -> None:
    permit = await place.permit()

    assert await place.report(permit) is None

    (outcome,) = place.recorded("outcome")
    assert (outcome["invocation"], outcome["status"], outcome["ran"], outcome["result"], outcome["reported"]) == (
        permit,
        "SUCCESS",
        "yes",
        DIGEST,
        "j:1",
    )
    assert len(place.host.permits) == 0


async def test_a_failure_is_reported_by_its_code(place: Place) -> None:
    assert await place.report(await place.permit(), **failure("CANCELLED", "unknown")) is None

    (outcome,) = place.recorded("outcome")
    assert (outcome["status"], outcome["code"], outcome["ran"]) == ("ERROR", "CANCELLED", "unknown")


async def test_the_same_report_again_is_logged_once(place: Place) -> None:
    permit = await place.permit()
    place.send(permit)
    place.send(permit)

    assert await place.report(permit) is None
    assert place.told == [None, None]
    assert len(place.recorded("outcome")) == 1


@pytest.mark.parametrize("other", [failure(), {"result": "sha256:" + "c" * 64}])
async def test_another_report_for_the_same_permit_is_rejected_and_seen(place: Place, other: dict[str, Any]) -> None:
    permit = await place.permit()
    await place.report(permit)

    error = await place.report(permit, **other)

    assert error is not None
    assert error.code == "IDEMPOTENCY_CONFLICT"
    assert len(place.recorded("outcome")) == 1
    await place.settled(lambda: place.events("report.rejected"))
    (event,) = place.events("report.rejected")
    assert event["subject"] == permit
    assert "alice at j:1" in event["note"]


async def test_two_reports_that_meet_are_told_apart(place: Place) -> None:
    permit = await place.permit()
    place.send(permit)

    error = await place.report(permit, position=2)

    assert error is not None
    assert error.code == "IDEMPOTENCY_CONFLICT"
    await place.settled(lambda: place.told)
    assert [outcome["reported"] for outcome in place.recorded("outcome")] == ["j:1"]


async def test_the_permit_of_another_is_no_permit(place: Place) -> None:
    permit = await place.permit()

    error = await place.report(permit, principal="mallory")

    assert error is not None
    assert (error.code, error.retry_after) == ("PERMISSION_DENIED", None)
    assert await place.report(permit) is None


async def test_a_permit_that_nobody_gave_is_refused_and_seen(place: Place) -> None:
    error = await place.report("host-1-1-99")

    assert error is not None
    assert error.code == "PERMISSION_DENIED"
    await place.settled(lambda: place.events("report.rejected"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "SUCCESS", "code": "TIMEOUT"},
        {"status": "SUCCESS", "ran": "no"},
        {"status": "SUCCESS", "result": ""},
        {"status": "ERROR", "code": "", "result": ""},
        failure("NO_SUCH_CODE"),
        {"journal": ""},
        {"journal": "a:b"},
        {"journal": "a\nb"},
        {"position": 0},
        {"position": 2**63},
        {"began_ms": 21},
        {"began_ms": 0},
        {"call_id": ""},
        {"call_id": "another"},
    ],
    ids=str,
)
async def test_a_report_that_cannot_be_true_is_refused_and_the_permit_stays_open(
    place: Place, wrong: dict[str, Any]
) -> None:
    permit = await place.permit()

    error = await place.report(permit, **wrong)

    assert error is not None
    assert error.code == "MALFORMED_REQUEST"
    assert await place.report(permit) is None


async def test_a_flood_of_refused_reports_is_one_count(place: Place) -> None:
    for _ in range(100):
        await place.report("nobody's")
    place.clock.advance(61)
    place.host.permits.sweep()

    await place.settled(lambda: len(place.events("report.rejected")) == 65)
    assert place.events("report.rejected")[-1]["note"] == "36 more within a minute"


# ------------------------------------------------------------------------------------------------- what is not closed


async def test_a_permit_that_nobody_closes_is_an_alarm_and_its_outcome_is_unknown(place: Place) -> None:
    permit = await place.permit()
    place.clock.advance(599)
    place.host.permits.sweep()
    assert len(place.host.permits) == 1

    place.clock.advance(1)
    place.host.permits.sweep()
    await place.settled(lambda: place.recorded("outcome"))

    (outcome,) = place.recorded("outcome")
    assert (outcome["invocation"], outcome["code"], outcome["ran"]) == (permit, "OUTCOME_UNKNOWN", "unknown")
    assert "reported" not in outcome
    (alarm,) = place.events("permit.unclosed")
    assert (alarm["subject"], alarm["note"]) == (permit, "alice")


async def test_a_report_that_comes_after_that_is_disputed(place: Place) -> None:
    permit = await place.permit()
    place.clock.advance(600)
    place.host.permits.sweep()

    error = await place.report(permit)

    assert error is not None
    assert (error.code, error.retry_after) == ("OUTCOME_UNKNOWN", None)
    await place.settled(lambda: place.events("report.rejected"))
    assert f"says SUCCESS yes {DIGEST}" in place.events("report.rejected")[0]["note"]


async def test_lines_of_a_journal_that_never_come_are_noted_once(place: Place) -> None:
    for position in (1, 5, 3):
        await place.report(await place.permit(), position=position)
    place.clock.advance(600)
    place.host.permits.sweep()
    place.clock.advance(600)
    place.host.permits.sweep()

    await place.settled(lambda: place.events("journal.gap"))
    (gap,) = place.events("journal.gap")
    assert (gap["subject"], gap["note"]) == ("j", "2 lines between 2 and 4")


async def test_lines_that_come_late_are_no_gap(place: Place) -> None:
    for position in (3, 1, 2):
        await place.report(await place.permit(), position=position)
    place.clock.advance(600)
    place.host.permits.sweep()
    await place.report(await place.permit(), position=4)

    assert place.events("journal.gap") == []


# ------------------------------------------------------------------------------------------------------ after a restart


async def test_after_a_restart_an_open_permit_is_unknown_and_its_report_disputed(opened: Opened) -> None:
    permit = await opened().permit()
    again = opened()

    error = await again.report(permit)

    assert error is not None
    assert error.code == "OUTCOME_UNKNOWN"
    (outcome,) = again.recorded("outcome")
    assert (outcome["invocation"], outcome["code"]) == (permit, "OUTCOME_UNKNOWN")


async def test_after_a_restart_a_report_that_was_logged_is_logged(opened: Opened) -> None:
    first = opened()
    permit = await first.permit()
    await first.report(permit)
    again = opened()

    assert await again.report(permit) is None
    assert len(again.recorded("outcome")) == 1
    error = await again.report(permit, **failure())
    assert error is not None
    assert error.code == "IDEMPOTENCY_CONFLICT"


def test_there_is_no_history_where_there_is_no_log(tmp_path: Path) -> None:
    assert len(reported_in(tmp_path / "ledger.db")) == 0


async def test_a_report_that_the_ledger_cannot_take_may_be_sent_again(place: Place) -> None:
    permit = await place.permit()
    await asyncio.to_thread(place.ledger.close)

    error = await place.report(permit)

    assert error is not None
    assert (error.code, error.retry_after) == ("LOG_UNAVAILABLE", timedelta(seconds=1))


async def test_no_permit_is_given_for_an_intent_that_is_not_durable(place: Place) -> None:
    await asyncio.to_thread(place.ledger.close)

    assert await place.permit() == ""
    assert isinstance(place.answers.error, ExecutionError)
    assert place.answers.error.code == "LOG_UNAVAILABLE"
    assert len(place.host.permits) == 0


# ------------------------------------------------------------------------------------------------ what asked nobody


def spare(**more: Any) -> dict[str, Any]:
    contract = MANIFEST.find("spare")
    said = {
        "tool": "spare",
        "version": "1.0.0",
        "contract": contract.digest,
        "arguments": DIGEST,
        "session": "",
        "correlation": "w-1",
    }
    return {"call_id": "c-spare", "fallback": FallbackCall(**(said | more))}


async def test_a_call_that_asked_nobody_is_recorded_as_that_with_its_outcome(place: Place) -> None:
    assert await place.report("", **spare()) is None

    (intent,), (outcome,) = place.recorded("intent"), place.recorded("outcome")
    assert (intent["where"], intent["tool"], intent["principal"], intent["call"], intent["correlation"]) == (
        "fallback",
        "spare",
        "alice",
        "c-spare",
        "w-1",
    )
    assert (outcome["invocation"], outcome["reported"], outcome["status"]) == (intent["invocation"], "j:1", "SUCCESS")


async def test_a_call_that_asked_nobody_is_recorded_once_also_after_a_restart(opened: Opened) -> None:
    first = opened()
    await first.report("", **spare())
    assert await first.report("", **spare()) is None
    again = opened()

    assert await again.report("", **spare()) is None
    assert len(again.recorded("intent")) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_call_that_asked_nobody_is_recorded_once_also_when_it_is_remembered_no_more(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    monkeypatch.setattr(known_reports, "REMEMBERED", 2)
    place = opened()
    for position in range(2, 8):
        await place.report("", position=position, **spare())
    if restarted:
        place = opened()

    again = await place.report("", position=3, **spare())
    late = await place.report("", position=1, **spare())
    other = await place.report("", position=2, **spare() | failure())

    assert (again, late) == (None, None)
    assert other is not None
    assert other.code == "IDEMPOTENCY_CONFLICT"
    assert sorted(f"j:{position}" for position in range(1, 8)) == sorted(
        outcome["reported"] for outcome in place.recorded("outcome")
    )


async def test_a_report_that_comes_twice_while_it_is_looked_for_is_recorded_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_reports, "REMEMBERED", 2)
    place = opened()
    for position in range(2, 8):
        await place.report("", position=position, **spare())

    for _ in range(2):
        place.send("", position=1, **spare())
    await place.settled(lambda: len(place.told) == 2)

    assert place.told == [None, None]
    assert ["j:1"] == [each["reported"] for each in place.recorded("outcome") if each["reported"] == "j:1"]


async def test_only_so_many_reports_are_looked_for_at_a_time(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_reports, "REMEMBERED", 2)
    monkeypatch.setattr(known_reports, "LOOKED_FOR", 1)
    place = opened()
    for position in range(3, 8):
        await place.report("", position=position, **spare())

    for position in (1, 2):
        place.send("", position=position, **spare())
    await place.settled(lambda: len(place.told) == 2)

    refused = [error for error in place.told if error is not None]
    assert [("RESOURCE_EXHAUSTED", True)] == [(error.code, error.retry_after is not None) for error in refused]


def test_beyond_all_journals_that_are_kept_every_report_may_have_been_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_reports, "REMEMBERED", 1)
    monkeypatch.setattr(known_reports, "JOURNALS", 1)
    content = ("", "SUCCESS", "", "yes", DIGEST)
    reports = RecentReports()
    for journal in ("a", "b"):
        reports.keep(f"{journal}:5", content)
    assert (reports.may_have_forgotten("a:5"), reports.may_have_forgotten("a:6")) == (True, False)

    reports.keep("c:1", content)

    assert reports.may_have_forgotten("a:6")


async def test_while_the_log_cannot_be_read_no_call_is_recorded_a_second_time(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened()
    await first.report("", **spare())
    again = opened()

    def unreadable(_ledger: Path, _place: str) -> RecentReports:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(host_module, "reported_in", unreadable)
        error = await again.report("", **spare())

    assert error is not None
    assert (error.code, error.retry_after is not None) == ("LOG_UNAVAILABLE", True)
    assert await again.report("", **spare()) is None
    assert len(again.recorded("intent")) == 1


@pytest.mark.parametrize(
    ("principal", "call", "code"),
    [
        ("alice", {"tool": "here", "contract": MANIFEST.find("here").digest}, "POLICY_VIOLATION"),
        ("bob", {}, "POLICY_VIOLATION"),
        ("alice", {"contract": DIGEST}, "VERSION_MISMATCH"),
        ("alice", {"tool": "absent"}, "VERSION_MISMATCH"),
    ],
)
async def test_a_call_that_was_not_allowed_to_do_without_a_host_is_disputed_and_seen(
    place: Place, principal: str, call: dict[str, str], code: str
) -> None:
    error = await place.report("", principal=principal, **spare(**call))

    assert error is not None
    assert (error.code, error.retry_after) == (code, None)
    assert place.recorded("intent") == []
    await place.settled(lambda: place.events("report.rejected"))


@pytest.mark.parametrize("more", [{"fallback": None}, spare()])
async def test_a_report_has_a_permit_or_says_that_there_was_none(place: Place, more: dict[str, Any]) -> None:
    permit = "" if more["fallback"] is None else await place.permit()

    error = await place.report(permit, **more)

    assert error is not None
    assert error.code == "MALFORMED_REQUEST"


# --------------------------------------------------------------------------------------- whose principal is gone


async def test_a_report_of_somebody_who_may_not_act_any_more_is_recorded_as_that(place: Place) -> None:
    permits = place.host.permits
    permit, before = await place.permit(), await place.permit(who="by-key")
    permits.standing = lambda principal, who: "INVALID_CREDENTIALS" if (principal, who) == ("alice", None) else ""

    permits.withdraw()
    permits.withdraw()
    assert await place.report(permit) is None
    assert await place.report(before, position=2) is None

    (withdrawn,), (late,) = place.events("permit.withdrawn"), place.events("report.after_revocation")
    assert [permit] * 2 == [withdrawn["subject"], late["subject"]]
    assert ("alice", "INVALID_CREDENTIALS", "DENIED") == (late["principal"], late["code"], late["outcome"])
    assert {permit, before} == {outcome["invocation"] for outcome in place.recorded("outcome")}
    entries = entries_in(place.path)
    assert entries.index(late) + 1 == next(at for at, one in enumerate(entries) if one.get("reported") == "j:1")


async def test_a_call_without_a_host_of_somebody_who_may_not_act_any_more_is_recorded_as_that(place: Place) -> None:
    place.host.permits.standing = lambda _principal, _who: "TENANT_SUSPENDED"
    contract = MANIFEST.find("spare")
    call = FallbackCall("spare", contract.version, contract.digest, DIGEST, "", "c-1")

    assert await place.report("", call_id="c-spare", fallback=call) is None

    (late,) = place.events("report.after_revocation")
    assert "TENANT_SUSPENDED" == late["code"]
    assert [late["subject"]] == [intent["invocation"] for intent in place.recorded("intent")]
