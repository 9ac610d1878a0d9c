"""Sessions of the evidence page."""

from __future__ import annotations

from promotion_pipeline.store.migrate import run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
