"""Plans and re-randomisation from what an experiment's own log says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.config import MetricConfig, PromotionConfig
from promotion_pipeline.decisions.sums import bring_sums_up_to_date
from promotion_pipeline.errors import InputError, NotFoundError
from promotion_pipeline.planning.measured import measured_traffic
from promotion_pipeline.planning.own_log import own_log
from promotion_pipeline.planning.stated import costliest, level_words, stated_metrics_of
from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.simulation import simulate_like
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.conftest import make_place as make_place
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, add_requests, seed_experiment

ARMS = (
    VariantSpec("control", is_control=True, requests=12_000, conversions=600),
    VariantSpec("treatment", requests=12_000, conversions=720),
)


def _rolled_up(store: Store, name: str, users: int | None, **more: object) -> Seeded:
    seeded = seed_experiment(store, name, ARMS, users=users, **more)  # type: ignore[arg-type]
    roll_up(store, seeded.start, seeded.end)
    return seeded


def test_an_experiment_is_planned_by_its_own_rate_traffic_and_users(store: Store) -> None:
    _rolled_up(store, "checkout", users=1_500, promotion_config={"minImprovementPercent": 2})
    traffic, config = measured_traffic(store, "checkout")
    assert traffic.mean == pytest.approx(0.05)
    assert traffic.requests_per_day == pytest.approx(6_000, rel=0.01)
    assert traffic.shares == pytest.approx((0.5, 0.5))
    assert traffic.requests_per_user == pytest.approx(8, rel=0.05)
    assert traffic.design_effect >= 1.0
    assert config.min_improvement_percent == 2


def test_where_no_user_is_known_requests_are_planned_as_they_are_judged(store: Store) -> None:
    _rolled_up(store, "guests", users=None)
    traffic, _ = measured_traffic(store, "guests")
    assert traffic.requests_per_user is None
    assert traffic.design_effect == pytest.approx(1.0, abs=1e-6)


def test_without_traffic_it_says_what_to_do(store: Store) -> None:
    none = tuple(VariantSpec(arm.name, is_control=arm.is_control) for arm in ARMS)
    seed_experiment(store, "empty", none)
    with pytest.raises(InputError, match="empty has no traffic yet: let it run for a day"):
        measured_traffic(store, "empty")
    with pytest.raises(InputError, match="has no requests in ai_requests yet"):
        own_log(store, "empty")
    with pytest.raises(NotFoundError, match="did you mean 'empty'"):
        measured_traffic(store, "emtpy")


def test_few_conversions_are_no_rate(store: Store) -> None:
    rare = tuple(VariantSpec(a.name, is_control=a.is_control, requests=500, conversions=5) for a in ARMS)
    seeded = seed_experiment(store, "rare", rare)
    roll_up(store, seeded.start, seeded.end)
    with pytest.raises(InputError, match="10 conversions, which say little"):
        measured_traffic(store, "rare")


@pytest.mark.parametrize("name", ["own table", "another PostgreSQL", "DuckDB"])
def test_the_users_of_a_log_are_the_same_wherever_it_is(make_place: MakePlace, name: str) -> None:
    place = make_place(name)
    seed_experiment(place.store, "checkout", ARMS, users=150)
    place.move_requests()
    own = own_log(place.store, "checkout")
    assert own.log.users == 300
    assert own.log.adds["requests"].sum() == 24_000
    assert own.log.adds["conversions"].sum() == 1_320
    assert own.log.adds["new_users"].sum() == 300
    assert own.log.hours == 96
    assert own.split == (50.0, 50.0) and own.notes == ()


def test_a_log_that_names_no_users_cannot_be_dealt_anew(store: Store) -> None:
    seed_experiment(store, "guests", ARMS)
    with pytest.raises(InputError, match="0 users are too few"):
        own_log(store, "guests")


def test_a_long_log_is_cut_to_its_newest_days(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_experiment(store, "busy", ARMS, users=150)
    monkeypatch.setattr("promotion_pipeline.planning.own_log.MOST_REQUESTS", 13_000)
    own = own_log(store, "busy")
    assert own.log.hours == 48
    assert own.notes == ("only the newest 2 days: 12,000 requests",)
    monkeypatch.setattr("promotion_pipeline.planning.own_log.MOST_REQUESTS", 1_000)
    with pytest.raises(InputError, match="requests a day, more than the 1,000"):
        own_log(store, "busy")


def test_requests_without_a_user_are_left_out_and_counted(store: Store) -> None:
    seeded = seed_experiment(store, "mixed", ARMS, users=150)
    with store.connect() as connection:
        connection.execute(
            "UPDATE ai_requests SET user_id = NULL WHERE id IN ("
            " SELECT id FROM ai_requests WHERE experiment_id = %s ORDER BY created_at, id LIMIT 2400)",
            [seeded.id],
        )
    own = own_log(store, "mixed")
    assert own.notes == ("2,400 of 24,000 requests name no user and are left out",)


def test_stated_metrics_are_dealt_with_their_users_and_add_up_to_what_is_stored(store: Store) -> None:
    metrics = [
        {"name": "revenue", "kind": "user_mean", "event": "purchase", "role": "goal", "cap": 60},
        {"name": "buyers", "kind": "user_proportion", "event": "purchase", "role": "guardrail", "margin_percent": 50},
        {"name": "orders", "kind": "user_count", "event": "purchase", "role": "secondary"},
        {"name": "speed", "kind": "request_mean", "column": "latency_ms", "role": "guardrail", "direction": "decrease"},
        {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "orders", "role": "secondary"},
    ]
    seeded = seed_experiment(store, "checkout", ARMS, users=150, promotion_config={"metrics": metrics})
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)"
            " SELECT gen_random_uuid(), experiment_id, user_id, created_at + interval '1 hour', 'purchase',"
            " (row_number() OVER (ORDER BY created_at, id)) %% 50"
            " FROM ai_requests WHERE experiment_id = %s AND converted AND created_at < %s - interval '2 hours'",
            [seeded.id, seeded.end],
        )
    bring_sums_up_to_date(store, seeded.start, seeded.end)
    own = own_log(store, "checkout")
    assert set(own.log.metrics) == {"revenue", "buyers", "orders", "speed", "basket"}
    with store.connect() as connection:
        stored = connection.execute(
            "SELECT metric, sum(new_users) AS new_users, sum(requests) AS requests, sum(value_sum) AS value_sum,"
            " sum(value_sum_squares) AS value_sum_squares, sum(user_value_sum_squares) AS user_value_sum_squares,"
            " sum(denominator_sum) AS denominator_sum,"
            " sum(user_denominator_sum_squares) AS user_denominator_sum_squares,"
            " sum(user_value_denominator_sum_products) AS user_value_denominator_sum_products"
            " FROM hourly_metric_rollups WHERE experiment_id = %s GROUP BY 1",
            [seeded.id],
        ).fetchall()
    assert len(stored) == 5
    for row in stored:
        adds = own.log.metrics[row["metric"]].adds
        expected = {name: float(value) for name, value in row.items() if name != "metric"}
        if row["metric"] == "speed":
            expected["new_users"] = adds["new_users"].sum()
        assert {name: adds[name].sum() for name in expected} == pytest.approx(expected, rel=1e-9), row["metric"]
    _plan_by_their_own(store, own.config)
    found = simulate_like(own.log, own.split, experiments=20, config=own.config)
    assert [metric.metric for metric in found.metrics] == ["revenue", "buyers", "orders", "speed", "basket"]
    assert all(metric.better[0] <= 0.2 for metric in found.metrics)
    assert found.metrics[1].kept is not None and found.metrics[0].kept is None


def _plan_by_their_own(store: Store, config: PromotionConfig) -> None:
    """A goal is planned by the variance of its users' values, a guardrail by its own, and what is not kept says so."""
    traffic, _ = measured_traffic(store, "checkout")
    lost = MetricConfig.model_validate({"name": "lost", "kind": "user_mean", "event": "lost", "role": "goal"})
    asked = config.model_copy(update={"metrics": (*config.metrics, lost)})
    revenue, buyers, missing = stated_metrics_of(store, "checkout", traffic, asked)
    with store.connect() as connection:
        values = connection.execute(
            "SELECT person.variant_id, least(coalesce(sum(did.value), 0), 60)::float8 AS value"
            " FROM metric_users AS person LEFT JOIN hourly_user_metrics AS did"
            " ON (did.phase_id, did.user_id) = (person.phase_id, person.user_id)"
            " AND did.metric = 'revenue' GROUP BY person.phase_id, person.user_id, person.variant_id"
        ).fetchall()
    arms = [rows["value"] for _, rows in pd.DataFrame(values).groupby("variant_id")]
    assert revenue.traffic is not None and revenue.relative_variance is not None
    mean = revenue.traffic.mean
    control = min(arms, key=lambda arm: abs(arm.mean() - mean))
    assert mean == pytest.approx(control.mean(), rel=1e-9)
    relative = np.mean([arm.var() / len(arm) for arm in arms]) * 24_000 / control.mean() ** 2 / 2
    assert revenue.relative_variance == pytest.approx(relative, rel=0.02)
    assert (buyers.metric.margin_percent, costliest((revenue, buyers, missing))) == (50, buyers)
    assert missing.traffic is None
    assert "is planned by the primary metric's rate and variance: nothing is kept of it yet" in level_words(missing)


def test_requests_without_a_user_are_counted_where_the_log_is_dealt_anew(store: Store) -> None:
    seeded = _rolled_up(store, "checkout", users=1_500)
    add_requests(store, seeded, VariantSpec("control", requests=3_000), start=seeded.start, end=seeded.end)
    own = own_log(store, "checkout")
    assert (own.requests, own.requests_without_user) == (27_000, 3_000)
    assert own.notes[0] == "3,000 of 27,000 requests name no user and are left out"
    assert "the experiment itself is judged by request" in own.notes[1]


def test_an_experiment_that_is_not_summed_up_yet_is_not_told_to_wait(store: Store) -> None:
    seeded = seed_experiment(store, "loaded", ARMS)
    line = f"evaluate --from {seeded.start:%Y-%m-%dT%H:00Z} --experiment loaded --roll-up, or promotion-pipeline auto"
    with pytest.raises(InputError, match="24,000 requests that are not summed up yet") as refused:
        measured_traffic(store, "loaded")
    assert line in str(refused.value)
