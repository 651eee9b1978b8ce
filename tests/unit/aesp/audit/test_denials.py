"""Refused calls in the record: none is lost in the count, and no flood fills the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from altar.aesp.audit.denials import MAX_KINDS, OTHERS, Denials
from altar.ledger import Event
from altar.testing import FakeClock
from tests.unit.aesp.audit.scene import all_records
from tests.unit.ledger.samples import commit, open_ledger, signer_in


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.noted: list[Event] = []
        self.denials = Denials(self.noted.append, clock=self.clock)

    def deny(self, count: int = 1, *, principal: str = "acme/alice", code: str = "PERMISSION_DENIED") -> None:
        for _ in range(count):
            self.denials.denied(
                tenant="acme", principal=principal, code=code, resource="tools/x", action="execute", correlation="c-1"
            )

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.denials.sweep()

    @property
    def total(self) -> int:
        return sum(event.count or 1 for event in self.noted)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_refusal_is_recorded_at_once_with_all_that_is_known(scene: Scene) -> None:
    scene.deny()

    (event,) = scene.noted
    assert ("call.denied", "acme", "acme/alice", "PERMISSION_DENIED", "DENIED", "tools/x", "execute", "c-1", 0) == (
        event.event,
        event.tenant,
        event.principal,
        event.code,
        event.outcome,
        event.resource,
        event.action,
        event.correlation,
        event.count,
    )


def test_a_hundred_thousand_refusals_become_two_entries_and_none_is_lost(scene: Scene) -> None:
    scene.deny(100_000)
    scene.later(60)

    assert [0, 99_999] == [event.count for event in scene.noted]


def test_a_flood_that_goes_on_becomes_one_entry_a_window(scene: Scene) -> None:
    for _ in range(10):
        scene.deny(1000)
        scene.later(61)

    assert 11 == len(scene.noted)
    assert 10_000 == scene.total


def test_a_refusal_after_a_quiet_window_is_recorded_at_once_again(scene: Scene) -> None:
    scene.deny()
    scene.later(60)
    scene.deny()

    assert [0, 0] == [event.count for event in scene.noted]


def test_other_principals_and_other_reasons_are_kept_apart(scene: Scene) -> None:
    scene.deny(2)
    scene.deny(2, principal="acme/bob")
    scene.deny(2, code="RATE_LIMIT_EXCEEDED")
    scene.later(60)

    assert 6 == len(scene.noted) == scene.total


def test_a_flood_under_a_hundred_thousand_names_is_bounded_too(scene: Scene) -> None:
    for number in range(100_000):
        scene.deny(principal=f"acme/p{number}")
    scene.denials.flush()

    assert len(scene.noted) == MAX_KINDS + 2
    assert 100_000 == scene.total
    assert {OTHERS} == {event.subject for event in scene.noted[-2:]}


def test_the_end_of_a_host_records_what_was_counted(scene: Scene) -> None:
    scene.deny(5)
    scene.denials.flush()
    scene.denials.flush()

    assert [0, 4] == [event.count for event in scene.noted]


def test_words_of_a_caller_always_fit(scene: Scene) -> None:
    scene.denials.denied(
        tenant="acme",
        principal="",
        code="UNSUPPORTED_TOOL",
        resource="tools/" + "\x1f\ud800" * 5000,
        correlation="é" * 9000,
    )

    assert 1 == len(scene.noted)


def test_a_ledger_takes_what_is_handed_over(tmp_path: Path, scene: Scene) -> None:
    scene.deny(3)
    scene.denials.flush()
    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path))
    commit(ledger, *scene.noted)
    ledger.close()

    told = [record for record in all_records(tmp_path / "ledger.db") if record.event == "call.denied"]
    assert [("x", "DENIED", 0), ("", "DENIED", 2)] == [(record.tool, record.outcome, record.count) for record in told]
