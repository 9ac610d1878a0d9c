"""Who made a decision, what a shadow leaves, phases that nobody was told of, and who decides with which thresholds."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
