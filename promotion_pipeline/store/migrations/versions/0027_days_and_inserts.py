"""A day's partition is made while requests arrive, and none of them is refused."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
