"""The host over a real ledger: what is recorded, in which order, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ExecutionError, ValidationError
from altar.grid.host.callers import Caller
from altar.grid.host.host import Host, HostLimits
from altar.grid.host.runtimes import AttachedRuntime
from altar.later.invocation import Invocation, Outcome
from altar.ledger import Ledger
from altar.testing import PATIENCE
from tests.unit.grid.contracts import MANIFEST, Link
from tests.unit.later.doubles import Answers
from tests.unit.ledger.samples import entries_in, open_ledger, signer_in

ARGUMENTS = b'{"n":1}'


class Place:
    """A host, one runtime by hand, and the answers a client would get."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self.ledger = ledger
        self.path = path
        self.host = Host(name="host-1", manifest=MANIFEST, ledger=ledger, limits=HostLimits())
        self.answers = Answers()
        self.runtime: AttachedRuntime | None = None
        self.link = Link()

    def attach(self) -> AttachedRuntime:
        self.runtime = self.host.runtimes.attach("one", self.link)
        for contract in MANIFEST:
            self.host.runtimes.fulfil(self.runtime, contract.name, contract.version, contract.digest)
        self.host.runtimes.credit(self.runtime, 8)
        return self.runtime

    def call(self, name: str = "send", arguments: bytes = ARGUMENTS, **more: Any) -> Invocation:
        made = Invocation(name, arguments, f"c-{name}", principal="alice", reply_to=self.answers, **more)
        self.host.execute([made])
        return made

    async def settled(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the ledger answers from its own thread
                await asyncio.sleep(0.001)

    async def sent(self, count: int = 1) -> int:
        """Wait until the runtime has so many calls; the tag of the newest."""
        assert self.runtime is not None
        runtime = self.runtime
        await self.settled(lambda: len(runtime.in_flight) >= count)
        return max(runtime.in_flight)

    async def result(self, outcome: Outcome) -> None:
        tag = await self.sent()
        assert self.runtime is not None
        self.host.runtimes.result(self.runtime, tag, outcome)
        await self.settled(lambda: self.answers.given)

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in entries_in(self.path) if entry["kind"] == kind]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    loop = asyncio.get_running_loop()
    path = tmp_path / "ledger.db"

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    ledger = open_ledger(path, signer_in(tmp_path), deliver=deliver)
    yield Place(ledger, path)
    await asyncio.to_thread(ledger.close)


async def test_a_call_leaves_one_intent_and_one_outcome(place: Place) -> None:
    place.attach()
    invocation = place.call()
    await place.result(Outcome(b"2"))

    assert place.answers.given == [(invocation, Outcome(b"2"))]
    (intent,), (outcome,) = place.recorded("intent"), place.recorded("outcome")
    assert intent | {"time": 0, "v": 1} == {
        "arguments": digest(ARGUMENTS),
        "call": "c-send",
        "contract": MANIFEST.find("send").digest,
        "correlation": invocation.invocation_id,
        "invocation": invocation.invocation_id,
        "kind": "intent",
        "principal": "alice",
        "session": "",
        "tenant": "default",
        "time": 0,
        "tool": "send",
        "v": 1,
        "version": "1.0.0",
    }
    assert outcome["intent"] == invocation.intent
    assert (outcome["status"], outcome["code"], outcome["ran"], outcome["result"]) == (
        "SUCCESS",
        "",
        "yes",
        digest(b"2"),
    )
    assert (outcome["runtime"], outcome["attempts"]) == ("one", 1)


async def test_the_intent_is_durable_before_the_call_is_sent(place: Place) -> None:
    place.attach()
    place.call()
    assert place.link.sent == []

    await place.sent()

    assert len(place.recorded("intent")) == 1
    assert place.recorded("outcome") == []


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("absent", ARGUMENTS, "UNSUPPORTED_TOOL"),
        ("send", b'{"n":"x"}', "INVALID_TOOL_ARGS"),
        ("send", b'{"n": 1}', "SERIALIZATION_ERROR"),
    ],
)
async def test_what_is_refused_leaves_nothing_in_the_log(place: Place, name: str, arguments: bytes, code: str) -> None:
    place.attach()
    place.call(name, arguments)

    assert (place.answers.error.code, place.answers.error.ran) == (code, "no")
    assert place.recorded("intent") == []


async def test_a_call_that_comes_too_late_is_refused(place: Place) -> None:
    place.attach()
    place.call(deadline=-math.inf)

    assert (place.answers.error.code, place.answers.error.ran) == ("TIMEOUT", "no")


async def test_the_error_of_a_runtime_is_recorded_by_its_code(place: Place) -> None:
    place.attach()
    place.call()
    await place.result(Outcome(error=ValidationError("INVALID_TOOL_ARGS", "no", ran="yes")))

    (outcome,) = place.recorded("outcome")
    assert (outcome["status"], outcome["code"], outcome["ran"], outcome["result"]) == (
        "ERROR",
        "INVALID_TOOL_ARGS",
        "yes",
        "",
    )


async def test_a_result_that_breaks_the_contract_is_recorded_as_that(place: Place) -> None:
    place.attach()
    place.call()
    await place.result(Outcome(b'"two"'))

    assert place.answers.error.code == "SCHEMA_VIOLATION"
    assert place.recorded("outcome")[0]["code"] == "SCHEMA_VIOLATION"


async def test_what_cannot_be_recorded_is_not_answered_as_done(place: Place) -> None:
    place.attach()
    place.call()
    await place.sent()
    await asyncio.to_thread(place.ledger.close)

    await place.result(Outcome(b"2"))

    assert (place.answers.error.code, place.answers.error.ran) == ("OUTCOME_UNKNOWN", "unknown")


async def test_what_cannot_be_intended_is_not_sent(place: Place) -> None:
    place.attach()
    await asyncio.to_thread(place.ledger.close)
    place.call()
    await place.settled(lambda: place.answers.given)

    assert (place.answers.error.code, place.answers.error.ran) == ("LOG_UNAVAILABLE", "no")
    assert place.link.sent == []
    assert place.host.gate.in_flight == 0


async def test_a_host_that_leaves_takes_no_new_calls_and_waits_for_those_it_has(place: Place) -> None:
    place.attach()
    place.call()
    await place.sent()
    leaving = asyncio.create_task(place.host.drain())
    await asyncio.sleep(0)
    late = Answers()
    place.host.execute([Invocation("send", ARGUMENTS, "c-2", reply_to=late)])

    assert (late.error.code, late.error.ran) == ("NOT_ACTIVE", "no")
    assert not leaving.done()
    await place.result(Outcome(b"2"))
    await leaving


async def test_sessions_and_runtimes_are_recorded_as_they_come_and_go(place: Place) -> None:
    runtime = place.attach()
    session = place.host.open_session(Caller("alice"), ["send"], ttl=0)
    place.host.close_session(session.session_id, "alice", force=False)
    place.host.runtimes.detach(runtime, "left")
    await place.settled(lambda: len(place.recorded("event")) == 4)

    assert [(event["event"], event["subject"]) for event in place.recorded("event")] == [
        ("runtime.attached", "one"),
        ("session.opened", session.session_id),
        ("session.closed", session.session_id),
        ("runtime.detached", "one"),
    ]
    assert "destroyed" == place.recorded("event")[2]["note"]


async def test_closing_a_session_by_force_cancels_its_calls(place: Place) -> None:
    place.attach()
    session = place.host.open_session(Caller("alice"), [], ttl=0)
    place.call(session_id=session.session_id)
    tag = await place.sent()
    with pytest.raises(AltarError, match="in flight"):
        place.host.close_session(session.session_id, "alice", force=False)

    place.host.close_session(session.session_id, "alice", force=True)

    assert place.link.cancelled == [tag]
    await place.result(Outcome(b"2"))


async def test_a_step_of_the_watch_that_fails_does_not_end_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turns = 0

    def failing() -> None:
        nonlocal turns
        turns += 1
        raise KeyError("a defect")

    monkeypatch.setattr("altar.grid.host.host._WATCH_SECONDS", 0)
    swept: list[int] = []

    watching = asyncio.create_task(place.host.watch(failing, lambda: swept.append(turns)))
    await place.settled(lambda: len(swept) >= 3)
    watching.cancel()

    assert swept[:3] == [1, 2, 3]
    assert [record.message for record in caplog.records] == ["watching failed"]


async def test_one_answer_that_fails_does_not_lose_the_others(place: Place) -> None:
    def failing(_invocation: Invocation, _outcome: Outcome) -> None:
        raise KeyError("a defect")

    place.attach()
    deaf = Invocation("send", ARGUMENTS, "c-1", principal="alice", reply_to=failing)
    other = Invocation("send", ARGUMENTS, "c-2", principal="alice", reply_to=place.answers)
    await asyncio.to_thread(place.ledger.close)

    place.host.execute([deaf, other])
    await place.settled(lambda: place.answers.given)

    assert place.answers.error.code == "LOG_UNAVAILABLE"


async def test_one_who_waits_for_the_ledger_and_fails_does_not_lose_the_others(place: Place) -> None:
    def failing(*_: object) -> None:
        raise KeyError("a defect")

    place.attach()
    outcome = Outcome(b"2")
    calls = [place.call(), place.call()]
    await place.sent(2)

    place.host.gate.record(calls[0], outcome, failing)
    place.host.gate.record(calls[1], outcome, place.answers)
    await place.settled(lambda: place.answers.given)

    assert place.answers.given == [(calls[1], outcome)]


async def test_the_details_of_a_defect_are_in_the_log_of_the_host(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.attach()
    place.call()
    await place.result(Outcome(error=ExecutionError("INTERNAL", "no", ran="unknown", detail="KeyError: 'a defect'")))

    (record,) = caplog.records
    assert (record.message, record.__dict__["detail"]) == ("call failed inside ALTAR", "KeyError: 'a defect'")


async def test_the_status_says_what_is_going_on(place: Place) -> None:
    place.attach()
    place.call()
    await place.sent()

    status = place.host.status()

    assert (status["host"], status["sessions"], status["in_flight"]) == ("host-1", 0, 1)
    shown = ("runtime", "connection", "tools", "in_flight", "credits", "draining")
    assert {key: status["runtimes"][0][key] for key in shown} | {"tools": 0} == {
        "runtime": "one",
        "connection": 1,
        "tools": 0,
        "in_flight": 1,
        "credits": 7,
        "draining": False,
    }
    await place.result(Outcome(b"2"))
