"""A connection to the log of a host for whoever only reads it, wherever it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from altar.ledger.places import DatabaseLog, Place
from altar.ledger.sqlite import translated

__all__ = ["Found", "Reading", "reading"]


class Found(Protocol):
    """What a statement found."""

    def fetchall(self) -> list[Any]:
        """Give all rows."""

    def fetchone(self) -> Any:
        """Give the next row, None behind the last."""

    def __iter__(self) -> Iterator[Any]:
        """Give the rows one by one."""


class Reading(Protocol):
    """The little that a reader asks of a database; the connections of SQLite give it, and so does ours."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Found:
        """Run one statement, whose parameters are marked with ``?``."""

    def close(self) -> None:
        """Let go of the database."""


@contextmanager
def reading(place: Place) -> Iterator[Reading]:
    """Open the tables of the log at `place` while the `with` lasts; the database's errors become ours."""
    if isinstance(place, DatabaseLog):
        from altar.ledger.postgres import PostgresReading  # only here its driver is needed

        with closing(PostgresReading(place)) as database:
            yield database
        return
    address = f"{Path(place).resolve().as_uri()}?mode=ro"
    with translated(str(place)), closing(sqlite3.connect(address, uri=True, timeout=5)) as file:
        yield file
