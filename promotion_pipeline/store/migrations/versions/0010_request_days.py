"""Requests by the day, and which of them are gone."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
