"""Tables of the tier ADVANCED: what is decided before it is in force."""

from __future__ import annotations

from alembic import op

from altar.aesp.store.migrations.statements import run_statements

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, and what stands beside them."""
    run_statements(op.get_bind(), "0002_advanced")
