"""Could not measure is never passed: a log that does not say which requests failed promotes nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups import Span, open_log
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import PLACES, Place, each, with_mapping
from promotion_pipeline_tests.seeding import WINNER, Seeded, seed_experiment

ELSEWHERE = each(*(name for name in PLACES if name != "own table"))


def mapped(
    make_place: MakePlace, store: Store, name: str, is_error: str | None, **columns: Callable[[pd.DataFrame], Any]
) -> tuple[Place, Seeded]:
    """A log whose error column is gone, or turned into `columns`, and `is_error` of its mapping."""
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER)
    where.move_requests(drop=("is_error",), add=columns)
    if is_error is not None:
        with_mapping(where, columns={"is_error": is_error})
    return where, seeded


@pytest.mark.parametrize("rolled", [True, False])
@pytest.mark.parametrize("is_error", [None, ""])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_log_without_an_error_column_is_not_eligible(
    make_place: MakePlace, store: Store, name: str, is_error: str | None, rolled: bool
) -> None:
    where, seeded = mapped(make_place, store, name, is_error)
    if rolled:
        with open_log(where.store) as log:
            log.roll_up(seeded.start, seeded.end)
        refresh_totals(store, seeded.end)
    [answer] = assess(where.store, ["checkout"])
    assert not answer.is_eligible
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert not answer.safety_checks.error_rate_acceptable
    assert answer.safety_checks.min_confidence
    [check] = [check for check in answer.checks if check.name == "error_rate_acceptable"]
    assert check.observed is None
    assert "not measured" in check.message
    with open_log(where.store) as log:
        sums = log.sums([Span("all", seeded.id, seeded.start, seeded.end)])
    assert sums["errors"].isna().all()
    assert sums["requests"].sum() == 20_000


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_mapping_may_say_that_there_are_no_errors_to_see(make_place: MakePlace, store: Store, name: str) -> None:
    where, seeded = mapped(make_place, store, name, "never")
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end)
        assert log.sums([Span("all", seeded.id, seeded.start, seeded.end)])["errors"].sum() == 0
    [answer] = assess(where.store, ["checkout"])
    assert answer.is_eligible


@pytest.mark.parametrize(
    ("is_error", "column"),
    [
        ("not ok", lambda rows: ~rows["is_error"]),
        ("not ok", lambda rows: (~rows["is_error"]).astype("int64")),
        ("status >= 500", lambda rows: rows["is_error"].map({True: 503, False: 200})),
        (
            "outcome != 'it''s fine'".replace("''", "’"),
            lambda rows: rows["is_error"].map({True: "x", False: "it’s fine"}),
        ),
        ("outcome = 'failed'", lambda rows: rows["is_error"].map({True: "failed", False: "ok"})),
    ],
)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_mapping_may_be_an_expression(
    make_place: MakePlace, store: Store, name: str, is_error: str, column: Callable[[pd.DataFrame], Any]
) -> None:
    word = "ok" if "ok" in is_error.split() else is_error.split()[0]
    where, seeded = mapped(make_place, store, name, is_error, **{word: column})
    with open_log(where.store) as log:
        assert log.sums([Span("all", seeded.id, seeded.start, seeded.end)])["errors"].sum() == 200
        assert log.rollups(seeded.start, seeded.end)["errors"].sum() == 200


@pytest.mark.parametrize(
    "is_error",
    [
        "not ok; DROP TABLE ab_experiments",
        "1 = 1",
        "not (ok)",
        "status >= (SELECT 1)",
        "outcome = 'a' OR true",
        "lower(outcome) = 'x'",
        "outcome = 'a' --",
        "nothing",
        "not nothing",
        "not user_id",
        "user_id > 5",
        "latency_ms = 'slow'",
    ],
)
def test_an_expression_that_is_none_is_refused(make_place: MakePlace, store: Store, is_error: str) -> None:
    where, seeded = mapped(make_place, store, "DuckDB", is_error)
    with open_log(where.store) as log, pytest.raises(ConfigError, match="is_error"):
        log.rollups(seeded.start, seeded.end)


def test_one_hour_without_errors_measured_leaves_the_phase_unmeasured(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout", WINNER)
    with open_log(store) as log:
        log.roll_up(seeded.start, seeded.end)
    assert assess(store, ["checkout"])[0].is_eligible
    connection.execute(
        "UPDATE hourly_variant_rollups SET errors = NULL WHERE hour = %s", (seeded.start + timedelta(hours=2),)
    )
    refresh_totals(store, seeded.end)
    assert not assess(store, ["checkout"])[0].is_eligible
    assert pd.isna(connection.execute("SELECT min(errors) AS e FROM phase_totals").fetchone()["e"])  # type: ignore[index]
