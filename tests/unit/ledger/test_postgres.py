"""The log in a real PostgreSQL: who may write, who is kept out, what a thief of it finds and can do."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg
import pytest

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.ledger import Event, FileSigner, Ledger, write_export
from altar.ledger.database_key import read_database_key
from altar.ledger.log import Frontier, leaf_hash
from altar.ledger.log_store import EntryRow, StoredCheckpoint, StoredLog
from altar.ledger.places import DatabaseLog
from altar.ledger.postgres import PostgresReading, PostgresStore
from altar.ledger.postgres_schema import schema_of
from altar.ledger.reader import LogReader
from altar.testing.postgres import LocalPostgres
from altar.verify import Report, verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, entries_in, intent, open_ledger, outcome, rows, signer_in

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SCHEMA = schema_of(ORIGIN)


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


def row(seq: int) -> EntryRow:
    body = f'{{"n":{seq}}}'.encode()
    return EntryRow(seq, seq, body, leaf_hash(body))


def elsewhere(place: DatabaseLog, folder: Path) -> DatabaseLog:
    """The same log as a host on another machine has it."""
    folder.mkdir()
    return replace(place, beside=folder / "ledger.db")


@contextmanager
def as_superuser(place: DatabaseLog) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(place.url, autocommit=True, options=f"-c search_path={SCHEMA}") as connection:
        yield connection


def end_sessions(place: DatabaseLog, *, name: str) -> int:
    """End the sessions of this name, as a server that fails over does; gives how many there were."""
    with as_superuser(place) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (name,),
        ).fetchall()
    return len(ended)


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_come_back_in_order_from_either_end(in_database: DatabaseLog) -> None:
    store = PostgresStore(in_database)
    for first in (0, 700):
        store.append([row(seq) for seq in range(first, first + 700)], outcomes=[(first, first + 1)])

    assert [row(seq) for seq in range(1390, 1400)] == list(store.entries_of(0, 1390))
    assert [row(seq) for seq in reversed(range(1400))] == list(store.entries_backwards())
    assert (1400, 0, True, False) == (
        store.next_seq(), store.first_seq(), store.has_outcome(700), store.has_outcome(701)
    )  # fmt: skip
    assert {5: row(5).hashes} == store.hashes_at(0, [5, 9999])
    store.close()


def test_a_transaction_is_whole_or_not_at_all(in_database: DatabaseLog) -> None:
    store = PostgresStore(in_database)
    store.append([row(0), row(1)], outcomes=[(0, 1)], logs=[StoredLog(0, "")])

    twice = [StoredCheckpoint(0, 1, b"a"), StoredCheckpoint(0, 1, b"b")]
    bad: list[dict[str, Any]] = [
        {"rows": [row(2)], "outcomes": [(0, 2)]},
        {"rows": [row(2), row(0)]},
        {"rows": [row(2)], "logs": [StoredLog(0, "")]},
        {"rows": [row(2)], "checkpoints": twice},
    ]
    for given in bad:
        with pytest.raises(psycopg.errors.UniqueViolation):
            store.append(**given)
    store.append([row(2)], checkpoints=[StoredCheckpoint(0, 1, b"note")])
    store.close()

    assert [(0,), (1,), (2,)] == rows(in_database, "SELECT seq FROM entries ORDER BY seq")
    assert [(0, 1)] == rows(in_database, "SELECT intent, seq FROM outcomes")
    assert [(1, b"note")] == rows(in_database, "SELECT place, note FROM checkpoints")


def test_each_host_has_a_log_of_its_own_in_one_database(in_database: DatabaseLog, tmp_path: Path) -> None:
    other = DatabaseLog(in_database.url, "altar.local/host-2", tmp_path / "other.db")
    first, second = PostgresStore(in_database), PostgresStore(other)

    first.append([row(0)])
    second.append([row(0), row(1)])

    assert (1, 2) == (first.next_seq(), second.next_seq())
    first.close()
    second.close()


def test_a_commit_waits_for_the_disk_of_the_server_even_where_that_is_off_by_default(in_database: DatabaseLog) -> None:
    database = in_database.url.rpartition("/")[2]
    with as_superuser(in_database) as connection:
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = off".encode())
    store = PostgresStore(in_database)
    ((mode,),) = store._select("SELECT current_setting('synchronous_commit')")
    store.close()
    with as_superuser(in_database) as connection:
        connection.execute(f"ALTER DATABASE {database} RESET synchronous_commit".encode())

    assert "on" == mode


def test_what_is_wrong_with_an_address_is_said_without_the_password(tmp_path: Path) -> None:
    nowhere = DatabaseLog("postgresql://host:secret-word@127.0.0.1:1/altar", ORIGIN, tmp_path / "ledger.db")

    with pytest.raises(ConfigurationError, match=r"postgresql://127\.0\.0\.1:1/altar .* cannot be reached") as caught:
        PostgresStore(nowhere)
    with pytest.raises(ConfigurationError, match="cannot be reached"):
        LogReader.open(nowhere)

    assert "secret-word" not in f"{caught.value!r} {caught.value.detail} {nowhere!r}"
    assert "ENVIRONMENT_ERROR" == caught.value.code


def test_a_log_that_is_not_there_is_not_read_and_not_made(in_database: DatabaseLog, tmp_path: Path) -> None:
    absent = DatabaseLog(in_database.url, "altar.local/absent", tmp_path / "ledger.db")

    with pytest.raises(ConfigurationError, match="There is no ledger at"):
        LogReader.open(absent)
    with pytest.raises(ConfigurationError, match="There is no ledger at"):
        LogReader.open(absent)


def test_tables_of_a_newer_altar_are_left_alone(in_database: DatabaseLog) -> None:
    PostgresStore(in_database).close()
    with as_superuser(in_database) as connection:
        connection.execute("INSERT INTO layout VALUES (99, %s)", (ORIGIN,))
    try:
        with pytest.raises(ConfigurationError, match="has tables of layout 99, this ALTAR knows 1"):
            PostgresStore(in_database)
        with pytest.raises(ConfigurationError, match="has tables of layout 99"):
            LogReader.open(in_database)
    finally:
        with as_superuser(in_database) as connection:
            connection.execute("DELETE FROM layout WHERE format = 99")


def test_what_retention_removes_is_gone_and_all_that_proves_the_rest_stays(
    in_database: DatabaseLog, signer: FileSigner
) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True)
    commit(ledger, *(intent(number) for number in range(6)), Event(event="log.kept", subject="x", tenant="acme"))
    ledger.close()
    store = PostgresStore(in_database)
    with LogReader.open(in_database) as reader:
        before = list(reader.stored("acme"))
        number = next(log.log for log in reader.logs() if log.tenant == "acme")

    assert 6 == store.remove(number, 1, 8)  # six intents; what the log says about itself stays
    assert 1 == store.remove(number, 0, 8)  # its start
    store.close()

    with LogReader.open(in_database) as reader:
        after = list(reader.stored("acme"))
        assert [b'"event":"log.kept"' in body for _, body, _ in after[:8]] == [False] * 7 + [True]
        assert b"" == b"".join(body for _, body, _ in after[:7])
        assert [leaf for _, _, leaf in before] == [leaf for _, _, leaf in after]
        (kept,) = reader.marked([b'"event":"log.kept"'])
        assert ("acme", 7) == (kept.tenant, kept.position)
    open_ledger(in_database, signer, per_tenant=True).close()


# ── two hosts ────────────────────────────────────────────────────────────────────────────────────────────

HOLDER = """
import sys
from pathlib import Path
from altar.ledger.places import DatabaseLog
from tests.unit.ledger.samples import commit, intent, open_ledger, outcome, signer_in

folder = Path(sys.argv[2])
place = DatabaseLog(sys.argv[1], "altar.local/host-1", folder / "ledger.db", b"k" * 32)
ledger = open_ledger(place, signer_in(folder.parent))
number = 0
while True:
    first, error = commit(ledger, intent(number), intent(number + 1))
    assert error is None
    print(first, f"inv-{number}", flush=True)
    commit(ledger, outcome(number, first))
    print(first + 2, f"inv-{number}", flush=True)
    number += 2
"""


def test_a_host_whose_login_may_not_remove_is_told_and_goes_on(in_database: DatabaseLog, signer: FileSigner) -> None:
    failures: list[AltarError] = []
    ledger = open_ledger(in_database, signer, failures=failures)
    commit(ledger, intent(1), outcome(1, -1))
    answers: list[AltarError | None] = []
    with as_superuser(in_database) as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION remove FROM altar_operator")

    ledger.remove("", 0, 2, lambda _seq, error: answers.append(error))
    assert commit(ledger, intent(2))[1] is None
    ledger.close()

    assert ["LOG_UNAVAILABLE"] == [error.code for error in answers if error is not None]
    assert [] == failures


def test_a_second_host_is_kept_out_and_goes_on_when_the_first_was_killed(
    in_database: DatabaseLog, tmp_path: Path, signer: FileSigner
) -> None:
    first, second = elsewhere(in_database, tmp_path / "first"), elsewhere(in_database, tmp_path / "second")
    command = [sys.executable, "-c", HOLDER, first.url, str(first.beside.parent)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(40)]
        with pytest.raises(ConfigurationError, match="is in use by another host") as caught:
            PostgresStore(second, patience=timedelta(milliseconds=50))
        child.kill()
        acknowledged += [line for line in child.stdout if line.endswith("\n")]

    ledger = open_ledger(second, signer)
    ledger.close()

    assert ("ENVIRONMENT_ERROR", 2) == (caught.value.code, ledger.epoch)
    entries = entries_in(second)
    for seq, invocation in (line.split() for line in acknowledged):
        assert invocation == entries[int(seq)]["invocation"]
    intents = [seq for seq, entry in enumerate(entries) if entry["kind"] == "intent"]
    assert [(seq,) for seq in intents] == rows(second, "SELECT intent FROM outcomes ORDER BY intent")
    assert "OUTCOME_UNKNOWN" in {entry.get("code") for entry in entries}
    assert proved(second, signer, tmp_path).ok


def test_a_host_that_lost_its_lock_unnoticed_can_write_nothing_once_another_has_taken_over(
    in_database: DatabaseLog, tmp_path: Path, signer: FileSigner
) -> None:
    failures: list[AltarError] = []
    stale = open_ledger(elsewhere(in_database, tmp_path / "stale"), signer, failures=failures)
    commit(stale, intent(1))
    # what a pool does that gives the session to somebody else between two transactions
    cast("PostgresStore", stale._store)._connection.execute("SELECT pg_advisory_unlock_all()")
    new = open_ledger(elsewhere(in_database, tmp_path / "new"), signer)
    before = entries_in(in_database)

    first, error = commit(stale, outcome(1, 1))

    assert -1 == first
    assert error is not None
    assert ("LOG_UNAVAILABLE", 1) == (error.code, len(failures))
    assert "another process has taken this log over" in str(failures[0].detail)
    assert before == entries_in(in_database)
    assert (len(before), None) == commit(new, intent(2), outcome(2, -1))
    stale.close()
    new.close()


# ── what breaks ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_connection_refuses_everything_that_follows_and_the_next_start_goes_on(
    in_database: DatabaseLog, signer: FileSigner
) -> None:
    failures: list[AltarError] = []
    ledger = open_ledger(in_database, signer, failures=failures)
    commit(ledger, intent(1))
    assert 1 == end_sessions(in_database, name="altar host host-1")

    answers = [commit(ledger, outcome(1, 1)), commit(ledger, intent(2))]
    ledger.close()

    assert [(-1, failures[0])] * 2 == answers
    assert ("LOG_UNAVAILABLE", "no", 1) == (failures[0].code, failures[0].ran, len(failures))
    again = open_ledger(in_database, signer)
    again.close()
    assert ["start", "intent", "outcome", "start", "stop"] == [entry["kind"] for entry in entries_in(in_database)]


def test_a_commit_of_which_the_answer_was_lost_is_told_to_nobody_and_found_at_the_next_start(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    port = int(in_database.url.rpartition("@")[2].partition(":")[2].partition("/")[0])
    with AnswersOfCommitsLost(port) as proxy:
        through = replace(in_database, url=in_database.url.replace(f":{port}/", f":{proxy.port}/"))
        failures: list[AltarError] = []
        ledger = open_ledger(through, signer, failures=failures)
        proxy.losing.set()
        first, error = commit(ledger, intent(1))
        ledger.close()

    assert error is not None
    assert (-1, "LOG_UNAVAILABLE", 1) == (first, error.code, len(failures))
    assert "inv-1" == entries_in(in_database)[1]["invocation"]  # the server had done it
    again = open_ledger(in_database, signer)
    again.close()
    assert ["OUTCOME_UNKNOWN"] == [entry["code"] for entry in entries_in(in_database) if entry["kind"] == "outcome"]
    assert proved(in_database, signer, tmp_path).ok


class AnswersOfCommitsLost:
    """A relay in front of the server: once `losing` is set it ends a connection when the server answers a COMMIT."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.losing = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                committing = threading.Event()
                self._run(lambda c=client, s=server, e=committing: self._forward(c, s, e))  # type: ignore[misc]  # bound at once
                self._run(lambda c=client, s=server, e=committing: self._back(c, s, e))  # type: ignore[misc]  # bound at once

    def _forward(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.losing.is_set() and b"COMMIT\x00" in data:
                    committing.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _back(self, client: socket.socket, server: socket.socket, committing: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if committing.is_set():
                    break
                client.sendall(data)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_nothing_acknowledged_is_lost_when_the_server_crashes(tmp_path: Path, signer: FileSigner) -> None:
    with LocalPostgres(durable=True) as server:
        place = DatabaseLog(server.create_database(), ORIGIN, tmp_path / "ledger.db")
        ledger = open_ledger(place, signer, per_tenant=True)
        for number in range(20):
            assert commit(ledger, intent(number), outcome(number, -1), intent(100 + number))[1] is None
        server.crash()
        _, error = commit(ledger, intent(999))
        ledger.close()
        again = open_ledger(place, signer, per_tenant=True)
        again.close()
        entries = [entry for entry in entries_in(place) if entry["kind"] in {"intent", "outcome"}]
        out = tmp_path / "log.jsonl"
        with out.open("wb") as file:
            write_export(place, file, vkey=signer.vkey, tenant="acme")

    assert error is not None
    assert {f"inv-{n}" for n in (*range(20), *range(100, 120))} == {each["invocation"] for each in entries}
    assert 20 == sum(entry.get("code") == "OUTCOME_UNKNOWN" for entry in entries)
    assert verify(out, vkey=signer.vkey).ok


# ── thieves ──────────────────────────────────────────────────────────────────────────────────────────────


def proved(
    place: DatabaseLog, signer: FileSigner, folder: Path, *, since: str | None = None, tenant: str = ""
) -> Report:
    """What the auditor's program says of an export."""
    out = folder / "proved.jsonl"
    with out.open("wb") as file:
        write_export(place, file, vkey=signer.vkey, tenant=tenant)
    return verify(out, vkey=signer.vkey, since=since)


def a_log(place: DatabaseLog, signer: FileSigner, *, calls: int = 8) -> Ledger:
    ledger = open_ledger(place, signer, per_tenant=True)
    for number in range(calls):
        commit(ledger, intent(number), outcome(number, -1))
    commit(ledger, Event(event="app.last", subject="x"))
    return ledger


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = ''",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "UPDATE logs SET tenant = 'x'",
        "DELETE FROM checkpoints",
        "UPDATE writers SET number = 0",
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "DROP TABLE entries",
        "SELECT remove(0, 100, '{}')",
        "CREATE TABLE more (x int)",
        "INSERT INTO layout VALUES (7, 'x')",
    ],
)
def test_the_role_of_the_writer_can_change_and_remove_nothing(
    in_database: DatabaseLog, signer: FileSigner, statement: str
) -> None:
    a_log(in_database, signer, calls=1).close()

    with as_superuser(in_database) as thief:
        thief.execute("SET ROLE altar_ledger")
        assert thief.execute("SELECT count(*) FROM entries").fetchone() != (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            thief.execute(statement.encode())


def test_an_entry_that_a_thief_adds_stops_the_host_and_is_found(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    failures: list[AltarError] = []
    ledger = open_ledger(in_database, signer, failures=failures)
    commit(ledger, intent(1), outcome(1, -1))
    body = intent(66).encode(0)
    with as_superuser(in_database) as thief:
        thief.execute("SET ROLE altar_ledger")
        thief.execute("INSERT INTO entries VALUES (3, 3, NULL, %s, %s)", (body, leaf_hash(body)))

    _, error = commit(ledger, intent(2))
    ledger.close()

    assert error is not None
    assert "LOG_UNAVAILABLE" == error.code
    assert "UniqueViolation" in str(failures[0].detail)
    with pytest.raises(ConfigurationError, match="entry 3 is not what its leaf hash says"):
        open_ledger(in_database, signer)
    report = proved(in_database, signer, tmp_path)
    assert (1, 3) == (report.verified_size, report.unsigned_tail)
    assert "are not proved by any signature" in report.statement


@pytest.mark.parametrize("seal", [None, b"s" * 32])
def test_an_end_that_a_thief_writes_after_a_crash_is_not_taken_for_the_hosts_own(
    in_database: DatabaseLog, signer: FileSigner, seal: bytes | None
) -> None:
    """No checkpoint covers it, and every hash is right: only the host's key for the database tells it apart."""
    ledger = open_ledger(in_database, signer)
    commit(ledger, intent(1), outcome(1, -1))
    crash(ledger)
    body, tree = intent(66).encode(0), Frontier()
    tree.extend([leaf_hash(stored) for (stored,) in rows(in_database, "SELECT body FROM entries ORDER BY seq")])
    with as_superuser(in_database) as thief:
        thief.execute("SET ROLE altar_ledger")
        thief.execute("INSERT INTO entries VALUES (3, 3, NULL, %s, %s, %s)", (body, tree.push(leaf_hash(body)), seal))

    with pytest.raises(ConfigurationError, match="an entry from 3 to 3 was not written by this host") as caught:
        open_ledger(in_database, signer)

    assert "LOG_DAMAGED" == caught.value.code


def test_an_end_that_a_thief_rewrites_after_a_crash_is_found(in_database: DatabaseLog, signer: FileSigner) -> None:
    ledger = open_ledger(in_database, signer)
    for number in range(300):
        ledger.commit([intent(number), outcome(number, -1)], lambda _seq, _error: None)
    commit(ledger, intent(1000))
    crash(ledger)
    open_ledger(in_database, signer).close()  # as it was written it goes on, over many transactions
    ledger = open_ledger(in_database, signer)
    commit(ledger, intent(1), intent(2))
    crash(ledger)
    tree = Frontier()
    with as_superuser(in_database) as thief:
        for seq, body in thief.execute("SELECT seq, body FROM entries ORDER BY seq").fetchall():
            forged = body.replace(b'"inv-2"', b'"inv-9"') if seq > 603 else body
            hashes = tree.push(leaf_hash(forged))
            if forged != body:
                thief.execute("UPDATE entries SET body = %s, hashes = %s WHERE seq = %s", (forged, hashes, seq))

    with pytest.raises(ConfigurationError, match="was not written by this host"):
        open_ledger(in_database, signer)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE entries SET body = '{}' WHERE seq = 5", "entry 5 is not what its leaf hash says"),
        ("DELETE FROM entries WHERE place = (1::bigint << 40) + 4", "entry 4 of the log of 'acme' is missing"),
        ("DELETE FROM entries WHERE place >> 40 = 1", "its checkpoint covers 3 entries, 0 are there"),
        ("DELETE FROM checkpoints", "has entries but no checkpoint"),
        ("DELETE FROM logs WHERE log = 1", "its logs have"),
        ("UPDATE logs SET tenant = 'evil' WHERE log = 1", "is the log 'altar.local/host-1/acme'"),
        ("UPDATE checkpoints SET note = ''", "is malformed"),
        ("UPDATE entries SET hashes = substr(hashes, 2) WHERE seq = 0", "is not stored whole"),
        ("DROP TABLE checkpoints CASCADE", "the database cannot be read"),
    ],
)
def test_a_host_does_not_go_on_from_what_the_owner_of_the_tables_changed(
    in_database: DatabaseLog, signer: FileSigner, change: str, words: str
) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True)
    for number in range(8):
        commit(ledger, intent(number), outcome(number, -1))
    crash(ledger)
    with as_superuser(in_database) as thief:
        thief.execute(change.encode())
    try:
        with pytest.raises(ConfigurationError, match=words) as caught:
            open_ledger(in_database, signer, per_tenant=True)
    finally:
        if change.startswith("DROP"):
            with as_superuser(in_database) as thief:
                thief.execute(f"DROP SCHEMA {SCHEMA}, {SCHEMA}_read CASCADE".encode())

    assert "LOG_DAMAGED" == caught.value.code or "is the log" in words
    assert f"run `altar audit verify {in_database}`" not in str(caught.value.hint)


def test_a_thief_of_the_database_cannot_rewrite_history_that_verifies(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    """The thief owns the tables, and makes every hash above the forged entry anew; only the signature is missing."""
    a_log(in_database, signer).close()
    with as_superuser(in_database) as thief:
        stored = thief.execute("SELECT seq, body FROM entries WHERE place >> 40 = 1 ORDER BY place").fetchall()
        tree = Frontier()
        for seq, body in stored:
            forged = body.replace(b"get_weather", b"get_nothing") if b"inv-3" in body else body
            hashes = tree.push(leaf_hash(forged))
            thief.execute("UPDATE entries SET body = %s, hashes = %s WHERE seq = %s", (forged, hashes, seq))

    report = proved(in_database, signer, tmp_path, tenant="acme")

    assert not report.ok
    assert "states another root" in " ".join(finding.what for finding in report.findings)
    with pytest.raises(ConfigurationError, match="states another tree"):
        open_ledger(in_database, signer, per_tenant=True)


def test_a_log_that_a_thief_rolled_back_with_its_checkpoints_is_found_with_a_checkpoint_kept_elsewhere(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    a_log(in_database, signer, calls=2).close()
    with LogReader.open(in_database) as reader:
        shorter = max(row.seq for row in reader.rows())
    a_log(in_database, signer, calls=5).close()
    with LogReader.open(in_database) as reader:
        kept = reader.checkpoint("acme").decode()
    with as_superuser(in_database) as thief:
        thief.execute("DELETE FROM entries WHERE seq > %s", (shorter,))
        thief.execute(
            "DELETE FROM checkpoints c WHERE (place & 1099511627775) >"
            " (SELECT count(*) FROM entries e WHERE e.place >> 40 = c.place >> 40)"
        )

    assert proved(in_database, signer, tmp_path, tenant="acme").ok  # on its own it is what was signed once
    report = proved(in_database, signer, tmp_path, tenant="acme", since=kept)
    assert not report.ok


def test_a_reader_for_one_tenant_sees_no_other_whatever_it_asks(in_database: DatabaseLog, signer: FileSigner) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True)
    commit(ledger, intent(1, tenant="acme"), intent(2, tenant="globex"), outcome(1, -2))
    ledger.close()

    reading = PostgresReading(in_database, tenant="acme")
    try:
        reader = LogReader(reading, str(in_database))
        assert ["acme"] == [log.tenant for log in reader.logs()]
        bodies = [body for _, body in reader.entries("acme")]
        assert bodies
        assert len(reader.inclusion("acme", 1, len(bodies)))
        for sql in ("SELECT body FROM entries", "SELECT note FROM checkpoints", "SELECT tenant FROM logs"):
            assert b"globex" not in b"".join(found for (found,) in reading.execute(sql).fetchall())
        assert len(bodies) == reading.execute("SELECT count(*) FROM entries").fetchone()[0]
        for table in ("entries", "logs", "checkpoints", "subjects", "writers"):
            with pytest.raises(ConfigurationError, match="may not do what is needed"):
                reading.execute(f"SELECT * FROM {SCHEMA}.{table}")
    finally:
        reading.close()
    for nobody in ("", "evil"):
        reading = PostgresReading(in_database, tenant=nobody)
        assert [] == reading.execute("SELECT * FROM entries").fetchall()
        reading.close()


def test_a_login_without_the_roles_is_told_whom_to_ask(
    in_database: DatabaseLog, postgres: LocalPostgres, tmp_path: Path
) -> None:
    with as_superuser(in_database) as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain-word'")
    netloc = in_database.url.partition("@")[2]
    url = f"postgresql://plain:plain-word@{netloc}"
    PostgresStore(in_database).close()

    with pytest.raises(ConfigurationError, match=r"no member of altar_ledger|may not do what is needed") as caught:
        PostgresStore(DatabaseLog(url, ORIGIN, tmp_path / "a.db"))
    with pytest.raises(ConfigurationError, match="no member of altar_owner"):
        PostgresStore(DatabaseLog(url, "altar.local/new", tmp_path / "b.db"))
    with as_superuser(in_database) as connection:
        connection.execute("GRANT altar_ledger TO plain")
    writer = PostgresStore(DatabaseLog(url, ORIGIN, tmp_path / "a.db"))  # its tables are there: that is all it needs
    writer.append([row(0)])
    writer.close()

    assert "altar store roles" in str(caught.value.hint)


# ── what lies beside the log ─────────────────────────────────────────────────────────────────────────────


def test_who_a_pseudonym_stands_for_outlives_the_disk_of_the_host(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    first = open_ledger(in_database, signer, per_tenant=True, pseudonyms=True)
    assert first.subjects is not None
    known = first.subjects.of("acme", "acme/alice")
    first.close()

    again = open_ledger(elsewhere(in_database, tmp_path / "new"), signer, per_tenant=True, pseudonyms=True)
    assert again.subjects is not None
    assert known == again.subjects.of("acme", "acme/alice")
    assert ("acme", "acme/alice") == again.subjects.name_of(known.pseudonym)
    again.close()


def test_a_thief_of_the_database_learns_neither_names_nor_pseudonyms_nor_keys(
    in_database: DatabaseLog, signer: FileSigner
) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True, pseudonyms=True)
    assert ledger.subjects is not None
    known = ledger.subjects.of("acme", "acme/alice")
    ledger.close()

    ((lookup, sealed),) = rows(in_database, "SELECT lookup, sealed FROM subjects")

    for secret in (b"alice", known.pseudonym.encode(), known.key, known.key.hex().encode(), b"acme"):
        assert secret not in lookup + sealed
    with pytest.raises(ConfigurationError, match="were not sealed with this host's key") as caught:
        open_ledger(replace(in_database, key=b"o" * 32), signer, per_tenant=True, pseudonyms=True)
    assert "INVALID_CONFIG" == caught.value.code


def test_whoever_is_forgotten_stays_forgotten_on_a_new_disk(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True, pseudonyms=True)
    assert ledger.subjects is not None
    alice, bob = ledger.subjects.of("acme", "acme/alice"), ledger.subjects.of("acme", "acme/bob")

    assert ledger.subjects.destroy("acme", "acme/alice")
    ledger.close()

    again = open_ledger(elsewhere(in_database, tmp_path / "new"), signer, per_tenant=True, pseudonyms=True)
    assert again.subjects is not None
    assert again.subjects.name_of(alice.pseudonym) is None
    assert ("acme", "acme/bob") == again.subjects.name_of(bob.pseudonym)
    assert alice != again.subjects.of("acme", "acme/alice")
    again.close()


def test_a_copy_that_a_thief_of_the_database_puts_back_brings_nobody_back_who_was_forgotten(
    in_database: DatabaseLog, signer: FileSigner
) -> None:
    ledger = open_ledger(in_database, signer, per_tenant=True, pseudonyms=True)
    assert ledger.subjects is not None
    alice = ledger.subjects.of("acme", "acme/alice")
    ((lookup, sealed),) = rows(in_database, "SELECT lookup, sealed FROM subjects")
    commit(ledger, Event(event="admin.subject_forgotten", subject=alice.pseudonym, tenant="acme"))
    ledger.subjects.destroy("acme", "acme/alice")
    ledger.close()
    with as_superuser(in_database) as thief:
        thief.execute("SET ROLE altar_ledger")
        thief.execute("INSERT INTO subjects VALUES (%s, %s)", (lookup, sealed))

    ledger = open_ledger(in_database, signer, per_tenant=True, pseudonyms=True)
    assert ledger.subjects is not None
    assert ledger.subjects.name_of(alice.pseudonym) is None
    ledger.close()
    assert [] == rows(in_database, "SELECT lookup FROM subjects")


def test_the_key_of_a_database_is_made_once_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.database-key"

    made = read_database_key(file)

    assert (32, made, 0o600) == (len(made), read_database_key(file), file.stat().st_mode & 0o777)
    file.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="has 5 bytes, not 32"):
        read_database_key(file)


def test_a_key_that_was_claimed_is_still_claimed_when_the_results_are_lost(
    in_database: DatabaseLog, signer: FileSigner, tmp_path: Path
) -> None:
    ledger = open_ledger(in_database, signer)
    assert not ledger.has_results
    ledger.results.begin(0)
    commit(ledger, intent(7, key="once"), outcome(7, -1))
    ledger.close()

    again = open_ledger(elsewhere(in_database, tmp_path / "new"), signer)
    assert again.has_results
    floor, kept = again.results.load()
    claims = list(again.claims(floor=floor))
    again.close()

    assert (0, {}) == (floor, kept)
    assert ["inv-7"] == [claim.invocation for claim in claims]


def test_a_reader_says_so_when_its_connection_is_lost(in_database: DatabaseLog, signer: FileSigner) -> None:
    open_ledger(in_database, signer).close()
    with LogReader.open(in_database) as reader:
        assert end_sessions(in_database, name="altar reader")
        with pytest.raises(ExecutionError, match="cannot be read now") as caught:
            reader.logs()

    assert "LOG_UNAVAILABLE" == caught.value.code
