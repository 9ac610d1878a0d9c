"""The lines of a refusal: what they name works when it is run."""

from __future__ import annotations

import pytest

from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import connect
from promotion_pipeline_tests.adoption import specified


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER TABLE ab_experiments ALTER is_active DROP DEFAULT, ALTER is_active TYPE smallint USING 1",
            "is_active <> 0",
        ),
        ("ALTER TABLE experiment_promotions ALTER promoted_by SET NOT NULL", "DROP NOT NULL"),
        ("ALTER TABLE experiment_promotions ADD ticket text NOT NULL", "ticket DROP NOT NULL"),
        ("ALTER TABLE experiment_promotions ALTER rollback_reason TYPE varchar(40)", "rollback_reason TYPE text"),
        ("ALTER TABLE experiment_promotions ALTER rollback_reason SET NOT NULL", "rollback_reason DROP NOT NULL"),
        (
            "CREATE DOMAIN who AS varchar(12); CREATE DOMAIN person AS who;"
            " ALTER TABLE experiment_promotions ALTER promoted_by TYPE person USING NULL",
            "promoted_by TYPE text",
        ),
        ("ALTER TABLE ai_requests ALTER latency_ms TYPE interval USING NULL", "extract(epoch"),
        ("ALTER TABLE ai_requests ALTER created_at DROP DEFAULT, ALTER created_at TYPE bigint USING 0", "to_timestamp"),
        ("ALTER TABLE ab_variants ALTER traffic_percentage TYPE text", "traffic_percentage::numeric"),
    ],
)
def test_the_line_that_is_named_makes_the_table_adoptable(empty_database: str, change: str, said: str) -> None:
    with connect(empty_database) as connection:
        connection.execute(specified.TABLES.encode())
        connection.execute(change.encode())
        with pytest.raises(AdoptionError) as refused:
            migrate.upgrade(empty_database)
        (line,) = refused.value.lines
        assert said in line
        connection.execute(line.partition("; ")[2].encode())
        assert migrate.upgrade(empty_database) == migrate.head_revision()
