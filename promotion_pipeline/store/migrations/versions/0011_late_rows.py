"""Late rows: changes of decided hours, the verdicts that they flip, and blocks of long evaluations."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
