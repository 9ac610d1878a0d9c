"""What of every phase is in its rollups, so that an experiment that arrives with its history is caught up."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
