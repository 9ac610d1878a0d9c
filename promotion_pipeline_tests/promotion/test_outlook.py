"""When what is missing could be there: at the traffic of the last day, not at that of the whole phase."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from promotion_pipeline import check_promotion_eligibility
from promotion_pipeline.promotion.judge.assess import judge
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment

SMALL = (
    VariantSpec("control", is_control=True, requests=960, conversions=96),
    VariantSpec("treatment", requests=960, conversions=200),
)


def _drop(store: Store, experiment: UUID, start: datetime, end: datetime) -> None:
    with store.connect() as connection:
        connection.execute(
            "DELETE FROM ai_requests WHERE experiment_id = %s AND created_at >= %s AND created_at < %s",
            [experiment, start, end],
        )


def test_a_wait_for_requests_is_reckoned_with_the_traffic_of_the_last_day(store: Store) -> None:
    seeded = seed_experiment(store, "steady", SMALL)
    slow = seed_experiment(store, "slow", SMALL)
    # The first half of the last day without a request: the traffic of that day is half of what it was.
    _drop(store, slow.id, slow.end - timedelta(hours=24), slow.end - timedelta(hours=12))
    steady, halved = (
        check_promotion_eligibility(name, {"min_sample_size": 2_000}, store=store) for name in ("steady", "slow")
    )
    assert judge(store, ["steady"]).assessments[0].traffic == pytest.approx(
        {str(id): 10.0 for id in seeded.variant_ids.values()}
    )
    assert steady.missing_hours == pytest.approx((2_000 - 960) / 10)
    assert halved.missing_hours == pytest.approx((2_000 - 840) / 5)
    assert "needs about 4.3 more days for 1,040 more requests in the smaller arm" in steady.missing


def test_where_the_traffic_ended_no_wait_brings_it(store: Store) -> None:
    seeded = seed_experiment(store, "ended", SMALL)
    _drop(store, seeded.id, seeded.end - timedelta(hours=25), seeded.end)
    found = check_promotion_eligibility("ended", {"min_sample_size": 2_000}, store=store)
    assert found.missing_hours is None
    assert any(need.startswith("there is no traffic to wait for") for need in found.missing)


def test_a_young_phase_is_reckoned_since_its_start(store: Store) -> None:
    end = seed_experiment(store, "old", SMALL).end
    seed_experiment(store, "young", SMALL, start=end - timedelta(hours=6), end=end)
    assert set(judge(store, ["young"]).assessments[0].traffic.values()) == {160.0}
