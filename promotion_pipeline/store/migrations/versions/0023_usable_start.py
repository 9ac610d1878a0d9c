"""Phases are compared with the start that can be used."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
