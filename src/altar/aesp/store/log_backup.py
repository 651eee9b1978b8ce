"""The logs in PostgreSQL as members of a backup: each table as COPY gives it, of the snapshot of the whole backup.

What is sealed stays sealed: the host's key for the database is not in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError
from altar.ledger.postgres_schema import FORMAT, OWNER, WRITER, ddl_of, schema_of

if TYPE_CHECKING:
    import psycopg

__all__ = ["dump_logs", "fill_logs", "members_of"]

_TABLES = ("writers", "logs", "entries", "checkpoints", "subjects")
_CHUNK = 1 << 20
_EVERY = b"""
SELECT n.nspname FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'layout'
WHERE n.nspname LIKE 'altar\\_log\\_%' AND c.relkind = 'r' ORDER BY 1
"""


def dump_logs(cursor: psycopg.Cursor[Any], members: Path) -> dict[str, Any]:
    """Write the tables of every log below ``logs/`` and give, by schema, whose log it is and in which layout.

    Within the transaction of the cursor, which goes on in the role of the writer of logs.
    """
    found: dict[str, Any] = {}
    schemas = [schema for (schema,) in cursor.execute(_EVERY).fetchall()]
    if schemas:
        cursor.execute("SELECT set_config('role', %s, true)", (WRITER,))
    for schema in schemas:
        row = cursor.execute(f"SELECT min(origin), max(format) FROM {schema}.layout".encode()).fetchone()  # noqa: S608 - from its catalogue
        assert row is not None  # noqa: S101 - an aggregate gives one row
        found[schema] = {"origin": row[0], "format": row[1]}
        for table in _TABLES:
            place = members / member_of(schema, table)
            place.parent.mkdir(parents=True, exist_ok=True)
            with (
                place.open("wb") as output,
                cursor.copy(f"COPY {schema}.{table} TO STDOUT (FORMAT binary)".encode()) as copy,
            ):
                for block in copy:
                    output.write(block)
    return found


def fill_logs(cursor: psycopg.Cursor[Any], logs: dict[str, Any], members: Path) -> bool:
    """Make the tables of these logs and fill them; False when one is there already, and nothing may be replaced.

    Within the transaction of the cursor.
    Raises ConfigurationError INVALID_CONFIG for a log of a newer ALTAR, or one that is not named as it was.
    """
    for schema, told in logs.items():
        if told["format"] > FORMAT or schema != schema_of(told["origin"]):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The backup has a log of layout {told['format']!r}, this ALTAR knows {FORMAT}",
                hint="restore it with the newer ALTAR that wrote it",
            )
        if cursor.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() != (None,):
            return False
        cursor.execute("SELECT set_config('role', session_user::text, true)")
        for name in (schema, f"{schema}_read"):
            cursor.execute(f"CREATE SCHEMA {name} AUTHORIZATION {OWNER}".encode())
        cursor.execute("SELECT set_config('role', %s, true), set_config('search_path', %s, true)", (OWNER, schema))
        for statement in ddl_of(told["origin"]):
            cursor.execute(statement.encode())
        cursor.execute("INSERT INTO layout VALUES (%s, %s)", (FORMAT, told["origin"]))
        for table in _TABLES:
            with (
                (members / member_of(schema, table)).open("rb") as content,
                cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as copy,
            ):
                while block := content.read(_CHUNK):
                    copy.write(block)
    return True


def member_of(schema: str, table: str) -> str:
    """Give the name of a table in the backup."""
    return f"logs/{schema}/{table}.copy"


def members_of(logs: dict[str, Any]) -> list[str]:
    """Give the names of all tables of these logs in the backup."""
    return [member_of(schema, table) for schema in logs for table in _TABLES]
