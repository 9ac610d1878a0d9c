"""Requests and events that are sent to us, and the tokens of the applications that send and evaluate."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
