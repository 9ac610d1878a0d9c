"""Sums of a phase's earlier days, so that an hour's decision does not read the whole phase."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
