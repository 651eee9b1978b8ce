"""An index beside the log, so that a question about a million entries is answered without reading them all.

It says where to look, never what is there: whoever uses it reads the entry itself from the log.
It holds digests of names and ids, not the names, and no payloads.
It may be deleted at any time, and is made anew from the log; a log that is not the one it was made from is noticed by
the last entry it has seen, and is indexed from the beginning.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.aesp.audit.asked import Query
from altar.aesp.audit.record import Log, Record, Records

__all__ = ["Index", "Place"]

APPLICATION_ID = 0x414C4958  # "ALIX"
VERSION = 1
BATCH = 5_000
BULK = 50_000
"""With more entries than this to take in, the trees of the index are made once at the end."""
_TREES = ("principal", "tool", "session", "correlation", "invocation", "code", "outcome", "event")
_LOGS = "CREATE TABLE logs (log INTEGER PRIMARY KEY, origin TEXT NOT NULL, next INTEGER NOT NULL, last BLOB NOT NULL)"
_PLACES = (
    "CREATE TABLE places (time INTEGER NOT NULL, log INTEGER NOT NULL, position INTEGER NOT NULL, event TEXT NOT NULL,"
    " principal INTEGER NOT NULL, tool INTEGER NOT NULL, session INTEGER NOT NULL, correlation INTEGER NOT NULL,"
    " invocation INTEGER NOT NULL, code INTEGER NOT NULL, outcome INTEGER NOT NULL,"
    " PRIMARY KEY (time, log, position)) WITHOUT ROWID"
)
_INSERT = "INSERT OR REPLACE INTO places VALUES (?,?,?,?,?,?,?,?,?,?,?)"


class Place(NamedTuple):
    """Where an entry stands: its time in milliseconds since 1970, the number of its log, its position there."""

    time_ms: int
    log: int
    position: int


class Index:
    """The file of an index. For one thread; several processes may have it open."""

    def __init__(self, path: str | Path) -> None:
        """Open the index, or begin a new one where there is none or none that can be read.

        Raises ConfigurationError ENVIRONMENT_ERROR when the place cannot be written to.
        """
        self.path = Path(path)
        try:
            self._db = self._opened()
        except sqlite3.DatabaseError:
            self._remove()
            self._db = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def rebuild(self, records: Records, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Forget everything and take in the whole log again; gives the number of entries."""
        with self._transaction():
            self._db.execute("DELETE FROM logs")
            self._db.execute("DELETE FROM places")
        return self.catch_up(records, progress=progress)

    def catch_up(self, records: Records, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Take in what the logs have got since the last time; gives the number of entries taken in.

        `progress(done, total)` is told after each batch.
        """
        logs = [(log, self._begin(records, log)) for log in records.reader.logs()]
        total = sum(max(0, log.size - start) for log, start in logs)
        done = 0
        bulk = total > BULK
        if bulk:
            self._drop_trees()
        for log, start in logs:
            for at in range(start, log.size, BATCH):
                done += self._take(records, log, at, min(at + BATCH, log.size))
                if progress is not None:
                    progress(done, total)
        self._make_trees()
        return done

    def places(self, query: Query, logs: Sequence[int], *, after: Place | None) -> Iterator[Place]:
        """Give where entries may be that a query asks for, in its order; those behind `after` only."""
        conditions, values = _conditions(query, logs)
        order, sign = ("DESC", "<") if query.newest_first else ("ASC", ">")
        while True:
            where = [*conditions, *([f"(time, log, position) {sign} (?, ?, ?)"] if after is not None else [])]
            sql = (
                "SELECT time, log, position FROM places"  # noqa: S608 - made of our own words and marks only
                + (f" WHERE {' AND '.join(where)}" if where else "")
                + f" ORDER BY time {order}, log {order}, position {order} LIMIT 512"
            )
            found = self._select(sql, [*values, *(after or ())])
            for row in found:
                after = Place(*row)
                yield after
            if len(found) < 512:
                return

    def _opened(self) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from error
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")  # what is lost is made anew
            db.execute("PRAGMA cache_size = -65536")
            ((application,),) = db.execute("PRAGMA application_id")
            ((version,),) = db.execute("PRAGMA user_version")
            if (application, version) != (APPLICATION_ID, VERSION):
                if list(db.execute("SELECT 1 FROM sqlite_schema LIMIT 1")) and application != APPLICATION_ID:
                    raise ConfigurationError(
                        "ENVIRONMENT_ERROR", f"{str(self.path)!r} is another program's database", hint="move it away"
                    )
                self._create(db)
            self.path.chmod(0o600)
        except sqlite3.OperationalError as error:
            db.close()
            raise _unwritable(self.path, error) from error
        except BaseException:
            db.close()
            raise
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        for table in ("logs", "places"):
            db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in (_LOGS, _PLACES):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)

    def _begin(self, records: Records, log: Log) -> int:
        """Give the position to go on from; 0, with nothing left in the index, for another log than the one before."""
        found = self._select("SELECT origin, next, last FROM logs WHERE log = ?", (log.log,))
        if found:
            origin, following, last = found[0]
            if origin == log.origin and 0 < following <= log.size:
                seen = [body for _, body in records.reader.entries(log.tenant, following - 1, following)]
                if not seen or _digest(seen[0]) == last:  # removed with an older part of the log, or the same
                    return int(following)
            with self._transaction():
                self._db.execute("DELETE FROM places WHERE log = ?", (log.log,))
                self._db.execute("DELETE FROM logs WHERE log = ?", (log.log,))
        return 0

    def _take(self, records: Records, log: Log, start: int, stop: int) -> int:
        rows = []
        last = b""
        for record in records.read(log, start, stop):
            rows.append(_row(record, log.log))
            last = record.entry
        rows.sort()
        with self._transaction():
            self._db.executemany(_INSERT, rows)
            self._db.execute(
                "INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?)", (log.log, log.origin, stop, _digest(last))
            )
        return len(rows)

    def _drop_trees(self) -> None:
        for name in _TREES:
            self._db.execute(f"DROP INDEX IF EXISTS of_{name}")

    def _make_trees(self) -> None:
        for name in _TREES:
            partial = "" if name == "event" else f" WHERE {name} <> 0"
            self._db.execute(f"CREATE INDEX IF NOT EXISTS of_{name} ON places ({name}, time, log, position){partial}")

    def _select(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise ExecutionError(
                "LOG_UNAVAILABLE",
                f"The index {str(self.path)!r} cannot be read",
                ran="no",
                hint="delete it: it is made anew from the log",
                detail=str(error),
            ) from error

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _conditions(query: Query, logs: Sequence[int]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if query.tenant is not None:
        conditions.append(f"+log IN ({','.join('?' * len(logs))})")  # + : not by this, or all that is found is sorted
        values.extend(logs)
    for name in ("principal", "tool", "session", "correlation", "invocation", "code", "outcome"):
        wanted = getattr(query, name)
        if wanted:
            conditions.append(f"{name} = ? AND {name} <> 0")
            values.append(_key(wanted))
    if query.event:
        conditions.append("+event GLOB ?" if "*" in query.event else "event = ?")
        values.append(_glob(query.event) if "*" in query.event else query.event)
    if query.since_ms is not None:
        conditions.append("time >= ?")
        values.append(query.since_ms)
    if query.until_ms is not None:
        conditions.append("time < ?")
        values.append(query.until_ms)
    return conditions, values


def _row(record: Record, log: int) -> tuple[int | str, ...]:
    return (
        record.time_ms,
        log,
        record.position,
        record.event,
        _key(record.principal),
        _key(record.tool),
        _key(record.session),
        _key(record.correlation),
        _key(record.invocation),
        _key(record.code),
        _key(record.outcome),
    )


def _key(text: str) -> int:
    """Give 63 bits of a digest, 0 for nothing; two texts of one key are told apart by the log itself."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1 | 1 if text else 0


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()


def _glob(pattern: str) -> str:
    return "".join(f"[{one}]" if one in "?[" else one for one in pattern)


def _unwritable(path: Path, error: sqlite3.OperationalError) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The index {str(path)!r} cannot be written",
        hint="name another place, or search without an index",
        detail=str(error),
    )
