"""Sessions that outlive their host: what is written down, how often, and what is found again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, ValidationError
from altar.grid.host import variables as host_variables
from altar.grid.host.app_records import AppRecords
from altar.grid.host.sessions import HostCatalog, HostSession, Sessions
from altar.grid.host.variables import HostVariables
from altar.later.invocation import Invocation
from altar.later.variable_table import Declare, Delete, Read, Record, Request, Update, Watcher
from altar.ledger.session_store import SessionStore
from altar.testing import FakeClock
from tests.unit.grid.contracts import MANIFEST

INTEGER = canonical({"type": "INTEGER"})


class Place:
    """One host after another on the same file, with a clock that both agree on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.notes: list[tuple[str, str]] = []
        self.deliver: Callable[[Callable[[], None]], None] = lambda answer: answer()
        self.store = self.open_store()
        self.sessions, self.variables = self.host()

    def open_store(self) -> SessionStore:
        def deliver(answer: Callable[[], None]) -> None:
            self.deliver(answer)  # as it is then: a test changes it

        return SessionStore(self.path, on_failure=lambda _: None, deliver=deliver)

    def host(self) -> tuple[Sessions, HostVariables]:
        sessions = Sessions(
            default_ttl=timedelta(seconds=100),
            per_principal=3,
            clock=self.clock,
            store=self.store,
            wall_ms=lambda: 1_790_000_000_000 + int(self.clock.now * 1000),
            note=lambda session_id, why, _tenant: self.notes.append((session_id, why)),
        )
        sessions.restore()
        return sessions, HostVariables(sessions, AppRecords(lambda _entries, _then: None))

    def restart(self) -> None:
        self.store.close()
        self.store = self.open_store()
        self.sessions, self.variables = self.host()

    def open(self, *tools: str, principal: str = "alice") -> HostSession:
        return self.sessions.create(principal, tools, ttl=0, manifest=MANIFEST)

    def durable(self) -> None:
        done = threading.Event()
        self.store.save(then=lambda _: done.set())
        assert done.wait(30)

    def ask(self, session: HostSession, request: Request) -> tuple[Record, ...]:
        """Ask, and wait until it is durable."""
        told: list[tuple[tuple[Record, ...], AltarError | None]] = []
        self.variables.ask(session, request, lambda records, error: told.append((records, error)))
        self.durable()
        ((records, error),) = told
        if error is not None:
            raise error
        return records


def test_when_it_was_opened_and_what_it_prefers_are_kept(place: Place) -> None:
    opened = place.sessions.create("alice", (), ttl=0, manifest=MANIFEST, labels={"zone": "a", "region": "eu"})
    created_ms = opened.created_ms
    place.clock.advance(5)

    place.restart()

    found = place.sessions.get(opened.session_id, "alice")
    assert created_ms > 0
    assert (created_ms, {"zone": "a", "region": "eu"}) == (found.created_ms, dict(found.labels))


def test_a_session_is_told_of_when_it_is_durable_and_not_before(place: Place) -> None:
    held: list[Callable[[], None]] = []
    place.deliver = held.append
    told: list[str] = []

    def note(what: str) -> Callable[[AltarError | None], None]:
        return lambda failed: told.append(what if failed is None else failed.code)

    opened = place.sessions.create("alice", (), ttl=0, manifest=MANIFEST, then=note("opened"))
    place.sessions.extend(opened.session_id, "alice", ttl=50, then=note("extended"))
    place.sessions.destroy(opened.session_id, "alice", force=False, then=note("destroyed"))
    assert [] == told

    place.store.close()
    for answer in held:
        answer()
    assert ["opened", "extended", "destroyed"] == told
    place.store = place.open_store()
    assert ([], []) == place.store.load()


def test_one_that_expired_while_the_host_was_down_is_remembered_as_that(place: Place) -> None:
    session = place.open().session_id
    place.store.close()
    place.clock.advance(200)
    place.store = place.open_store()
    place.sessions, place.variables = place.host()

    with pytest.raises(AuthorizationError) as refused:
        place.sessions.get(session, "alice")

    assert "SESSION_EXPIRED" == refused.value.code


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "sessions")
    yield made
    made.store.close()


def integer(name: str = "a", value: int = 1) -> Declare:
    return Declare(name, INTEGER, canonical(value))


def test_a_session_is_found_again_as_it_was(place: Place) -> None:
    before = place.open("add@<1.10")
    place.ask(before, integer())
    place.ask(before, integer("b"))
    place.ask(before, Delete("b"))
    place.clock.advance(5)

    place.restart()

    after = place.sessions.get(before.session_id, "alice")
    assert after is not before
    assert (after.tools, after.ttl, after.attached) == (before.tools, before.ttl, 0)
    assert place.ask(after, Read()) == before.variables.read()
    assert place.ask(after, integer("b"))[0].version == 3
    call = Invocation("add", b'{"n":1}', "c", principal="alice", session_id=after.session_id)
    assert HostCatalog(MANIFEST, place.sessions).find(call).version == "1.9.0"
    with pytest.raises(ValidationError, match="no such session"):
        place.sessions.get(before.session_id, "bob")


def test_a_session_that_was_destroyed_is_not_found_again(place: Place) -> None:
    session = place.open()
    place.ask(session, integer())
    place.sessions.destroy(session.session_id, "alice", force=False)

    place.restart()

    assert len(place.sessions) == 0
    assert place.store.load() == ([], [])
    assert place.notes == [(session.session_id, "destroyed")]


def test_the_time_that_the_host_was_down_counts(place: Place) -> None:
    short, used = place.open(), place.open()
    place.clock.advance(60)
    place.sessions.get(used.session_id, "alice")
    place.durable()
    place.store.close()
    place.clock.advance(50)

    place.store = place.open_store()
    place.sessions, place.variables = place.host()

    assert len(place.sessions) == 1
    assert place.notes == [(short.session_id, "expired")]
    place.clock.advance(49)
    place.sessions.get(used.session_id, "alice")


def test_the_end_of_a_session_is_written_at_most_once_in_a_tenth_of_its_time(place: Place) -> None:
    session = place.open()
    place.durable()
    before = place.store.commits
    for _ in range(100):
        place.clock.advance(0.5)
        place.sessions.get(session.session_id, "alice")
        place.durable()

    assert place.store.commits - before == 5
    place.restart()
    assert place.sessions.get(session.session_id, "alice").session_id == session.session_id


def test_a_session_that_nobody_uses_makes_room_at_the_limit_unless_it_holds_variables(place: Place) -> None:
    held, left, connected = place.open(), place.open(), place.open()
    place.ask(held, integer())
    for session in (held, left):
        place.sessions.left(session.session_id)

    place.open()

    assert place.notes == [(left.session_id, "made room")]
    with pytest.raises(AuthorizationError) as refused:
        place.open()
    assert refused.value.code == "RATE_LIMIT_EXCEEDED"
    assert place.sessions.get(connected.session_id, "alice") is connected


def test_nobody_is_told_of_a_change_before_it_is_durable(place: Place) -> None:
    session = place.open()
    place.ask(session, integer())
    answers: list[Callable[[], None]] = []
    place.deliver = answers.append
    told: list[str] = []
    watcher = Watcher((), lambda: told.append("watch"))
    session.watchers.add(watcher)

    place.variables.ask(session, Update({"a": b"2"}), lambda _records, _error: told.append("change"))
    place.variables.ask(session, Read(), lambda records, _error: told.append(records[0].value.decode()))
    place.variables.ask(session, Delete("b"), lambda _records, error: told.append(error.code if error else ""))
    place.variables.watch(session, Watcher(("a",), lambda: None), lambda records: told.append(f"{len(list(records))}"))
    assert told == []
    place.store.close()
    for answer in answers:
        answer()

    assert told == ["watch", "change", "2", "UNKNOWN_VARIABLE", "1"]
    assert session.unsaved == 0


def test_a_change_that_cannot_be_kept_is_refused_and_nobody_hears_of_it(place: Place) -> None:
    session = place.open()
    place.ask(session, integer())
    woken: list[int] = []
    session.watchers.add(Watcher((), lambda: woken.append(1)))
    place.store.close()

    told: list[AltarError | None] = []
    place.variables.ask(session, Update({"a": b"2"}), lambda _records, error: told.append(error))

    place.variables.ask(session, Read(), lambda _records, error: told.append(error))
    watcher = Watcher((), lambda: None)
    place.variables.watch(session, watcher, lambda _records: None)

    assert [error.code for error in told if error is not None] == ["LOG_UNAVAILABLE"] * 2
    assert woken == []
    assert watcher.error is not None
    assert watcher.error.code == "LOG_UNAVAILABLE"


def test_the_variables_of_a_principal_have_a_limit_over_all_its_sessions(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_variables, "MAX_PRINCIPAL_BYTES", 100)
    one, two, other = place.open(), place.open(), place.open(principal="bob")
    text = Declare("a", canonical({"type": "STRING"}), canonical("x" * 60))
    place.ask(one, text)

    with pytest.raises(ExecutionError) as refused:
        place.ask(two, text)
    assert refused.value.code == "RESOURCE_EXHAUSTED"
    place.ask(other, text)
    place.sessions.destroy(one.session_id, "alice", force=True)
    place.ask(two, text)
    place.ask(two, Delete("a"))
    assert place.sessions.variable_bytes_of["alice"] == 0


def test_whoever_watches_hears_that_the_session_is_over(place: Place) -> None:
    expired, closed = place.open(), place.open()
    watchers = []
    for session in (expired, closed):
        watchers.append(Watcher((), lambda: None))
        session.watchers.add(watchers[-1])

    place.sessions.destroy(closed.session_id, "alice", force=False)
    place.clock.advance(200)
    place.sessions.sweep()

    assert [watcher.error.code for watcher in watchers if watcher.error] == ["SESSION_EXPIRED", "INVALID_SESSION"]


def test_a_watch_that_begins_while_its_session_ends_hears_of_the_end(place: Place) -> None:
    session = place.open()
    answers: list[Callable[[], None]] = []
    place.deliver = answers.append
    watcher = Watcher((), lambda: None)
    place.variables.ask(session, integer(), lambda _records, _error: None)
    place.variables.watch(session, watcher, lambda _records: None)

    place.sessions.destroy(session.session_id, "alice", force=True)
    place.store.close()
    for answer in answers:
        answer()

    assert watcher.error is not None
    assert watcher.error.code == "INVALID_SESSION"


def test_a_session_that_is_damaged_is_dropped_and_the_others_are_kept(place: Place) -> None:
    import sqlite3

    session, other = place.open(), place.open()
    place.ask(session, integer())
    place.store.close()
    with sqlite3.connect(place.path) as connection:
        connection.execute("UPDATE variables SET value = x'32'")
    connection.close()

    place.store = place.open_store()
    place.sessions, place.variables = place.host()

    assert place.notes == [(session.session_id, "damaged")]
    assert place.sessions.get(other.session_id, "alice").session_id == other.session_id
    place.restart()
    assert place.notes == [(session.session_id, "damaged")]
