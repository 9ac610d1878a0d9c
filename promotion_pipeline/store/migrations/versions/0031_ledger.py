"""What promotions promised and what came of it, and the lifts of ended experiments."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
