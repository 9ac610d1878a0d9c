"""Application tables, phases, frames, lifecycle and outbox."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
