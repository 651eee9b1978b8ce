"""Bringing a database to the tables of this ALTAR: forward only, one process at a time.

On PostgreSQL the roles are made first, where the login may do so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from altar.adm.errors import ConfigurationError
from altar.aesp.store.engines import APP, OPERATOR, OWNER, SCHEMA, is_postgres

__all__ = ["LEDGER", "head", "migrate", "refuse_newer", "revision_of", "roles_sql"]

LEDGER = "altar_ledger"
"""The role of PostgreSQL that writes the record of calls, and reads no table of administration."""

_LOCK = 0x414C544152  # "ALTAR": of all who migrate the same database


def head() -> str:
    """Give the revision of this ALTAR's tables."""
    newest = ScriptDirectory.from_config(_configuration()).get_current_head()
    return str(newest)


def migrate(engine: Engine, *, to: str = "head") -> None:
    """Bring the database forward, in one transaction; ``to`` is a revision that it shall not pass.

    Raises ConfigurationError: INVALID_CONFIG when a newer ALTAR made its tables, ENVIRONMENT_ERROR when the roles of
    PostgreSQL are missing and this login may not make them.
    """
    if is_postgres(engine):
        _prepare_postgres(engine)
    options = {"isolation_level": "READ COMMITTED"} if is_postgres(engine) else {}
    # each statement sees what was committed before it: also what another process did while this one waited for the lock
    with engine.connect().execution_options(**options) as connection, connection.begin():
        if is_postgres(engine):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = revision_of(connection)
        refuse_newer(found)
        if found == (head() if to == "head" else to):
            return
        if is_postgres(engine):
            _require_owner(connection)
            connection.execute(text("SELECT set_config('role', :role, true)"), {"role": OWNER})
        _upgrade(connection, to)


def revision_of(connection: Connection) -> str | None:
    """Give the revision of the database's tables; None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def roles_sql(login: str) -> str:
    """Give the statements that an administrator of PostgreSQL runs once, for a host that logs in as ``login``."""
    quoted = '"' + login.replace('"', '""') + '"'
    lines = [f"CREATE ROLE {role} NOLOGIN;" for role in (OWNER, APP, OPERATOR, LEDGER)]
    lines.append(f"GRANT {OWNER}, {APP}, {OPERATOR}, {LEDGER} TO {quoted};")
    lines.append(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {OWNER};")
    return "\n".join(lines) + "\n"


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return configuration


def refuse_newer(found: str | None) -> None:
    """Raise ConfigurationError INVALID_CONFIG for a revision that this ALTAR does not know; None is no tables yet."""
    script = ScriptDirectory.from_config(_configuration())
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The store has tables of revision {found!r}, this ALTAR knows up to {head()!r}",
            hint="open it with the newer ALTAR that migrated it",
        )


def _upgrade(connection: Connection, to: str) -> None:
    """Run the migrations that are missing, over this connection and in its transaction."""
    configuration = _configuration()
    script = ScriptDirectory.from_config(configuration)

    def missing(revision: Any, _context: object) -> Any:
        return script._upgrade_revs(to, revision)  # noqa: SLF001 (so Alembic's documentation says to do it)

    with EnvironmentContext(configuration, script, fn=missing, destination_rev=to) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()


def _prepare_postgres(engine: Engine) -> None:
    """Make the roles and the schema, where they are missing."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        missing = connection.execute(_MISSING, {"roles": [OWNER, APP, OPERATOR, LEDGER]}).scalars().all()
        may = bool(connection.execute(_MAY_CREATE).scalar_one())
        if missing and not may:
            raise _no_roles(connection, f"the roles {', '.join(missing)} are missing")
        for role in missing:
            connection.execute(text(_CREATE_ROLE.format(role=role)))
            connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
        if not connection.execute(_HAS_SCHEMA, {"schema": SCHEMA}).scalar_one():
            _require_owner(connection)
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {OWNER}"))


def _require_owner(connection: Connection) -> None:
    if not connection.execute(_IS_OWNER, {"role": OWNER}).scalar_one():
        raise _no_roles(connection, f"this login is no member of {OWNER}, which owns the tables")


def _no_roles(connection: Connection, what: str) -> ConfigurationError:
    login = connection.execute(text("SELECT session_user")).scalar_one()
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The database is not prepared for ALTAR: {what}",
        hint=f"let an administrator of PostgreSQL run what `altar store roles {login}` prints",
    )


_MISSING = text("SELECT wanted FROM unnest(CAST(:roles AS text[])) wanted WHERE to_regrole(wanted) IS NULL")
_MAY_CREATE = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
_IS_OWNER = text("SELECT pg_has_role(current_user, CAST(:role AS name), 'MEMBER')")
_HAS_SCHEMA = text("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = :schema)")
_CREATE_ROLE = """
DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""
