"""Where a split is served, which users it gives to whom, and its way to whoever serves it."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
