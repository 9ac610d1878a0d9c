"""An hour with far fewer requests than usual keeps the system from promoting; a person is told and may."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from promotion_pipeline.errors import WithheldError
from promotion_pipeline.evaluation.tables import Words
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import WithheldReason
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.usual_traffic import HourTraffic, hour_traffic, quiet_experiments
from promotion_pipeline.store.arrays import us_of
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

HOUR = timedelta(hours=1)
NOW = datetime.fromisoformat("2026-03-20T12:00+00:00")


def traffic(newest: int | None, days: list[int], began: datetime) -> HourTraffic:
    """Of one experiment: its requests in the hour of NOW (None: no row) and in the same hour of the days before."""
    counts = [*([] if newest is None else [newest]), *days]
    first = 1 if newest is None else 0
    hours = np.array([us_of(NOW - timedelta(days=first + day)) for day in range(len(counts))])
    return hour_traffic(Words.of(["a"] * len(counts)), hours, np.array(counts), {"a": began}, NOW)["a"]


@pytest.mark.parametrize(
    ("newest", "days", "usual", "is_quiet"),
    [
        (19, [100] * 7, 100, True),
        (20, [100] * 7, 100, False),
        (19, [100, 100, 4_000, 0, 100], 100, True),
        (0, [49] * 7, None, False),
        (0, [100, 100], None, False),
    ],
)
def test_what_is_usual_is_the_median_of_the_same_hour_of_the_day(
    newest: int, days: list[int], usual: float | None, is_quiet: bool
) -> None:
    began = NOW - timedelta(days=len(days), hours=1)
    found = traffic(newest, days, began)
    assert (found.requests, found.usual, found.is_quiet) == (newest, usual, is_quiet)


def test_an_hour_without_any_row_is_quiet_and_one_before_the_phase_does_not_count() -> None:
    assert traffic(None, [100] * 7, NOW - timedelta(days=30)) == HourTraffic(0, 100.0)
    assert traffic(None, [100] * 7, NOW - timedelta(days=2, hours=1)) == HourTraffic(0, None)


def test_the_system_waits_and_a_person_may_promote(store: Store) -> None:
    seeded = seed_experiment(store, "checkout", WINNER)
    steady = seed_experiment(store, "steady", WINNER)
    with store.connect() as connection:
        connection.execute(
            "DELETE FROM ai_requests WHERE experiment_id = %s AND created_at BETWEEN %s AND %s",
            [seeded.id, seeded.end - HOUR, seeded.end - timedelta(minutes=5)],
        )
    (found,) = assess(store, ["checkout"])
    assert found.is_eligible and found.is_promotable and found.evidence.is_fresh
    assert found.evidence.withheld == (WithheldReason.LOW_TRAFFIC,)
    assert not found.evidence.is_met
    assert "low_traffic" in found.warning_codes
    with pytest.raises(WithheldError, match=r"the newest hour has \d+ requests, usual at this hour of the day are 20"):
        promote_winner("checkout", "auto", "system", store=store)

    rollup_window(store, seeded.start, seeded.end)
    assert set(quiet_experiments(store, seeded.end)) == {"checkout"}
    assert promote_winner("checkout", "manual", "anna", store=store).is_live
    assert promote_winner(steady.name, "auto", "system", store=store).is_live
