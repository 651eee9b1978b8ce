"""The first tables: tenants, people, roles, keys."""

from __future__ import annotations

from alembic import op

from altar.aesp.store.migrations.statements import run_statements

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and what stands beside them."""
    run_statements(op.get_bind(), "0001_foundation")
