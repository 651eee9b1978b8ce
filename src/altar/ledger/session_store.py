"""The sessions of a host and their variables, in an SQLite database beside the log.

They are not in the log's own file: that is a public format of rows that never change, which an auditor is handed as
it is, and sessions change, end, and hold values that are nobody else's business.
The sessions of a log are in the file of its name with ``.sessions`` behind it, held by the same process under the
same lock.

Changes are handed over from any thread and written by one, in group commits, as entries of the log are.
Each row carries a digest of itself, so that a damaged one is never taken for what was kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, Ran
from altar.ledger.sqlite import Connection, connect_sqlite

__all__ = ["Kept", "KeptSession", "KeptVariable", "SessionStore", "Then"]

APPLICATION_ID = 0x414C5453  # "ALTS"
USER_VERSION = 1
DDL = (
    "CREATE TABLE sessions (id TEXT PRIMARY KEY, body BLOB NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID",
    (
        "CREATE TABLE variables (session TEXT, name TEXT, version INTEGER NOT NULL, schema BLOB NOT NULL,"
        " value BLOB NOT NULL, seal BLOB NOT NULL, PRIMARY KEY (session, name)) WITHOUT ROWID"
    ),
)

Then = Callable[[AltarError | None], None]

_UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session: whose it is, which tools it has, how long it lives after its last use, and until when.

    ``ttl_ms`` is in milliseconds, ``expires_ms`` in milliseconds since 1970.
    ``floor`` is the highest version of a deleted variable whose name has been forgotten.
    ``names`` is how many variables are kept, deleted ones among them, so that one that is missing is missed.
    """

    session_id: str
    principal: str
    tools: tuple[str, ...]
    ttl_ms: int
    expires_ms: int
    floor: int = 0
    names: int = 0


@dataclass(frozen=True, slots=True)
class KeptVariable:
    """A variable: its version, its schema and its value as canonical JSON; without a value it was deleted."""

    name: str
    version: int
    schema: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it was found, with its variables."""

    session: KeptSession
    variables: tuple[KeptVariable, ...]


@dataclass(slots=True)
class _Work:
    """Statements that belong together, and whom to tell when they are durable."""

    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    then: Then | None = None


class SessionStore:
    """The sessions of one host: open it, `load` what was kept, `save` and `drop`, close it."""

    def __init__(
        self,
        path: str | Path,
        *,
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None],
        connect: Callable[[str], Connection] = connect_sqlite,
    ) -> None:
        """Open the file, or begin a new one; the caller holds the lock of the log it belongs to.

        ``on_failure`` is called once, when nothing can be written any more.
        ``deliver`` runs a function where answers are wanted.
        Raises ConfigurationError: LOG_DAMAGED when it is no such file, INVALID_CONFIG when a newer ALTAR wrote it,
        ENVIRONMENT_ERROR when it is out of reach.
        """
        self.path = str(path)
        self.commits = 0
        self._on_failure = on_failure
        self._deliver = deliver
        self._failure: AltarError | None = None
        self._closed = False
        self._gate = threading.Lock()
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._connection = self._opened(connect)
        self._writer = threading.Thread(target=self._write_until_closed, name="altar-sessions", daemon=True)
        self._writer.start()

    def load(self) -> tuple[list[Kept], list[str]]:
        """Every session that was kept, and the ids of those that are damaged. Call it before anything is saved."""
        try:
            sessions = list(self._connection.execute("SELECT id, body, seal FROM sessions"))
            rows = list(self._connection.execute("SELECT session, name, version, schema, value, seal FROM variables"))
        except _UNREADABLE as error:
            raise _damaged(self.path, str(error)) from error
        variables: dict[str, list[KeptVariable]] = {}
        damaged: set[str] = set()
        for session, name, version, schema, value, seal in rows:
            if seal != _digest(session, name, version, schema, value):
                damaged.add(session)
            variables.setdefault(session, []).append(KeptVariable(name, version, schema, value))
        damaged |= variables.keys() - {session_id for session_id, _, _ in sessions}
        kept = []
        for session_id, body, seal in sessions:
            if seal != _digest(session_id, body):
                damaged.add(session_id)
                continue
            found = Kept(_session(session_id, body), tuple(variables.get(session_id, ())))
            if not len({each.name for each in found.variables}) == len(found.variables) == found.session.names:
                damaged.add(session_id)
            if session_id not in damaged:
                kept.append(found)
        return kept, sorted(map(str, damaged))

    def save(
        self,
        session: KeptSession | None = None,
        *,
        session_id: str = "",
        variables: Sequence[KeptVariable] = (),
        forgotten: Sequence[str] = (),
        then: Then | None = None,
    ) -> None:
        """Keep a session, or what has changed in the one of ``session_id``; all of it or nothing.

        ``then(None)`` is called when it is durable, after everything that was handed over before it;
        ``then(error)`` with LOG_UNAVAILABLE when nobody may rely on it.
        """
        work = _Work(then=then)
        if session is not None:
            session_id, body = session.session_id, _body(session)
            statement = "INSERT OR REPLACE INTO sessions VALUES (?,?,?)"
            work.statements.append((statement, (session_id, body, _digest(session_id, body))))
        for each in variables:
            row = (session_id, each.name, each.version, each.schema, each.value)
            work.statements.append(("INSERT OR REPLACE INTO variables VALUES (?,?,?,?,?,?)", (*row, _digest(*row))))
        for name in forgotten:
            work.statements.append(("DELETE FROM variables WHERE session = ? AND name = ?", (session_id, name)))
        self._put(work)

    def drop(self, session_id: str) -> None:
        """Forget a session and all of its variables."""
        self._put(
            _Work(
                [
                    ("DELETE FROM sessions WHERE id = ?", (session_id,)),
                    ("DELETE FROM variables WHERE session = ?", (session_id,)),
                ]
            )
        )

    def close(self) -> None:
        """Write what waits and let go of the file; calling it again does nothing."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._writer.join()
        with suppress(Exception):  # complete without this step: it only leaves one tidy file behind
            list(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        with suppress(Exception):
            self._connection.close()

    def _opened(self, connect: Callable[[str], Connection]) -> Connection:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The sessions in {self.path!r} cannot be opened: {error.strerror}",
                hint="its folder must exist and may be written by this user",
            ) from error
        connection = None
        try:
            connection = connect(self.path)
            _prepare(connection, self.path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, _UNREADABLE):
                raise _damaged(self.path, str(error)) from error
            raise
        return connection

    def _put(self, work: _Work) -> None:
        with self._gate:
            if not self._closed:
                self._waiting.put(work)
                return
        self._report([work], _unavailable("they are closed"))

    def _write_until_closed(self) -> None:
        """Run in the writer's thread: all that waits when a transaction has ended shares the next one."""
        for works in self._batches():
            told = self._failure
            if told is None:
                try:
                    self._write(works)
                except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this may count as written
                    told = self._fail(error)
            self._report(works, told)

    def _batches(self) -> Iterator[list[_Work]]:
        while True:
            item = self._waiting.get()
            works: list[_Work] = []
            with suppress(queue.Empty):
                while item is not None:
                    works.append(item)
                    item = self._waiting.get_nowait()
            if works:
                yield works
            if item is None:
                return

    def _write(self, works: Sequence[_Work]) -> None:
        if not any(work.statements for work in works):
            return
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for work in works:
                for sql, parameters in work.statements:
                    execute(sql, parameters)
            execute("COMMIT")
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                execute("ROLLBACK")
            raise
        self.commits += 1

    def _fail(self, error: Exception) -> AltarError:
        """Refuse everything from now on; gives what to say of the transaction that failed."""
        failure = self._failure = _unavailable("writing failed", detail=repr(error))
        failure.__cause__ = error
        with suppress(Exception):
            self._deliver(lambda: self._on_failure(failure))
        # a commit may be on the disk though its sync failed, and is found again at the next start
        return _unavailable("writing failed", detail=repr(error), ran="unknown")

    def _report(self, works: Sequence[_Work], error: AltarError | None) -> None:
        thens = [work.then for work in works if work.then is not None]
        if not thens:
            return

        def run_all() -> None:
            for then in thens:
                try:
                    then(error)
                except Exception:  # noqa: BLE001 - one listener's mistake must not silence the others
                    _log.exception("a listener of the session store failed")

        try:
            self._deliver(run_all)
        except Exception:  # noqa: BLE001 - the listeners are gone, such as a loop that ended; what is written is safe
            _log.exception("answers of the session store could not be delivered")


def _prepare(connection: Connection, path: str) -> None:
    """Set what holds for the connection, and check or make the tables."""
    for pragma in ("busy_timeout = 5000", "secure_delete = ON"):
        list(connection.execute(f"PRAGMA {pragma}"))
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
    list(connection.execute("PRAGMA synchronous = FULL"))
    ((application,),) = connection.execute("PRAGMA application_id")
    ((version,),) = connection.execute("PRAGMA user_version")
    found = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")]
    if not found and application == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in DDL:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {USER_VERSION}")
        connection.execute("COMMIT")
    elif application == APPLICATION_ID and version > USER_VERSION:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The sessions in {path!r} have format {version}, this ALTAR knows {USER_VERSION}",
            hint="open them with the newer ALTAR that wrote them",
        )
    elif (application, version, found) != (APPLICATION_ID, USER_VERSION, list(DDL)) or mode != "wal":
        raise _damaged(path, f"application {application}, format {version}, journal {mode}")


def _body(session: KeptSession) -> bytes:
    return orjson.dumps(
        {
            "expires_ms": session.expires_ms,
            "floor": session.floor,
            "names": session.names,
            "principal": session.principal,
            "tools": session.tools,
            "ttl_ms": session.ttl_ms,
        }
    )


def _session(session_id: str, body: bytes) -> KeptSession:
    members = orjson.loads(body)
    return KeptSession(
        session_id,
        members["principal"],
        tuple(members["tools"]),
        members["ttl_ms"],
        members["expires_ms"],
        members["floor"],
        members["names"],
    )


def _digest(*parts: object) -> bytes:
    """A digest of a row: of each part with its type and length, so that no two rows have the same bytes."""
    made = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        made.update(f"{type(part).__name__} {len(data)} ".encode())
        made.update(data)
    return made.digest()


def _damaged(path: str, detail: str) -> AltarError:
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The sessions in {path!r} cannot be read",
        hint="move the file away to begin without sessions; the log beside it is not affected",
        detail=detail,
    )


def _unavailable(what: str, *, detail: str | None = None, ran: Ran = "no") -> AltarError:
    return ExecutionError(
        "LOG_UNAVAILABLE",
        f"Sessions and variables cannot be kept any more: {what}",
        hint="nothing is changed that would not be kept; see the host's log for the cause",
        detail=detail,
        ran=ran,
    )
