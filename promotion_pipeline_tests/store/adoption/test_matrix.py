"""Some cells of the matrix; all of them: `python -m promotion_pipeline_tests.adoption`."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_pipeline.store.connection import is_pooled
from promotion_pipeline_tests.adoption.cells import CELLS
from promotion_pipeline_tests.adoption.story import play

BY_NAME = {cell.name: cell for cell in CELLS}
WORKING = (
    "ab_variants.traffic_percentage integer",
    "ab_experiments.start_date timestamp",
    "domains everywhere",
    "the log in another schema, seen through a view",
    "a log of their own partitions",
)
REFUSED = (
    "ab_experiments.id bigint",
    "ab_variants.traffic_percentage text",
    "a log of mixed case",
    "a view as ab_experiments",
    "a table of theirs called api_tokens",
)


@pytest.mark.parametrize("name", WORKING)
def test_a_teams_tables_live_through_promotion_and_rollback(name: str, new_database: str, tmp_path: Path) -> None:
    assert play(BY_NAME[name], new_database, tmp_path).refusal == ()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_adopted_is_refused_with_nothing_changed(name: str, new_database: str, tmp_path: Path) -> None:
    lines = play(BY_NAME[name], new_database, tmp_path).refusal
    assert lines
    assert all(": expected " in line and "; " in line for line in lines)


def test_postgresql_15_adopts_too(older_database: str, tmp_path: Path) -> None:
    assert play(BY_NAME["ai_requests.created_at timestamp"], older_database, tmp_path).refusal == ()


def test_everything_works_through_a_pooler_in_transaction_mode(
    pooled_url: str, older_database: str, tmp_path: Path
) -> None:
    cell = BY_NAME["ab_variants.traffic_percentage real"]
    assert play(cell, pooled_url, tmp_path, direct=older_database).refusal == ()
    assert is_pooled(pooled_url)
