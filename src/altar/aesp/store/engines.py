"""The two databases, opened so that one code path fits both.

SQLite: a write-ahead log, references enforced, every transaction that writes takes the write lock when it begins.
PostgreSQL: transactions that write are SERIALIZABLE, and each runs as the role that its tenant asks for.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from altar.adm.errors import ConfigurationError

__all__ = [
    "APP",
    "OPERATOR",
    "OWNER",
    "READS",
    "SCHEMA",
    "dialect_of",
    "enter",
    "is_postgres",
    "make_engine",
    "place_of",
]

SCHEMA = "altar"
"""The schema of PostgreSQL that holds the tables."""

OWNER, APP, OPERATOR = "altar_owner", "altar_app", "altar_operator"
"""The roles of PostgreSQL: of the tables, of transactions for one tenant, of administration across tenants."""

READS = "altar_reads"
"""The option of a connection whose transaction only reads."""

_APPLICATION_ID = 0x414C5453  # "ALTS"


def make_engine(url: str) -> Engine:
    """Open the database behind ``sqlite:///path`` or ``postgresql://user:password@host:port/name``.

    Nothing is asked of it yet.
    Raises ConfigurationError INVALID_CONFIG for any other address; the password never appears in it.
    """
    parsed = _parsed(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgres(parsed)


def dialect_of(url: str) -> str:
    """Give ``sqlite`` or ``postgresql`` for the address of a store, and open nothing.

    Raises ConfigurationError INVALID_CONFIG for any other address.
    """
    return "sqlite" if _parsed(url).get_backend_name() == "sqlite" else "postgresql"


def place_of(engine: Engine) -> str:
    """Say where a database is, for a message: the file, or host:port and name; never who signs in, nor with what."""
    url = engine.url
    if not is_postgres(engine):
        return url.database or ""
    host = url.host or url.query.get("host") or "localhost"  # a folder of sockets is named in the query
    at = f"{host if isinstance(host, str) else ','.join(host)}:{url.port or 5432}"
    return f"{at}/{url.database}" if url.database else at


def is_postgres(engine: Engine) -> bool:
    """Tell which of the two it is."""
    return engine.dialect.name == "postgresql"


def enter(connection: Connection, *, tenant: str | None) -> None:
    """Let the transaction that just began see one tenant's rows; None: those of all, as the operator.

    On SQLite this does nothing: what is asked for in the statements is all there is.
    """
    if connection.dialect.name == "postgresql":
        role = OPERATOR if tenant is None else APP
        connection.execute(_ENTER, {"role": role, "tenant": tenant or ""})


_ENTER = text("SELECT set_config('role', :role, true), set_config('altar.tenant', :tenant, true)")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _unusable("it is no address") from None
    if parsed.get_backend_name() == "sqlite" or parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed
    raise _unusable(f"{parsed.drivername!r} is neither sqlite nor postgresql")


def _sqlite(parsed: URL) -> Engine:
    path = parsed.database or ""
    if path in {"", ":memory:"} or path.startswith("file:") or parsed.query:
        raise _unusable("a store in SQLite is a file: sqlite:///path")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The store {path!r} cannot be opened: {error.strerror}",
            hint="its folder must exist and may be written by this user",
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=path),
        connect_args={"timeout": 10, "check_same_thread": False, "isolation_level": None},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != _APPLICATION_ID and (application or objects):
            raise ConfigurationError(
                "INVALID_CONFIG",
                "The database file belongs to another program",
                hint="give the store a file of its own",
            )
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if not application:
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            "The database file of the store cannot be read",
            hint="restore it from the last backup: altar store restore",
            detail=str(error),
        ) from error


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _postgres(parsed: URL) -> Engine:
    arguments: dict[str, Any] = {"options": f"-c search_path={SCHEMA}", "connect_timeout": 10}
    if "options" in parsed.query:
        raise _unusable("its options may not be set in the address")
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        connect_args=arguments,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=4,
        isolation_level="SERIALIZABLE",
    )


def _unusable(what: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"The address of the store cannot be used: {what}",
        hint="sqlite:///path/of/file, or postgresql://user:password@host:port/database",
    )
