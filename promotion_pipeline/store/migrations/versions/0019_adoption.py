"""A team's own tables: drafts, deleted experiments, promotions recorded before us, logs of other partitions."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
