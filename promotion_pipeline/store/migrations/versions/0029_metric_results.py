"""What the metrics that an experiment states say of each treatment, and which guardrails a candidate does not keep."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
