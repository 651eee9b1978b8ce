"""The rows of a host's logs in PostgreSQL, written by one process at a time.

One `append` is one transaction with one COPY of all entries, synced by the server before it returns.
Two hosts cannot own one log: the session of the writer holds a lock of the server, and each transaction asks whether a
later writer has taken the log over, behind a second lock that the later one waits for.
So a writer whose session was ended, or that sits behind a pool that swaps sessions, can write nothing more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import psycopg

from altar.adm.errors import ConfigurationError
from altar.ledger.keyed_hash import mac
from altar.ledger.log_store import KEPT, LOG_BITS, StoredCheckpoint, StoredLog, StoredRows, range_of
from altar.ledger.places import DatabaseLog
from altar.ledger.postgres_schema import (
    OPERATOR,
    READER,
    WRITER,
    connect,
    explained,
    key_of,
    open_schema,
    require_schema,
    schema_of,
)
from altar.ledger.sqlite import FileLock, damaged

__all__ = ["PostgresReading", "PostgresStore", "PostgresSubjects"]

_log = logging.getLogger(__name__)


class PostgresStore(StoredRows):
    """The tables of a host's logs in PostgreSQL, held by this process alone until `close`; a `LogStore`.

    Not safe for several threads at once; the ledger's writer thread is the only one to use it.
    """

    def __init__(
        self, place: DatabaseLog, *, name: str = "altar host", patience: timedelta = timedelta(seconds=3)
    ) -> None:
        """Open the log at `place`, or make its tables; `name` is told to the server, for whoever looks there.

        The files beside the log are held for this process too.
        `patience` is how long a host that holds the log is given to leave.
        Raises `ConfigurationError`: ENVIRONMENT_ERROR when the log is in use, out of reach or not prepared,
        INVALID_CONFIG when a newer ALTAR made its tables.
        """
        self.path = str(place)
        self._place = place
        self._lock = FileLock(os.path.realpath(place.beside))
        try:
            self._connection = connect(place, name=name)
        except BaseException:
            self._lock.release()
            raise
        try:
            with explained(place):
                open_schema(self._connection, place)
                self._require_durable()
                self._own(patience)
                number = self._take_over(name)
        except BaseException:
            self.close()
            raise
        self._begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT still({number})".encode()

    def append(
        self,
        rows: Sequence[tuple[int, int, bytes, bytes]],
        *,
        outcomes: Sequence[tuple[int, int]] = (),
        checkpoints: Sequence[StoredCheckpoint] = (),
        logs: Sequence[StoredLog] = (),
    ) -> None:
        """Add entries, (intent, seq) pairs, checkpoints and logs in one transaction, durable on return.

        On any failure the database's own error is raised, also when another process has taken the log over.
        A connection that is lost while the server commits leaves it open whether this is recorded: nobody may rely
        on it, and the next start finds what there is.
        """
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._begin)
            if logs:
                _copy(cursor, b"logs", [_LOG.pack(2, 8, each.log, len(t := each.tenant.encode())) + t for each in logs])
            if rows:
                seal = _seal(self._place.key, rows)
                _copy(cursor, b"entries", _entries(rows, {seq: intent for intent, seq in outcomes}, seal))
            if checkpoints:
                signed = [((each.log << LOG_BITS) | each.size, each.note) for each in checkpoints]
                _copy(cursor, b"checkpoints", [_LOG.pack(2, 8, at, len(note)) + note for at, note in signed])
            cursor.execute(b"COMMIT")
            if cursor.statusmessage != "COMMIT":
                raise psycopg.OperationalError(f"the server answered {cursor.statusmessage!r} to COMMIT")
        except BaseException:
            # The first error is the one to tell; a lost connection refuses the rollback as well.
            with contextlib.suppress(Exception):
                cursor.execute(b"ROLLBACK")
            raise

    def require_own(self, places: Sequence[int]) -> None:
        """Prove the seal of every transaction with an entry at one of these places or later, see `LogStore`.

        Without a key nothing is proved.
        """
        if not (places and self._place.key):
            return
        marks = ",".join("?" * len(places))
        ((first,),) = self._select(f"SELECT min(seq) FROM entries WHERE place IN ({marks})", *places)  # noqa: S608 - marks
        before = self._select(
            "SELECT seq FROM entries WHERE seq < ? AND seal IS NOT NULL ORDER BY seq DESC LIMIT 1", first
        )
        rows: list[tuple[int, int, bytes, bytes]] = []
        for seq, place, hashes, seal in self._seals_from(before[0][0] + 1 if before else 0):
            rows.append((seq, place, b"", hashes))
            if seal is not None:
                if not compare_digest(seal, _seal(self._place.key, rows)):
                    break
                rows.clear()
        if rows:
            raise damaged(self.path, f"an entry from {rows[0][0]} to {rows[-1][0]} was not written by this host")

    def _seals_from(self, at: int) -> Iterator[tuple[int, int, bytes, bytes | None]]:
        """Read where entries stand, their hashes and their seals, in the order of commits."""
        while True:
            found = self._select(
                "SELECT seq, place, hashes, seal FROM entries WHERE seq >= ? ORDER BY seq LIMIT 512", at
            )
            yield from found
            if not found:
                return
            at = found[-1][0] + 1

    def remove(self, log: int, start: int, stop: int) -> int:
        """Empty the bodies of entries, see `LogStore`; done in the role of administration, the writer's own may not.

        The server writes over what it had of them when it next vacuums the table.
        """
        first, after = range_of(log)
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._begin)
            cursor.execute(f"SET LOCAL ROLE {OPERATOR}".encode())
            places = (first + max(0, start), min(first + max(0, stop), after))
            row = cursor.execute("SELECT remove(%s, %s, %s)", (*places, list(KEPT))).fetchone()
            cursor.execute(b"COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                cursor.execute(b"ROLLBACK")
            raise
        assert row is not None  # noqa: S101 - a function gives one row
        return int(row[0])

    def database_version(self) -> int:
        """Give the server's version as one number, 150018 for 15.18."""
        return self._connection.info.server_version

    def close(self) -> None:
        """End the session, which lets others open the log; never raises."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
        self._lock.release()

    def _require_durable(self) -> None:
        """Let no commit of this session return before it is on the server's disk."""
        ((mode,),) = self._select("SELECT current_setting('synchronous_commit')")
        if mode == "off":
            self._connection.execute("SET synchronous_commit = on")
        ((synced,),) = self._select("SELECT current_setting('fsync')")
        if synced != "on":
            _log.warning("the server of the log does not sync: entries are lost when it loses power")

    def _own(self, patience: timedelta) -> None:
        """Take the lock of this log; that of a process that has just ended is free within a moment."""
        key = key_of(self._place.origin, "owner")
        try:
            milliseconds = str(max(1, int(patience / timedelta(milliseconds=1))))
            self._connection.execute("SELECT set_config('lock_timeout', %s, false)", (milliseconds,))
            self._connection.execute("SELECT pg_advisory_lock(%s)", (key,))
            self._connection.execute("SET lock_timeout = 0")
        except psycopg.errors.LockNotAvailable as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The ledger {self.path!r} is in use by another host",
                hint="stop that host first, or give this one a name of its own",
            ) from error

    def _take_over(self, name: str) -> int:
        """Note that this is the writer now; whoever was it before can write nothing more."""
        with self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (key_of(self._place.origin, "append"),))
            row = self._connection.execute(
                "INSERT INTO writers (number, host) SELECT coalesce(max(number), 0) + 1, %s FROM writers"
                " RETURNING number",
                (name,),
            ).fetchone()
        assert row is not None  # noqa: S101 - RETURNING gives the row
        return int(row[0])

    def _select(self, sql: str, *parameters: int) -> list[Any]:
        with explained(self._place):
            return self._connection.execute(_marked(sql), parameters).fetchall()


class PostgresReading:
    """A connection for whoever only reads a log, of the little that `LogReader` asks of one of SQLite."""

    def __init__(self, place: DatabaseLog, *, tenant: str | None = None) -> None:
        """Open the log at `place`; with a `tenant` the server itself lets nothing be seen but that tenant's log.

        Raises ConfigurationError ENVIRONMENT_ERROR when there is none, or it is out of reach.
        """
        self._place = place
        schema = schema_of(place.origin) if tenant is None else f"{schema_of(place.origin)}_read"
        self._connection = connect(place, name="altar reader", schema=schema, read_only=True)
        try:
            with explained(place):
                require_schema(self._connection, place, role=WRITER if tenant is None else READER, tenant=tenant or "")
        except BaseException:
            self._connection.close()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> _Found:
        """Run one statement, whose parameters are marked with ``?``, and give what has its rows."""
        with explained(self._place):
            cursor = self._connection.execute(_marked(sql), parameters)
            return _Found(cursor.fetchall() if cursor.description else ())

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


class _Found:
    """The rows that a statement gave."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class PostgresSubjects:
    """The table of the sealed copies of subjects, over a connection of its own; `SubjectRows`."""

    def __init__(self, place: DatabaseLog) -> None:
        """Open the table of the log at `place`, which has been made."""
        self._place = place
        self._connection = connect(place, name="altar subjects")
        with explained(place):
            self._connection.execute(f"SET ROLE {WRITER}".encode())

    def every(self) -> Iterator[tuple[bytes, bytes]]:
        """Give all rows; memory does not grow with them."""
        with explained(self._place), self._connection.transaction(), self._connection.cursor(name="subjects") as cursor:
            cursor.itersize = 4096
            yield from cursor.execute("SELECT lookup, sealed FROM subjects")

    def put(self, lookup: bytes, sealed: bytes) -> None:
        """Add a row, in the place of one that is there."""
        with explained(self._place), self._connection.transaction():
            self._connection.execute("DELETE FROM subjects WHERE lookup = %s", (lookup,))
            self._connection.execute("INSERT INTO subjects VALUES (%s, %s)", (lookup, sealed))

    def remove(self, lookup: bytes) -> None:
        """Take a row away, if it is there."""
        with explained(self._place):
            self._connection.execute("DELETE FROM subjects WHERE lookup = %s", (lookup,))

    def close(self) -> None:
        """End the session."""
        self._connection.close()


_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"
_LOG = struct.Struct(">hiqi")
_ENTRY, _ANSWER = struct.Struct(">hiqiqii"), struct.Struct(">hiqiqiqi")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)


def _copy(cursor: psycopg.Cursor[Any], table: bytes, rows: list[bytes]) -> None:
    """Insert rows that are in PostgreSQL's binary format."""
    with cursor.copy(b"COPY " + table + b" FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"".join([_HEAD, *rows, _END]))


def _entries(rows: Sequence[tuple[int, int, bytes, bytes]], intents: dict[int, int], seal: bytes) -> list[bytes]:
    """Write entries as COPY wants them: seq, place, the intent that an outcome answers or NULL, body, hashes, seal.

    The last has the seal of them all, the others NULL.
    """
    written: list[bytes] = []
    entry, answer, length, intent_of = _ENTRY.pack, _ANSWER.pack, _LENGTH.pack, intents.get
    for seq, place, body, hashes in rows:
        intent = intent_of(seq)
        if intent is None:
            written.append(entry(6, 8, seq, 8, place, -1, len(body)))
        else:
            written.append(answer(6, 8, seq, 8, place, 8, intent, len(body)))
        written += (body, length(len(hashes)), hashes, _NULL)
    if seal:
        written[-1] = length(len(seal)) + seal
    return written


def _seal(key: bytes, rows: Sequence[tuple[int, int, bytes, bytes]]) -> bytes:
    """Authenticate the entries of one transaction: where they stand and what they hash to; b"" without a key."""
    if not key:
        return b""
    said = sha256(struct.pack(f">{len(rows) + 1}q", rows[0][0], *[row[1] for row in rows]))
    said.update(b"".join([row[3] for row in rows]))
    return mac(sha256(b"altar append\x00" + key).digest(), said.digest())


def _marked(sql: str) -> bytes:
    """Give a statement of `LogReader` as PostgreSQL has it."""
    return sql.replace("%", "%%").replace("?", "%s").replace(" CROSS JOIN ", " JOIN ").encode()
