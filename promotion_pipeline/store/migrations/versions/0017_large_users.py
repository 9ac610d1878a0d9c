"""Sums that tell a large user from many small ones, and since when a decision has been measured."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
