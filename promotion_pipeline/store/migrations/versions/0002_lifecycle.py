"""Shadow promotions, applied approvals, state transitions as triggers, attempts at pending acts."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
