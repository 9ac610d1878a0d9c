"""The shrunken lift, group-sequential looks, the sequential sample ratio test, and multiple exposure as a number."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
