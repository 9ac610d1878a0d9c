"""What each table is for and what bounds its growth, as comments of the tables."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
