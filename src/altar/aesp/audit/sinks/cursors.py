"""How far each sink has come, kept beside the log.

A cursor is moved after a receiver has acknowledged, and is on the disk before more is sent.
Losing this file loses no entry: sinks begin again, and receivers see what they have seen before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altar.adm.errors import ConfigurationError

__all__ = ["Cursors", "SinkStatus"]

APPLICATION_ID = 0x414C534B  # "ALSK"
_DDL = (
    "CREATE TABLE IF NOT EXISTS sinks (name TEXT PRIMARY KEY, next INTEGER NOT NULL, sent INTEGER NOT NULL,"
    " sent_ms INTEGER NOT NULL, failures INTEGER NOT NULL, error TEXT NOT NULL, error_ms INTEGER NOT NULL)"
)
_MARKS = "CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, next INTEGER NOT NULL, last BLOB NOT NULL)"


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How one sink is doing.

    ``next`` is the number of the first commit that it has not acknowledged, ``sent`` how many records it was sent so
    far, ``sent_ms`` when it last acknowledged some (milliseconds since 1970, 0 for never).
    ``failures`` counts what failed since then, and ``error`` says what the last of them was; "" when all is well.
    """

    name: str
    next: int
    sent: int = 0
    sent_ms: int = 0
    failures: int = 0
    error: str = ""
    error_ms: int = 0


class Cursors:
    """The file of cursors; any thread may use it, and other processes may read it."""

    def __init__(self, path: str | Path, *, wall_ms: Callable[[], int]) -> None:
        """Open the file, or make it, readable by its owner only.

        Raises ConfigurationError ENVIRONMENT_ERROR when it cannot be made or is no such file.
        """
        self.path = Path(path)
        self._wall_ms = wall_ms
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
            ((application,),) = db.execute("PRAGMA application_id")
            if application not in {0, APPLICATION_ID}:
                raise ConfigurationError(
                    "ENVIRONMENT_ERROR", f"{str(self.path)!r} is another program's database", hint="move it away"
                )
            db.execute(_DDL)
            db.execute(_MARKS)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self.path.chmod(0o600)

    def begin(self, name: str, *, at: int) -> int:
        """Give where a sink goes on; one that is new begins at `at`."""
        with self._connection() as db:
            db.execute("INSERT OR IGNORE INTO sinks VALUES (?, ?, 0, 0, 0, '', 0)", (name, at))
            ((following,),) = db.execute("SELECT next FROM sinks WHERE name = ?", (name,))
        return int(following)

    def mark(self, name: str, *, following: int) -> bytes:
        """Give the digest of the entry before a cursor, as `acknowledged` was told it; b"" when it was not."""
        with self._connection() as db:
            found = db.execute("SELECT last FROM marks WHERE name = ? AND next = ?", (name, following)).fetchall()
        return bytes(found[0][0]) if found else b""

    def acknowledged(self, name: str, *, following: int, sent: int, last: bytes) -> None:
        """Move a cursor; it is on the disk when this returns. ``last`` is a digest of the entry before it."""
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")  # given up when the connection is closed before its end
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (name, following, last))
            db.execute(
                "UPDATE sinks SET next = ?, sent = sent + ?, sent_ms = ?, failures = 0, error = '', error_ms = 0"
                " WHERE name = ?",
                (following, sent, self._wall_ms(), name),
            )
            db.execute("COMMIT")

    def failed(self, name: str, reason: str) -> None:
        """Note why a receiver did not take what was sent."""
        with self._connection() as db:
            db.execute(
                "UPDATE sinks SET failures = failures + 1, error = ?, error_ms = ? WHERE name = ?",
                (reason[:500], self._wall_ms(), name),
            )

    def all(self) -> list[SinkStatus]:
        """Give every sink there has been, by name."""
        with self._connection() as db:
            return [SinkStatus(*row) for row in db.execute("SELECT * FROM sinks ORDER BY name")]

    def forget(self, name: str) -> bool:
        """Remove a sink that is gone for good; tells whether there was one."""
        with self._connection() as db:
            db.execute("DELETE FROM marks WHERE name = ?", (name,))
            return bool(db.execute("DELETE FROM sinks WHERE name = ?", (name,)).rowcount)

    def _connection(self) -> closing[Any]:
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            db.execute("PRAGMA synchronous = FULL")
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The cursors of the sinks in {str(self.path)!r} cannot be kept",
                hint="its folder must exist and may be written by this user",
                detail=str(error),
            ) from error
        return closing(db)
