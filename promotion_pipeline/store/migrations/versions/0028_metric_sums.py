"""Sums of the metrics that an experiment states beside its primary one, and what they are made of."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
