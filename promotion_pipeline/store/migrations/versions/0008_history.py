"""History of what was in force: thresholds, variants, splits, holds, and the environment of each decided hour."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
