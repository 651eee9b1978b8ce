"""Events of applications at the host: who may, what is committed, and when they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from altar.adm.errors import AltarError, AuthorizationError, ExecutionError
from altar.grid.host.app_records import AppRecords
from altar.grid.host.sessions import HostSession
from altar.later.app_records import RecordEvent
from altar.ledger.entry import Entry, Event
from altar.ledger.ledger import Then

SESSION = HostSession(
    session_id="session-1", principal="acme/alice", tools=frozenset(), ttl=1, expires=1, tenant="acme"
)
ASKED = RecordEvent("order.paid", b'{"iban":"DE1","order":"o-1"}', "id-1", "c-1")


class Scene:
    def __init__(self) -> None:
        self.committed: list[Entry] = []
        self.thens: list[Then] = []
        self.answers: list[AltarError | None] = []
        self.records = AppRecords(self._commit, redact=["iban"])

    def ask(self) -> None:
        self.records.record(SESSION, ASKED, lambda _, error: self.answers.append(error))

    def _commit(self, entries: Sequence[Entry], then: Then) -> None:
        self.committed += entries
        self.thens.append(then)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_event_goes_into_the_log_of_its_sessions_tenant(scene: Scene) -> None:
    scene.ask()

    (event,) = scene.committed
    assert (
        Event(
            event="app.order.paid",
            subject="id-1",
            tenant="acme",
            principal="acme/alice",
            session="session-1",
            correlation="c-1",
            action="record",
            outcome="SUCCESS",
            data='{"iban":"[redacted]","order":"o-1"}',
        )
        == event
    )


def test_it_is_acknowledged_when_it_is_durable_and_not_before(scene: Scene) -> None:
    scene.ask()
    before = list(scene.answers)
    scene.thens[0](7, None)

    assert ([], [None]) == (before, scene.answers)


def test_what_the_log_cannot_take_is_not_acknowledged(scene: Scene) -> None:
    failure = ExecutionError("LOG_UNAVAILABLE", "The disk is full", ran="no")
    scene.ask()
    scene.thens[0](-1, failure)

    assert [failure] == scene.answers


def test_without_the_permission_nothing_is_committed(scene: Scene) -> None:
    def refuse(session: HostSession) -> None:
        raise AuthorizationError("PERMISSION_DENIED", f"{session.principal!r} may not record", ran="no")

    scene.records.allow = refuse

    with pytest.raises(AltarError) as refused:
        scene.ask()

    assert ("PERMISSION_DENIED", []) == (refused.value.code, scene.committed)
