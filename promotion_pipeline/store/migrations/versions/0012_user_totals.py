"""The totals of every user, so that an hour does not read the users' past."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
