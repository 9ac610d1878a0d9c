"""Hourly sums by user, from which the user-level second moments of the rollups are kept exact."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
