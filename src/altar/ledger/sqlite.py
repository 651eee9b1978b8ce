"""The rows of a host's logs in one SQLite database, written by one process at a time (format 2).

Rows are only ever added; the one change is `remove`, which empties the bodies of entries past their retention.
Entries stand in the order in which they were committed, whichever log they are of; that place is their ``seq``.
A ``place`` is where an entry stands in its own log: the number of the log times 2^40, and the position in it.
Beside each entry are its leaf hash and the nodes of the tree that it completes, so that every node is kept once.
One `append` is one transaction, synced to the disk before it returns.
The layout of the file is a public format: an auditor's program reads it without SQLite.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.ledger.log_store import KEPT, LOG_BITS, StoredCheckpoint, StoredLog, StoredRows, range_of

__all__ = [
    "APPLICATION_ID",
    "DDL",
    "USER_VERSION",
    "Connection",
    "FileLock",
    "SqliteStore",
    "connect_sqlite",
    "damaged",
    "translated",
]

APPLICATION_ID = 0x414C5452  # "ALTR"
USER_VERSION = 2
DDL = (
    "CREATE TABLE logs (log INTEGER PRIMARY KEY, tenant BLOB NOT NULL)",
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, place INTEGER NOT NULL, body BLOB NOT NULL, hashes BLOB NOT NULL)",
    "CREATE TABLE places (place INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE checkpoints (place INTEGER PRIMARY KEY, note BLOB NOT NULL)",
)


class Connection(Protocol):
    """The little that is asked of a database connection; `sqlite3` gives it, and so do others."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Iterator[Any]:
        """Run one statement and iterate over its rows."""

    def close(self) -> None:
        """Let go of the database."""


def connect_sqlite(path: str) -> Connection:
    """Open a database with Python's own `sqlite3`, leaving transactions to the caller.

    The write-ahead log is moved into the file every 4000 pages (16 MB).
    At SQLite's own 1000 the slowest commits took twice as long.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=300)
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    return connection


class SqliteStore(StoredRows):
    """The tables of a host's logs in one file, held by this process alone until `close`; a `LogStore`.

    Not safe for several threads at once; the ledger's writer thread is the only one to use it.
    """

    def __init__(self, path: str | Path, *, connect: Callable[[str], Connection] = connect_sqlite) -> None:
        """Open the log at `path`, or prepare a new one there.

        `connect` opens the database; another one may be given to reach a different file system.
        Raises `ConfigurationError`: ENVIRONMENT_ERROR when the file is in use or out of reach,
        LOG_DAMAGED when it is not an intact log, INVALID_CONFIG when a newer ALTAR wrote it.
        """
        self.path = os.path.realpath(path)
        self._new = False
        self._lock = FileLock(self.path)
        try:
            _make_private(self.path)
            with translated(self.path):
                self._connection = connect(self.path)
        except BaseException:
            self._lock.release()
            raise
        try:
            with translated(self.path):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def append(
        self,
        rows: Sequence[tuple[int, int, bytes, bytes]],
        *,
        outcomes: Sequence[tuple[int, int]] = (),
        checkpoints: Sequence[StoredCheckpoint] = (),
        logs: Sequence[StoredLog] = (),
    ) -> None:
        """Add entries, (intent, seq) pairs, checkpoints and logs in one transaction, durable on return.

        On any failure nothing of it is recorded, and the database's own error is raised.
        """
        execute = self._connection.execute
        places = sorted([(place, seq) for seq, place, _, _ in rows])
        execute("BEGIN IMMEDIATE")
        try:
            if self._new:
                for statement in DDL:
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION_ID}")
                execute(f"PRAGMA user_version = {USER_VERSION}")
            _insert(execute, "logs", 2, [value for each in logs for value in (each.log, each.tenant.encode())])
            _insert(execute, "entries", 4, list(chain.from_iterable(rows)))
            _insert(execute, "places", 2, list(chain.from_iterable(places)))
            _insert(execute, "outcomes", 2, list(chain.from_iterable(outcomes)))
            signed = [value for each in checkpoints for value in (each.log << LOG_BITS | each.size, each.note)]
            _insert(execute, "checkpoints", 2, signed)
            execute("COMMIT")
        except BaseException:
            # The first error is the one to tell; a broken disk may refuse the rollback as well.
            with contextlib.suppress(Exception):
                execute("ROLLBACK")
            raise
        self._new = False

    def database_version(self) -> int:
        """Give SQLite's version as one number, 3040001 for 3.40.1."""
        ((version,),) = self._connection.execute("SELECT sqlite_version()")
        major, minor, patch = (int(part) for part in version.split(".")[:3])
        return major * 1_000_000 + minor * 1_000 + patch

    def require_own(self, places: Sequence[int]) -> None:
        """Do nothing: who can write to the file of this user has taken over more than the log."""

    def remove(self, log: int, start: int, stop: int) -> int:
        """Empty the bodies of entries, see `LogStore`; what SQLite had of them in its pages is written over."""
        execute = self._connection.execute
        first, after = range_of(log)
        first, after = first + max(0, start), min(first + max(0, stop), after)
        keep = " ".join("AND NOT instr(body, ?)" for _ in KEPT)
        where = f"WHERE seq IN (SELECT seq FROM places WHERE place >= ? AND place < ?) AND length(body) > 0 {keep}"  # noqa: S608 - our own words
        execute("BEGIN IMMEDIATE")
        try:
            ((count,),) = execute(f"SELECT count(*) FROM entries {where}", (first, after, *KEPT))  # noqa: S608 - our own words
            execute(f"UPDATE entries SET body = x'' {where}", (first, after, *KEPT))  # noqa: S608 - our own words
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                execute("ROLLBACK")
            raise
        list(execute("PRAGMA wal_checkpoint(TRUNCATE)"))  # while somebody reads, what was removed is still in there
        return int(count)

    def close(self) -> None:
        """Move what is in the write-ahead log into the database file and let go of both; never raises.

        The log is complete without this step: it only leaves one tidy file behind.
        """
        with contextlib.suppress(Exception):
            list(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        with contextlib.suppress(Exception):
            self._connection.close()
        self._lock.release()

    def _prepare(self) -> None:
        """Set what holds for the connection, and check or set what holds for the file."""
        for pragma in (
            "busy_timeout = 5000",
            "page_size = 4096",
            "auto_vacuum = NONE",
            "secure_delete = ON",  # or what is removed one day would still be in pages that were split before
        ):
            list(self._connection.execute(f"PRAGMA {pragma}"))
        objects = self._select("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")
        self._new = not objects and self._pragma("application_id") == 0
        if not self._new:
            self._check_layout(objects)
        ((mode,),) = self._connection.execute("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The folder of {self.path!r} cannot hold a write-ahead log",
                hint="put the ledger on a local disk",
            )
        list(self._connection.execute("PRAGMA synchronous = FULL"))

    def _check_layout(self, objects: Sequence[tuple[str, str, str]]) -> None:
        if self._pragma("application_id") != APPLICATION_ID:
            raise damaged(self.path, "it is another program's database")
        version = self._pragma("user_version")
        if version > USER_VERSION:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The ledger {self.path!r} has format {version}, this ALTAR knows {USER_VERSION}",
                hint="open it with the newer ALTAR that wrote it",
            )
        if version != USER_VERSION:
            raise damaged(self.path, f"its format number is {version}")
        expected = [("table", statement.split(" ")[2], statement) for statement in DDL]
        if [tuple(row) for row in objects] != expected:
            raise damaged(self.path, "its tables are not those of a log")
        if self._pragma("page_size") != 4096 or self._pragma("auto_vacuum") != 0:
            raise damaged(self.path, "its pages are not those of a log")

    def _pragma(self, name: str) -> int:
        ((value,),) = self._connection.execute(f"PRAGMA {name}")
        return int(value)

    def _select(self, sql: str, *parameters: int) -> list[Any]:
        with translated(self.path):
            return list(self._connection.execute(sql, parameters))


def damaged(path: str, what: str, *, detail: str | None = None) -> ConfigurationError:
    """Make the error for a log that is not as it was written; `what` says what is wrong with it."""
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The ledger {path!r} is damaged: {what}",
        hint="export it, and run `altar audit verify` on that file to see which entries are affected"
        if path.startswith("postgresql://")
        else f"run `altar audit verify {path}` to see which entries are affected",
        detail=detail,
    )


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn the database's errors into ours; errors of ours pass."""
    try:
        yield
    except AltarError:
        raise
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGE:
            raise damaged(path, "the database cannot be read", detail=str(error)) from error
        raise ExecutionError(
            "LOG_UNAVAILABLE", f"The ledger {path!r} cannot be read now", ran="no", detail=str(error)
        ) from error


class FileLock:
    """Keeps a second writer out, in this process or another, until released or the process ends."""

    def __init__(self, path: str) -> None:
        import fcntl

        self._path = f"{path}.lock"
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _out_of_reach(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The ledger {path!r} is in use by process {owner or 'unknown'}",
                hint="stop that host first, or give this one a ledger of its own",
            ) from error
        # The number is only for the message above: a full disk shows itself at the first entry.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others open the file; calling it again does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _make_private(path: str) -> None:
    """Make an empty file that only its owner can read, unless there is one; SQLite copies its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _out_of_reach(path, error) from error


def _out_of_reach(path: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The ledger {path!r} cannot be opened: {error.strerror}",
        hint="its folder must exist and may be written by this user",
    )


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_ROWS_A_STATEMENT = 256


def _insert(execute: Callable[..., object], table: str, width: int, values: Sequence[object]) -> None:
    """Insert rows, many in one statement.

    Each statement lets other threads run once, so that few statements mean few waits for the interpreter.
    """
    step = _ROWS_A_STATEMENT * width
    row = f"({','.join('?' * width)})"
    for at in range(0, len(values), step):
        part = values[at : at + step]
        rows = ",".join([row] * (len(part) // width))
        execute(f"INSERT INTO {table} VALUES {rows}", part)  # noqa: S608 - made of our own words and marks only
