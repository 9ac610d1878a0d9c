"""Every log is asked every question; `python -m promotion_pipeline_tests.rollups` writes the table of the docs.

In the suite the product's own table and DuckDB are asked: what the other engines do differently has tests of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import dagster_template, stage
from promotion_pipeline_tests.rollups.places import PLACES, place
from promotion_pipeline_tests.rollups.questions import QUESTIONS, Asked, table_of, write_table

__all__ = ["dagster_template", "stage"]

PAGE = os.environ.get("PROMOTION_PIPELINE_ENGINE_TABLE")
"""The page to write the table into."""
ASKED = PLACES if PAGE else ("own table", "DuckDB")


@pytest.fixture(scope="module")
def passed() -> Iterator[dict[tuple[str, str], bool]]:
    """The cells; written once all are there."""
    cells: dict[tuple[str, str], bool] = {}
    yield cells
    if PAGE:
        write_table(Path(PAGE), table_of(cells, PLACES))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", ASKED)
def test_every_log_answers_every_question(
    request: pytest.FixtureRequest,
    passed: dict[tuple[str, str], bool],
    store: Store,
    log_url: str,
    tmp_path: Path,
    name: str,
    question: str,
) -> None:
    if name == "Spark":
        request.getfixturevalue("spark")
    elif name in {"DuckDB", "chdb"}:
        pytest.importorskip(name.lower())
    asked = Asked(place(name, store, tmp_path, log_url), store, lambda: request.getfixturevalue("stage"))
    ask = QUESTIONS[question]
    ask(asked)
    passed[name, question] = True


def test_a_question_that_fails_is_said_to_fail() -> None:
    table = table_of({("DuckDB", "tick"): True}, ("DuckDB",))
    assert "| tick | yes |" in table
    assert "| watch | not |" in table
