"""A plan that is changed after the first look opens a phase."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
