"""A host whose record names nobody: pseudonyms and commitments in it, and idempotency keys that work all the same.

Over a real ledger with a log for each tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import digest
from altar.grid.host.session_gate import intent_of, outcome_of_call
from altar.later.invocation import Outcome, Streamed
from altar.ledger.entry import Event
from altar.ledger.subjects import commitment, read_names
from altar.verify import verify
from tests.unit.grid import test_permits as permits
from tests.unit.grid.contracts import call
from tests.unit.grid.test_session_gate import ARGUMENTS, Place
from tests.unit.ledger.samples import open_ledger, signer_in

DONE = b"471108"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path, per_tenant=True, pseudonyms=True)
    made.open()
    yield made
    await made.close()
    report = verify(made.path, vkey=made.ledger.vkey)
    assert report.ok, report.findings


def alice(place: Place) -> Any:
    assert place.ledger.subjects is not None
    return place.ledger.subjects.of("default", "alice")


async def test_the_record_of_a_call_names_nobody_and_commits_to_what_it_was(place: Place) -> None:
    await place.ran(Outcome(DONE), place.call())

    (intent,), (outcome,) = place.recorded("intent"), place.recorded("outcome")
    salt = alice(place).salt(intent["invocation"])
    assert alice(place).pseudonym == intent["principal"]
    assert commitment(salt, digest(ARGUMENTS)) == intent["arguments"]
    assert commitment(salt, digest(DONE)) == outcome["result"]
    for secret in (b"alice", digest(ARGUMENTS).encode(), digest(DONE).encode()):
        assert secret not in place.path.read_bytes() + place.path.with_name("ledger.db-wal").read_bytes()
    assert {alice(place).pseudonym: ("default", "alice")} == read_names(place.path)


async def test_the_same_call_again_cannot_be_told_by_its_commitments(place: Place) -> None:
    for _ in range(2):
        await place.ran(Outcome(DONE), place.call())

    assert 2 == len({intent["arguments"] for intent in place.recorded("intent")})
    assert 2 == len({outcome["result"] for outcome in place.recorded("outcome")})
    assert 1 == len({intent["principal"] for intent in place.recorded("intent")})


async def test_a_stream_has_a_commitment_to_the_digest_of_what_was_passed_on(place: Place) -> None:
    made = call(invocation_id="i-1", principal="alice", tenant="default")
    intent_of(made, place.ledger.subjects)

    entry = outcome_of_call(made, Outcome(streamed=Streamed(3, 7, digest(b"[1,2,3]"))))

    assert commitment(alice(place).salt("i-1"), digest(b"[1,2,3]")) == entry.result


async def test_a_key_used_again_is_answered_from_what_is_kept(place: Place) -> None:
    await place.ran(Outcome(DONE), place.call(key="k"))

    again = await place.answered(place.call(key="k"))
    other = await place.answered(place.call(key="k", arguments=b'{"n":2}'))

    assert (DONE, True) == (again.content, again.replayed)
    assert other.error is not None
    assert "IDEMPOTENCY_CONFLICT" == other.error.code


async def test_a_key_used_again_after_a_restart_is_answered_from_what_is_kept(place: Place) -> None:
    await place.ran(Outcome(DONE), place.call(key="k"))
    await place.reopen()

    again = await place.answered(place.call(key="k"))
    other = await place.answered(place.call(key="k", arguments=b'{"n":2}'))

    assert (DONE, True) == (again.content, again.replayed)
    assert other.error is not None
    assert "IDEMPOTENCY_CONFLICT" == other.error.code


async def test_a_key_from_before_there_were_pseudonyms_still_holds(tmp_path: Path) -> None:
    made = Place(tmp_path)
    made.open()
    await made.ran(Outcome(DONE), made.call(key="k"))
    made.options = {"per_tenant": True, "pseudonyms": True}
    await made.reopen()

    again = await made.answered(made.call(key="k"))
    other = await made.answered(made.call(key="k", arguments=b'{"n":2}'))
    await made.close()

    assert (DONE, True) == (again.content, again.replayed)
    assert other.error is not None
    assert "IDEMPOTENCY_CONFLICT" == other.error.code


async def test_an_event_is_given_a_name_and_recorded_under_the_pseudonym(place: Place) -> None:
    told: list[int] = []
    event = Event(event="admin.role_created", subject="roles/x", principal="alice", outcome="SUCCESS")

    place.host.gate.commit([event], lambda seq, _error: told.append(seq))
    await place.settled(lambda: told)

    (recorded,) = place.recorded("event")[-1:]
    assert alice(place).pseudonym == recorded["principal"]
    assert "alice" == event.principal


async def test_a_forgotten_subject_leaves_a_record_that_verifies_and_names_nobody(place: Place) -> None:
    await place.ran(Outcome(DONE), place.call())
    pseudonym = alice(place).pseudonym
    assert place.ledger.subjects is not None

    assert place.ledger.subjects.destroy("default", "alice")
    await place.ran(Outcome(DONE), place.call())

    before, after = place.recorded("intent")
    assert pseudonym == before["principal"] != after["principal"]
    assert pseudonym not in read_names(place.path)


async def test_a_report_that_was_logged_is_known_again_after_a_restart_though_its_result_is_committed(
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    path = tmp_path / "ledger.db"

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    def opened() -> permits.Place:
        ledger = open_ledger(path, signer_in(tmp_path), deliver=deliver, per_tenant=True, pseudonyms=True)
        return permits.Place(ledger, path)

    place = opened()
    permit = await place.permit()
    assert await place.report(permit) is None
    await asyncio.to_thread(place.ledger.close)
    place = opened()

    again = await place.report(permit)
    other = await place.report(permit, result="sha256:" + "c" * 64)
    await asyncio.to_thread(place.ledger.close)

    (outcome,) = place.recorded("outcome")
    assert again is None
    assert other is not None
    assert "IDEMPOTENCY_CONFLICT" == other.code
    assert outcome["result"].startswith("hmac-sha256:")
    assert b"alice" not in path.read_bytes()
