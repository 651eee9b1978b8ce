"""Sessions and their variables on the disk: what was acknowledged is there again, and what is damaged is not used."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger.session_store import Kept, KeptSession, KeptVariable, SessionStore
from altar.ledger.sqlite import Connection, connect_sqlite
from tests.unit.ledger.samples import open_ledger, rows, signer_in

ONE = KeptSession("session-1", "alice", ("add", "look@^1"), 60_000, 1_790_000_000_000, floor=3)
TWO = KeptSession("session-2", "bob", (), 1_000, 1_790_000_000_001)
BOTH = replace(ONE, names=2)
A = KeptVariable("a", 2, b'{"type":"INTEGER"}', b"7")
GONE = KeptVariable("b", 5, b"", b"")


class Place:
    """Stores of one file, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures: list[AltarError] = []
        self.stores: list[SessionStore] = []

    def open(self, connect: Callable[[str], Connection] = connect_sqlite) -> SessionStore:
        made = SessionStore(
            self.path, on_failure=self.failures.append, deliver=lambda answer: answer(), connect=connect
        )
        self.stores.append(made)
        return made

    def loaded(self) -> tuple[list[Kept], list[str]]:
        store = self.open()
        try:
            return store.load()
        finally:
            store.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "ledger.db.sessions")
    yield made
    for store in made.stores:
        store.close()


def durable(store: SessionStore) -> AltarError | None:
    """Wait until all that was handed over is on the disk, or cannot be."""
    told: list[AltarError | None] = []
    done = threading.Event()

    def then(error: AltarError | None) -> None:
        told.append(error)
        done.set()

    store.save(then=then)
    assert done.wait(30)
    return told[0]


def test_what_was_saved_is_loaded_again(place: Place) -> None:
    store = place.open()
    store.save(BOTH)
    store.save(TWO)
    store.save(session_id="session-1", variables=[A, GONE])
    assert durable(store) is None
    store.close()

    kept, damaged = place.loaded()

    assert {each.session.session_id: each for each in kept} == {
        "session-1": Kept(BOTH, (A, GONE)),
        "session-2": Kept(TWO, ()),
    }
    assert damaged == []


def test_what_is_saved_again_replaces_and_what_is_dropped_or_forgotten_is_gone(place: Place) -> None:
    store = place.open()
    store.save(BOTH)
    store.save(TWO)
    store.save(session_id="session-1", variables=[A, GONE])
    store.save(session_id="session-2", variables=[A])
    later = KeptVariable("a", 3, A.schema, b"8")
    less = replace(ONE, names=1)
    store.save(less, session_id="session-1", variables=[later], forgotten=["b"])
    store.drop("session-2")
    store.close()

    assert place.loaded() == ([Kept(less, (later,))], [])
    assert rows(place.path, "SELECT count(*) FROM variables") == [(1,)]


def test_everything_that_waits_shares_a_transaction(place: Place) -> None:
    store = place.open()
    held, release = threading.Event(), threading.Event()

    def hold(_error: AltarError | None) -> None:
        held.set()
        assert release.wait(30)

    store.save(ONE, then=hold)
    assert held.wait(30)
    for number in range(200):
        store.save(session_id="session-1", variables=[KeptVariable("a", number + 1, A.schema, b"1")])
    before = store.commits
    release.set()

    assert durable(store) is None
    assert store.commits - before <= 2


def test_a_change_of_any_column_of_a_row_is_found_and_only_its_session_is_lost(place: Place) -> None:
    for table, column, value in [
        ("variables", "version", 9),
        ("variables", "value", b"8"),
        ("variables", "schema", b"{}"),
        ("variables", "name", "c"),
        ("variables", "value", "7"),
        ("sessions", "body", b'{"principal":"mallory"}'),
    ]:
        store = place.open()
        store.save(replace(ONE, names=1))
        store.save(TWO)
        store.save(session_id="session-1", variables=[A])
        store.close()
        with sqlite3.connect(place.path) as connection:
            where = "session = 'session-1'" if table == "variables" else "id = 'session-1'"
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
        connection.close()

        kept, damaged = place.loaded()

        assert ([each.session for each in kept], damaged) == ([TWO], ["session-1"])
        place.path.unlink()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        ("DELETE FROM variables WHERE name = 'b'", ["session-1"]),
        ("DELETE FROM sessions WHERE id = 'session-1'", ["session-1"]),
        ("UPDATE variables SET session = 'session-9' WHERE name = 'b'", ["session-1", "session-9"]),
        ("UPDATE sessions SET id = x'ff' WHERE id = 'session-1'", ["b'\\xff'", "session-1"]),
    ],
)
def test_a_row_that_is_missing_or_stands_under_another_session_is_missed(
    place: Place, damage: str, lost: list[str]
) -> None:
    store = place.open()
    store.save(BOTH, session_id="session-1", variables=[A, GONE])
    store.save(TWO)
    store.close()
    with sqlite3.connect(place.path) as connection:
        connection.execute(damage)
    connection.close()

    assert place.loaded() == ([Kept(TWO, ())], lost)


def test_whatever_bit_is_flipped_the_file_is_refused_or_each_session_is_as_it_was_or_named_as_lost(
    place: Place,
) -> None:
    saved = {}
    store = place.open()
    for number in range(8):
        session = KeptSession(f"session-{number:032x}", "alice", (), 60_000, 1_790_000_000_000, names=3)
        variables = tuple(KeptVariable(f"v{each}", each + 1, A.schema, b"7") for each in range(3))
        store.save(session, session_id=session.session_id, variables=variables)
        saved[session.session_id] = Kept(session, variables)
    store.close()
    whole = place.path.read_bytes()
    outcomes = set()

    for place_, byte in [pair for pair in enumerate(whole) if pair[1]][::23]:
        place.path.write_bytes(whole[:place_] + bytes([byte ^ 1 << place_ % 8]) + whole[place_ + 1 :])
        try:
            kept, lost = place.loaded()
        except ConfigurationError as refused:
            outcomes.add(refused.code)
        else:
            found = {each.session.session_id: each for each in kept}
            assert found == {name: saved[name] for name in saved if name not in lost}
            outcomes.add("lost" if lost else "whole")
    assert {"LOG_DAMAGED", "lost"} <= outcomes


def test_the_values_of_a_dropped_session_are_no_longer_in_the_file(place: Place) -> None:
    store = place.open()
    store.save(ONE)
    store.save(session_id="session-1", variables=[KeptVariable("key", 1, b"{}", b'"hunter2-canary"')])
    assert durable(store) is None
    store.drop("session-1")
    store.close()

    assert b"hunter2" not in place.path.read_bytes()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 100, b"SQLite format 3\0junk"])
def test_a_file_that_is_none_is_refused_in_words_that_name_it(place: Place, content: bytes) -> None:
    place.path.write_bytes(content)

    with pytest.raises(ConfigurationError) as raised:
        place.open()
    assert raised.value.code == "LOG_DAMAGED"
    assert str(place.path) in raised.value.message


def test_the_database_of_another_program_and_that_of_a_newer_release_are_refused(place: Place) -> None:
    for pragma, code in (("application_id = 7", "LOG_DAMAGED"), ("user_version = 9", "INVALID_CONFIG")):
        place.open().close()
        with sqlite3.connect(place.path) as connection:
            connection.execute(f"PRAGMA {pragma}")
        connection.close()
        with pytest.raises(ConfigurationError) as raised:
            place.open()
        assert raised.value.code == code
        place.path.unlink()


def test_the_file_can_be_read_by_its_owner_only(place: Place) -> None:
    place.open()

    assert place.path.stat().st_mode & 0o077 == 0


class Broken:
    """A connection whose disk is full from some moment on."""

    def __init__(self, path: str) -> None:
        self._connection = connect_sqlite(path)
        self.is_full = False

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Any]:
        if self.is_full and sql == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()


def test_what_cannot_be_written_is_told_and_nothing_is_taken_after_it(place: Place) -> None:
    made: list[Broken] = []

    def connect(path: str) -> Connection:
        made.append(Broken(path))
        return made[-1]

    store = place.open(connect)
    store.save(ONE)
    assert durable(store) is None
    made[0].is_full = True
    store.save(session_id="session-1", variables=[A])
    first = durable(store)
    made[0].is_full = False
    store.save(TWO)
    second = durable(store)
    store.close()
    third = durable(store)

    assert [each.code for each in (first, second, third) if each] == ["LOG_UNAVAILABLE"] * 3
    assert [each.code for each in place.failures] == ["LOG_UNAVAILABLE"]
    assert place.loaded() == ([Kept(ONE, ())], [])


class Unsynced(Broken):
    """A connection whose commits reach the disk, and say that they did not."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Any]:
        answer = self._connection.execute(sql, parameters)
        if self.is_full and sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return answer


def test_a_change_whose_commit_failed_may_be_there_at_the_next_start_and_is_not_said_to_be_undone(
    place: Place,
) -> None:
    made: list[Unsynced] = []

    def connect(path: str) -> Connection:
        made.append(Unsynced(path))
        return made[-1]

    store = place.open(connect)
    made[0].is_full = True
    store.save(ONE)
    failed, refused = durable(store), durable(store)
    store.close()

    assert [each.ran for each in (failed, refused) if each] == ["unknown", "no"]
    assert place.loaded() == ([Kept(ONE, ())], [])


def test_a_ledger_opens_the_store_beside_its_log_and_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path, signer_in(tmp_path))
    assert ledger.sessions is ledger.sessions
    ledger.sessions.save(ONE)
    ledger.close()

    again = open_ledger(path, signer_in(tmp_path))
    kept, _ = again.sessions.load()
    again.close()
    assert [each.session for each in kept] == [ONE]
    assert sorted(file.name for file in tmp_path.glob("ledger.db.*")) == ["ledger.db.lock", "ledger.db.sessions"]
