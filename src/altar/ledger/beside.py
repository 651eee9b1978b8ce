"""A database beside the log, for what changes and ends: one thread writes it, in group commits.

The log's own file is a public format of rows that never change, which an auditor is handed as it is.
What a host keeps for a while, and what holds the contents of calls, is in files of its own: the name of the log with
an ending behind it, held by the same process under the same lock.

`Beside` is what these files share: how they are opened and checked, written and closed.
Changes are handed over from any thread; all that waits when a transaction has ended shares the next one.
Rows carry a digest of themselves (`seal`), so that a damaged one is never taken for what was kept.
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

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, Ran
from altar.ledger.sqlite import Connection, connect_sqlite

__all__ = ["UNREADABLE", "Beside", "Layout", "Then", "Work", "seal"]

Then = Callable[[AltarError | None], None]

UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file beside the log is: its numbers, its tables, and the words for it in messages.

    ``what`` are the things in it ("Sessions and variables"); ``without`` is what a host begins without when the file
    is moved away ("sessions").
    """

    application_id: int
    version: int
    ddl: tuple[str, ...]
    what: str
    without: str


@dataclass(slots=True)
class Work:
    """Statements that belong together, and whom to tell when they are durable.

    ``read`` is asked in the writer's thread instead, with the connection; nothing may be written by it.
    """

    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    then: Then | None = None
    read: Callable[[Connection], None] | None = None


class Beside:
    """One file beside the log; a subclass says what is in it."""

    layout: Layout

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
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._connection = self._opened(connect)
        name = f"altar-{self.layout.without.replace(' ', '-')}"
        self._writer = threading.Thread(target=self._write_until_closed, name=name, daemon=True)
        self._writer.start()

    def put(self, work: Work) -> None:
        """Hand over work, from any thread; it is done after all that was handed over before it."""
        with self._gate:
            if not self._closed:
                self._waiting.put(work)
                return
        self._report([work], self._unavailable("they are closed"))

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
                f"{self.layout.what} in {self.path!r} cannot be opened: {error.strerror}",
                hint="its folder must exist and may be written by this user",
            ) from error
        connection = None
        try:
            connection = connect(self.path)
            self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, UNREADABLE):
                raise self._damaged(str(error)) from error
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        """Set what holds for the connection, and check or make the tables."""
        layout = self.layout
        for pragma in ("busy_timeout = 5000", "secure_delete = ON"):
            list(connection.execute(f"PRAGMA {pragma}"))
        ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
        list(connection.execute("PRAGMA synchronous = FULL"))
        ((application,),) = connection.execute("PRAGMA application_id")
        ((version,),) = connection.execute("PRAGMA user_version")
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        found = tuple(row[0] for row in rows)
        if not found and application == 0:
            connection.execute("BEGIN IMMEDIATE")
            for statement in layout.ddl:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {layout.application_id}")
            connection.execute(f"PRAGMA user_version = {layout.version}")
            connection.execute("COMMIT")
        elif application == layout.application_id and version > layout.version:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"{layout.what} in {self.path!r} have format {version}, this ALTAR knows {layout.version}",
                hint="open them with the newer ALTAR that wrote them",
            )
        elif (application, version, found) != (layout.application_id, layout.version, layout.ddl) or mode != "wal":
            raise self._damaged(f"application {application}, format {version}, journal {mode}")

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

    def _batches(self) -> Iterator[list[Work]]:
        while True:
            item = self._waiting.get()
            works: list[Work] = []
            with suppress(queue.Empty):
                while item is not None:
                    works.append(item)
                    item = self._waiting.get_nowait()
            if works:
                yield works
            if item is None:
                return

    def _write(self, works: Sequence[Work]) -> None:
        execute = self._connection.execute
        if any(work.statements for work in works):
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
        for work in works:
            if work.read is not None:
                work.read(self._connection)

    def _fail(self, error: Exception) -> AltarError:
        """Refuse everything from now on; gives what to say of the transaction that failed."""
        failure = self._failure = self._unavailable("writing failed", detail=repr(error))
        failure.__cause__ = error
        with suppress(Exception):
            self._deliver(lambda: self._on_failure(failure))
        # a commit may be on the disk though its sync failed, and is found again at the next start
        return self._unavailable("writing failed", detail=repr(error), ran="unknown")

    def _report(self, works: Sequence[Work], error: AltarError | None) -> None:
        thens = [work.then for work in works if work.then is not None]
        if not thens:
            return

        def run_all() -> None:
            for then in thens:
                try:
                    then(error)
                except Exception:  # noqa: BLE001 - one listener's mistake must not silence the others
                    _log.exception("a listener of a store beside the log failed")

        try:
            self._deliver(run_all)
        except Exception:  # noqa: BLE001 - the listeners are gone, such as a loop that ended; what is written is safe
            _log.exception("answers of a store beside the log could not be delivered")

    def _damaged(self, detail: str) -> AltarError:
        return ConfigurationError(
            "LOG_DAMAGED",
            f"{self.layout.what} in {self.path!r} cannot be read",
            hint=f"move the file away to begin without {self.layout.without}; the log beside it is not affected",
            detail=detail,
        )

    def _unavailable(self, what: str, *, detail: str | None = None, ran: Ran = "no") -> AltarError:
        return ExecutionError(
            "LOG_UNAVAILABLE",
            f"{self.layout.what} cannot be kept any more: {what}",
            hint="nothing is changed that would not be kept; see the host's log for the cause",
            detail=detail,
            ran=ran,
        )


def seal(*parts: object) -> bytes:
    """A digest of a row: of each part with its type and length, so that no two rows have the same bytes."""
    made = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        made.update(f"{type(part).__name__} {len(data)} ".encode())
        made.update(data)
    return made.digest()
