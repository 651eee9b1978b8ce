"""Where the log of a test is: once in a file, and once in a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from altar.ledger.places import DatabaseLog, Place
from tests.unit.ledger.samples import ORIGIN

if TYPE_CHECKING:
    from altar.testing.postgres import LocalPostgres


@pytest.fixture(scope="session")
def log_database(postgres: LocalPostgres) -> str:
    """A database for logs, which the tests of a run take in turn."""
    return postgres.create_database()


@pytest.fixture
def in_database(tmp_path: Path, postgres: LocalPostgres, log_database: str) -> DatabaseLog:
    """A log in PostgreSQL in which nothing is."""
    postgres.empty(log_database)
    return DatabaseLog(log_database, ORIGIN, tmp_path / "ledger.db", b"k" * 32)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a log begins, once in a file and once in a database."""
    if request.param == "sqlite":
        return tmp_path / "ledger.db"
    found: DatabaseLog = request.getfixturevalue("in_database")
    return found
