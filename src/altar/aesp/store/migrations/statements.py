"""Statements of a migration that lie beside it as plain SQL, one file for each database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["BREAK", "run_statements"]

BREAK = "\n;\n\n"
"""What stands between two statements: a semicolon on a line of its own."""


def run_statements(connection: Connection, migration: str) -> None:
    """Run the statements of ``versions/<migration>.<dialect>.sql`` as they stand there."""
    path = Path(__file__).parent / "versions" / f"{migration}.{connection.dialect.name}.sql"
    for statement in path.read_text(encoding="utf-8").strip().split(BREAK):
        connection.exec_driver_sql(statement)
