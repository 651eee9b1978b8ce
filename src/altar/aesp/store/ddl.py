"""Statements that stand beside the tables: triggers that note changes, and row-level security on PostgreSQL.

A migration that adds a table runs `beside` for it.
Whatever is put into these texts is a name of ours.
"""

# ruff: noqa: S608 (the names in these statements are constants of this package)

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from altar.aesp.store.engines import APP, OPERATOR, SCHEMA

if TYPE_CHECKING:
    from sqlalchemy import Table

__all__ = ["CHANNEL", "KEPT_CHANGES", "beside", "once"]

CHANNEL = "altar_changed"
"""The channel on which PostgreSQL tells of a change; the payload is the tenant."""

KEPT_CHANGES = 1024
"""How many changes of a tenant are kept; a host that missed more reads the whole tenant again."""

_OPERATORS_OWN = frozenset({"organizations", "business_units"})
_WRITTEN_BY_TRIGGERS = frozenset({"tenant_versions", "changes"})


def once(dialect: str) -> Iterator[str]:
    """The statements that come before all tables."""
    if dialect == "postgresql":
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APP}, {OPERATOR}"
        yield _FUNCTION


def beside(table: Table, dialect: str) -> Iterator[str]:
    """The statements that come after this table."""
    if dialect == "postgresql":
        yield from _row_security(table)
    if "changes" in table.info:
        what, column = table.info["changes"]
        triggers = _postgres_trigger if dialect == "postgresql" else _sqlite_triggers
        yield from triggers(table.name, what, column)


def _row_security(table: Table) -> Iterator[str]:
    """Let the application see the tenant that its transaction named, and the operator see all.

    FORCE makes it hold for the owner of the tables too; who named no tenant sees nothing.
    """
    name = table.name
    if name in _OPERATORS_OWN:
        yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {OPERATOR}"
        return
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    ours = "tenant = nullif(current_setting('altar.tenant', true), '')"
    yield f"CREATE POLICY of_tenant ON {name} TO {APP} USING ({ours}) WITH CHECK ({ours})"
    yield f"CREATE POLICY of_operator ON {name} TO {OPERATOR} USING (true) WITH CHECK (true)"
    if name in _WRITTEN_BY_TRIGGERS:  # by a function of their owner, for whom nothing is forced here
        yield f"GRANT SELECT ON {name} TO {APP}, {OPERATOR}"
        return
    yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
    rights = "SELECT" if name == "tenants" else "SELECT, INSERT, UPDATE, DELETE"
    yield f"GRANT {rights} ON {name} TO {APP}"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {OPERATOR}"


_FUNCTION = f"""
CREATE FUNCTION altar_note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {SCHEMA}, pg_temp AS $$
DECLARE
  changed jsonb := CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
  whose text := changed ->> 'tenant';
  now_at bigint;
BEGIN
  INSERT INTO tenant_versions AS v (tenant, version) VALUES (whose, 1)
    ON CONFLICT (tenant) DO UPDATE SET version = v.version + 1 RETURNING version INTO now_at;
  INSERT INTO changes (tenant, version, what, key) VALUES (whose, now_at, TG_ARGV[0], changed ->> TG_ARGV[1]);
  IF mod(now_at, {KEPT_CHANGES}) = 0 THEN
    DELETE FROM changes WHERE tenant = whose AND version <= now_at - {KEPT_CHANGES};
  END IF;
  PERFORM pg_notify('{CHANNEL}', whose);
  RETURN NULL;
END $$
"""


def _postgres_trigger(table: str, what: str, column: str) -> Iterator[str]:
    yield (
        f"CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION altar_note_change('{what}', '{column}')"
    )


def _sqlite_triggers(table: str, what: str, column: str) -> Iterator[str]:
    for verb, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        version = f"(SELECT version FROM tenant_versions WHERE tenant = {row}.tenant)"
        yield (
            f"CREATE TRIGGER {table}_{verb.lower()} AFTER {verb} ON {table} BEGIN\n"
            f"  INSERT INTO tenant_versions (tenant, version) VALUES ({row}.tenant, 1)"
            " ON CONFLICT (tenant) DO UPDATE SET version = version + 1;\n"
            f"  INSERT INTO changes (tenant, version, what, key) VALUES ({row}.tenant, {version}, '{what}',"
            f" {row}.{column});\n"
            f"  DELETE FROM changes WHERE tenant = {row}.tenant AND version <= {version} - {KEPT_CHANGES}"
            f" AND {version} % {KEPT_CHANGES} = 0;\n"
            "END"
        )
