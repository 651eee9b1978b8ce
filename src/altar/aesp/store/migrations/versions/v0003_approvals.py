"""The table of approved calls, which hosts share."""

from __future__ import annotations

from alembic import op

from altar.aesp.store.migrations.statements import run_statements

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, and what stands beside it."""
    run_statements(op.get_bind(), "0003_approvals")
