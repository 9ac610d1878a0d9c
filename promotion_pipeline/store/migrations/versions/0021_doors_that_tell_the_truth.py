"""Who acted through whom, and which runs give signs of life."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0021"
down_revision = "0019"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
