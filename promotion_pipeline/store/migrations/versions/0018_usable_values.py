"""Dates that a phase can begin at, and user ids as they are kept."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
