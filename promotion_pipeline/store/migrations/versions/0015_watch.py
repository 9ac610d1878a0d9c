"""What the watch last saw of each promotion, and what it raised."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
