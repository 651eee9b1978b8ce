"""The tables of a host's logs in PostgreSQL: one schema for each host, made by its owner, only ever added to.

The tables have the names and the columns of the file in SQLite, so that both are read by the same statements.
The role ``altar_ledger`` may insert and read; nobody has the right to change or remove a row, but for the owner.
The role ``altar_app`` sees the log of the tenant that its transaction named, and nothing without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import psycopg

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.ledger.places import DatabaseLog
from altar.ledger.sqlite import damaged

__all__ = [
    "FORMAT",
    "OPERATOR",
    "OWNER",
    "READER",
    "WRITER",
    "connect",
    "ddl_of",
    "explained",
    "key_of",
    "open_schema",
    "require_schema",
    "schema_of",
]

WRITER, READER, OPERATOR, OWNER = "altar_ledger", "altar_app", "altar_operator", "altar_owner"
"""The roles of PostgreSQL: of the host that writes, of readers for one tenant, of administration, of the tables."""

FORMAT = 1
"""The newest layout of the tables; a log's own format is that of its entries."""

_FENCED = "AL001"
_DAMAGE = frozenset({"XX001", "XX002", "42P01", "42703"})  # corrupted data or index; a table or a column is gone


def schema_of(origin: str) -> str:
    """Give the schema of a host's log: words from the log's name to recognize it by, and a digest to tell it apart."""
    words = re.sub(r"[^a-z0-9]+", "_", origin.rpartition("/")[2].lower()).strip("_")[:32]
    return f"altar_log_{words}_{sha256(origin.encode()).hexdigest()[:12]}"


def key_of(origin: str, what: str) -> int:
    """Give the number of an advisory lock of this log."""
    return int.from_bytes(sha256(f"{what} {origin}".encode()).digest()[:8], signed=True)


def ddl_of(origin: str) -> list[str]:
    """Give the statements that make the tables of this log, in its schema and the one beside it for readers."""
    names = {"schema": schema_of(origin), "fence": key_of(origin, "append"), "fenced": _FENCED}
    return [statement.format(**names) for statement in _DDL]


def connect(place: DatabaseLog, *, name: str, schema: str = "", read_only: bool = False) -> psycopg.Connection[Any]:
    """Open a connection whose tables are those of this log; transactions are the caller's affair.

    ``schema`` is another one that has tables of these names.

    A server that is gone is noticed within half a minute at both ends.
    Raises ConfigurationError ENVIRONMENT_ERROR when the database is out of reach.
    """
    options = [
        f"search_path={schema or schema_of(place.origin)}",
        "tcp_keepalives_idle=10",
        "tcp_keepalives_interval=5",
        "tcp_keepalives_count=3",
        "client_encoding=UTF8",
        *(("default_transaction_read_only=on", "default_transaction_isolation=repeatable\\ read") if read_only else ()),
    ]
    try:
        return psycopg.connect(
            place.url,
            autocommit=True,
            connect_timeout=10,
            application_name=name,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            options=" ".join(f"-c {option}" for option in options),
        )
    except psycopg.Error as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The ledger {str(place)!r} cannot be reached",
            hint="check the address, the password and that the database runs",
            detail=_words_of(error),
        ) from error


@contextmanager
def explained(place: DatabaseLog) -> Iterator[None]:
    """Turn the database's errors into ours; errors of ours pass."""
    try:
        yield
    except AltarError:
        raise
    except psycopg.Error as error:
        if error.sqlstate in _DAMAGE:
            raise damaged(str(place), "the database cannot be read", detail=_words_of(error)) from error
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise _unprepared(place, "this login may not do what is needed", _words_of(error)) from error
        raise ExecutionError(
            "LOG_UNAVAILABLE", f"The ledger {str(place)!r} cannot be read now", ran="no", detail=_words_of(error)
        ) from error


def require_schema(connection: psycopg.Connection[Any], place: DatabaseLog, *, role: str, tenant: str) -> None:
    """Go on as this role, which sees the log of this tenant or, for the writer's role, all.

    Raises ConfigurationError ENVIRONMENT_ERROR when there are no tables, INVALID_CONFIG for those of a newer ALTAR.
    """
    if not _is_there(connection, place):
        raise ConfigurationError("ENVIRONMENT_ERROR", f"There is no ledger at {str(place)!r}")
    connection.execute("SELECT set_config('role', %s, false), set_config('altar.tenant', %s, false)", (role, tenant))
    _require_known(connection, place)


def open_schema(connection: psycopg.Connection[Any], place: DatabaseLog) -> None:
    """Bring the tables of this log to the newest layout, where this login may; else they must have it already.

    Raises ConfigurationError ENVIRONMENT_ERROR when the roles or the rights are missing, INVALID_CONFIG as above.
    """
    if not _is_there(connection, place):
        _make(connection, place)
    (may,) = _one(connection, "SELECT pg_has_role(session_user, %s::name, 'MEMBER')", WRITER)
    if not may:
        raise _unprepared(place, f"this login is no member of {WRITER}, which writes logs")
    connection.execute(f"SET ROLE {WRITER}".encode())
    _require_known(connection, place)


def _is_there(connection: psycopg.Connection[Any], place: DatabaseLog) -> bool:
    """Tell whether the log has been made; it is made whole, in one transaction."""
    (there,) = _one(
        connection, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = %s)", schema_of(place.origin)
    )
    return bool(there)


def _require_known(connection: psycopg.Connection[Any], place: DatabaseLog) -> None:
    newest, origin = _one(connection, "SELECT max(format), min(origin) FROM layout")
    if origin != place.origin:
        raise damaged(str(place), f"its tables are of the log {origin!r}")
    if newest > FORMAT:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The ledger {str(place)!r} has tables of layout {newest}, this ALTAR knows {FORMAT}",
            hint="open it with the newer ALTAR that made them",
        )


def _make(connection: psycopg.Connection[Any], place: DatabaseLog) -> None:
    """Make roles, where they are missing and this login may, and schema and tables, in one transaction."""
    schema = schema_of(place.origin)
    missing = [
        role for role in (OWNER, READER, OPERATOR, WRITER) if _one(connection, "SELECT to_regrole(%s)", role) == (None,)
    ]
    if missing:
        (may,) = _one(connection, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user")
        if not may:
            raise _unprepared(place, f"the roles {', '.join(missing)} are missing")
    (owns,) = _one(connection, "SELECT to_regrole(%s) IS NULL OR pg_has_role(session_user, %s, 'MEMBER')", OWNER, OWNER)
    if not owns:
        raise _unprepared(place, f"this login is no member of {OWNER}, which owns the tables")
    for role in missing:
        connection.execute(_CREATE_ROLE.format(role=role).encode())
        connection.execute(f"GRANT {role} TO CURRENT_USER".encode())
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (key_of(place.origin, "schema"),))
        if _is_there(connection, place):  # another made it meanwhile
            return
        for name in (schema, f"{schema}_read"):
            connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION {OWNER}".encode())
        connection.execute(f"SET LOCAL ROLE {OWNER}".encode())
        for statement in ddl_of(place.origin):
            connection.execute(statement.encode())
        connection.execute("INSERT INTO layout VALUES (%s, %s)", (FORMAT, place.origin))


def _one(connection: psycopg.Connection[Any], sql: str, *parameters: object) -> tuple[Any, ...]:
    row = connection.execute(sql.encode(), parameters).fetchone()
    assert row is not None  # noqa: S101 - each of these queries gives one row
    return tuple(row)


def _unprepared(place: DatabaseLog, what: str, detail: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The database of the ledger {str(place)!r} is not prepared for ALTAR: {what}",
        hint="let an administrator of PostgreSQL run what `altar store roles <login>` prints, for the host's login",
        detail=detail,
    )


def _words_of(error: psycopg.Error) -> str:
    """Give the database's own words without the values of any row."""
    first = error.diag.message_primary or (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__} {error.sqlstate or ''}: {first}"


_CREATE_ROLE = """
DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""
_DDL = (
    "CREATE TABLE layout (format integer PRIMARY KEY, origin text NOT NULL)",
    "CREATE TABLE writers (number bigint PRIMARY KEY, host text NOT NULL, began timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE logs (log bigint PRIMARY KEY, tenant bytea NOT NULL UNIQUE)",
    (
        "CREATE TABLE entries (seq bigint NOT NULL, place bigint NOT NULL, intent bigint,"
        " body bytea NOT NULL, hashes bytea NOT NULL, seal bytea)"
    ),
    # an entry is too short to be worth compressing
    "ALTER TABLE entries ALTER body SET STORAGE EXTERNAL, ALTER hashes SET STORAGE EXTERNAL",
    "CREATE UNIQUE INDEX entries_seq ON entries (seq)",
    "CREATE UNIQUE INDEX entries_place ON entries (place)",
    "CREATE UNIQUE INDEX entries_intent ON entries (intent) WHERE intent IS NOT NULL",
    "CREATE VIEW places AS SELECT place, seq FROM entries",
    "CREATE VIEW outcomes AS SELECT intent, seq FROM entries WHERE intent IS NOT NULL",
    "CREATE TABLE checkpoints (place bigint PRIMARY KEY, note bytea NOT NULL)",
    "CREATE TABLE subjects (lookup bytea PRIMARY KEY, sealed bytea NOT NULL)",
    "CREATE FUNCTION instr(bytea, bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT position($2 IN $1) > 0'",
    (
        "CREATE FUNCTION still(mine bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM pg_advisory_xact_lock({fence});"
        " IF (SELECT max(number) FROM {schema}.writers) IS DISTINCT FROM mine THEN"
        " RAISE EXCEPTION 'another process has taken this log over' USING ERRCODE = '{fenced}'; END IF; END $$"
    ),
    # what retention removes; by who holds the role of administration, and never by the writer's role alone
    (
        "CREATE FUNCTION remove(first bigint, after bigint, kept bytea[]) RETURNS bigint LANGUAGE plpgsql"
        " SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$ DECLARE removed bigint; BEGIN"
        " UPDATE entries SET body = '' WHERE place >= first AND place < after AND length(body) > 0"
        " AND NOT EXISTS (SELECT 1 FROM unnest(kept) mark WHERE instr(body, mark));"
        " GET DIAGNOSTICS removed = ROW_COUNT; RETURN removed; END $$"
    ),
    "REVOKE EXECUTE ON FUNCTION remove FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION remove TO altar_operator",
    "GRANT USAGE ON SCHEMA {schema} TO altar_ledger, altar_operator",
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO altar_ledger",
    "GRANT INSERT ON writers, logs, entries, checkpoints, subjects TO altar_ledger",
    "GRANT DELETE ON subjects TO altar_ledger",
    # COPY does not go with row-level security, so readers for one tenant have views instead, and no right to the tables
    "GRANT USAGE ON SCHEMA {schema}_read TO altar_app",
    "CREATE VIEW {schema}_read.layout AS SELECT * FROM layout",
    (
        "CREATE VIEW {schema}_read.logs WITH (security_barrier) AS SELECT log, tenant FROM logs"
        " WHERE tenant = convert_to(nullif(current_setting('altar.tenant', true), ''), 'UTF8')"
    ),
    (
        "CREATE VIEW {schema}_read.entries WITH (security_barrier) AS SELECT seq, place, intent, body, hashes"
        " FROM entries WHERE place >> 40 IN (SELECT log FROM {schema}_read.logs)"
    ),
    "CREATE VIEW {schema}_read.places WITH (security_barrier) AS SELECT place, seq FROM {schema}_read.entries",
    (
        "CREATE VIEW {schema}_read.checkpoints WITH (security_barrier) AS SELECT place, note FROM checkpoints"
        " WHERE place >> 40 IN (SELECT log FROM {schema}_read.logs)"
    ),
    "GRANT SELECT ON ALL TABLES IN SCHEMA {schema}_read TO altar_app",
)
