"""A log elsewhere: what it lost is named, and what it cannot measure is null."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
