"""After the promotion: ramps in steps, the watch, and the way back without a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from promotion_pipeline import ConflictError, SplitDriftError, get_promotion_history, promote_winner, rollback_promotion
from promotion_pipeline.config import Direction, Mode, PrimaryMetric, PromotionConfig
from promotion_pipeline.promotion.act.holds import hold_promotion
from promotion_pipeline.promotion.act.keeping import acknowledge_breach
from promotion_pipeline.promotion.act.ramp import advance_ramp, advance_ramps
from promotion_pipeline.promotion.record.models import Outcome, Promotion
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.unattended.watch import WatchAction, watch_promotions
from promotion_pipeline.promotion.watch.rules import Sums, WatchStatus, judge_window, overall
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import (
    WINNER,
    Seeded,
    VariantSpec,
    add_requests,
    count,
    let_time_pass,
    seed_experiment,
    split_of,
)

RAMP = {"rampSteps": [75, 100], "rampHoldHours": 24}
FOUR = (
    VariantSpec("control", is_control=True, traffic=40, requests=8_000, conversions=800),
    VariantSpec("a", traffic=20, requests=4_000, conversions=800),
    VariantSpec("b", traffic=20, requests=4_000, conversions=400),
    VariantSpec("c", traffic=20, requests=4_000, conversions=400),
)
HEALTHY = VariantSpec("treatment", requests=3_000, conversions=390, errors=30)
FAILING = VariantSpec("treatment", requests=3_000, conversions=390, errors=300)


def now(store: Store) -> datetime:
    with store.connect() as connection:
        row = connection.execute("SELECT now() AS at").fetchone()
    assert row is not None
    at: datetime = row["at"]
    return at.astimezone(UTC)


def served_since(store: Store, seeded: Seeded, promotion: Promotion, hours: int, *variants: VariantSpec) -> None:
    """Let `hours` go by after the promotion's step began, with these requests in them."""
    let_time_pass(store, seeded, hours)
    end = now(store)
    for variant in variants:
        add_requests(store, seeded, variant, start=end - timedelta(hours=hours), end=end)


def test_a_ramp_goes_to_100_in_steps_when_each_was_held_and_clean(store: Store) -> None:
    seeded = seed_experiment(store, "x", FOUR, promotion_config=RAMP)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    assert promotion.state is PromotionState.RAMPING
    assert split_of(store, seeded) == {
        "control": Decimal("12.50"),
        "a": Decimal("75.00"),
        "b": Decimal("6.25"),
        "c": Decimal("6.25"),
    }
    assert advance_ramps(store)[0].outcome is Outcome.RAMP_WAITS
    served_since(store, seeded, promotion, 25, VariantSpec("a", requests=3_000, conversions=600))
    assert advance_ramps(store)[0].outcome is Outcome.RAMPED
    assert split_of(store, seeded)["a"] == Decimal(100)
    assert get_promotion_history("x", store=store)[0].state is PromotionState.PROMOTED
    assert advance_ramps(store) == ()
    rollback_promotion("x", "done", "anna", store=store)
    assert split_of(store, seeded)["control"] == Decimal(40)


def test_a_ramp_waits_while_nothing_can_be_measured(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=RAMP)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 30)
    for _ in range(2):
        assert "the log has no request of 'treatment' in the last hour" in advance_ramps(store)[0].message
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE event = 'ramp_blocked'") == 1
    assert advance_ramp("x", "anna", store=store).state is PromotionState.PROMOTED
    with pytest.raises(ConflictError, match="does not ramp"):
        advance_ramp("x", "anna", store=store)


def test_a_ramp_waits_for_a_hold_a_switch_and_a_drift(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=RAMP)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 30, HEALTHY)
    off = Store(store.url, store.settings.model_copy(update={"enabled": False}))
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    assert "switched off" in advance_ramps(off)[0].message
    assert "shadow" in advance_ramps(shadow)[0].message
    hold_promotion("x", "sleep first", "anna", store=store)
    assert "on hold: held by anna: sleep first" in advance_ramps(store)[0].message
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET auto_promotion_hold = NULL")
        connection.execute("UPDATE ab_variants SET traffic_percentage = 50")
    assert "somebody else changed" in advance_ramps(store)[0].message
    with pytest.raises(SplitDriftError):
        advance_ramp("x", "anna", store=store)


def test_a_ramp_of_a_held_experiment_that_a_person_started_goes_on(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=RAMP)
    hold_promotion("x", "no machines here", "anna", store=store)
    promotion = promote_winner("x", "manual", "anna", store=store)
    served_since(store, seeded, promotion, 30, HEALTHY)
    assert advance_ramps(store)[0].outcome is Outcome.RAMPED


def test_a_breach_blocks_the_ramp_and_alerts_once(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=RAMP)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 30, FAILING)
    found = watch_promotions(store)[0]
    assert (found.status, found.action) == (WatchStatus.BREACH, WatchAction.ALERTED)
    assert "error rate 10.00 %" in found.message
    assert watch_promotions(store)[0].action is WatchAction.ALERTED_BEFORE
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE event = 'watch_breach'") == 1
    assert advance_ramps(store)[0].outcome is Outcome.RAMP_WAITS
    assert get_promotion_history("x", store=store)[0].is_live


def test_auto_rollback_gives_control_all_traffic_and_holds(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"autoRollback": True})
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 2, FAILING)
    assert watch_promotions(store)[0].action is WatchAction.ROLLED_BACK
    assert split_of(store, seeded) == {"control": Decimal(100), "treatment": Decimal(0)}
    record = get_promotion_history("x", store=store)[0]
    assert record.rolled_back_by == "promotion_watch"
    assert record.rollback_reason is not None
    assert record.rollback_reason.startswith("watch: error rate 10.00 %")
    assert watch_promotions(store) == ()


def test_auto_rollback_keeps_off_what_somebody_else_changed_and_still_alerts(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"autoRollback": True})
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 2, FAILING)
    with store.connect() as connection:
        connection.execute("UPDATE ab_variants SET traffic_percentage = 50")
    found = watch_promotions(store)[0]
    assert found.action is WatchAction.ALERTED
    assert "not rolled back" in found.message
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE event = 'watch_breach'") == 1


def test_the_watch_ends_after_its_hours_and_sees_the_last_hour_alone(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(
        store, seeded, promotion, 40, VariantSpec("treatment", requests=100_000, conversions=13_000, errors=1_000)
    )
    assert watch_promotions(store)[0].status is WatchStatus.CLEAN
    end = now(store)
    spike = VariantSpec("treatment", requests=500, conversions=65, errors=100)
    add_requests(store, seeded, spike, start=end - timedelta(minutes=10), end=end)
    found = watch_promotions(store)[0]
    assert [c.window for c in found.checks if c.status is WatchStatus.BREACH] == ["recent", "now"]
    let_time_pass(store, seeded, 10)
    assert [(found.checks, found.has_open_breach) for found in watch_promotions(store)] == [((), True)]
    acknowledge_breach("x", "a bad hour", "anna", store=store)
    assert watch_promotions(store) == ()


BEFORE = Sums(10_000, 100, 10_000, 1_300, 10_000, 1_000_000.0, 101_000_000.0)
SAME = Sums(5_000, 50, 5_000, 650, 5_000, 500_000.0, 50_500_000.0)
NOTHING = Sums()


@pytest.mark.parametrize(
    ("after", "control", "breached"),
    [
        (SAME, NOTHING, set()),
        (replace(SAME, errors=150), NOTHING, {"error_rate"}),
        (replace(SAME, errors=74), NOTHING, set()),
        (replace(SAME, errors=150), replace(SAME, errors=150), set()),
        (replace(SAME, errors=150), SAME, {"error_rate"}),
        (replace(SAME, latency_ms_sum=625_000.0, latency_ms_sum_squares=80_000_000.0), NOTHING, {"latency"}),
        (replace(SAME, latency_ms_sum=590_000.0, latency_ms_sum_squares=70_000_000.0), NOTHING, set()),
        (replace(SAME, conversions=450), NOTHING, {"conversion"}),
        (replace(SAME, conversions=600), NOTHING, set()),
        (replace(SAME, conversions=450), replace(SAME, conversions=440), set()),
        (replace(SAME, conversions=450), replace(SAME, conversions=600), {"conversion"}),
        (replace(SAME, conversions=650), replace(SAME, conversions=900), {"conversion"}),
    ],
)
def test_what_counts_as_worse(after: Sums, control: Sums, breached: set[str]) -> None:
    checks = judge_window("step", BEFORE, after, control, PromotionConfig())
    assert {c.metric.value for c in checks if c.status is WatchStatus.BREACH} == breached


def test_too_few_requests_are_unmeasured_and_never_clean() -> None:
    checks = judge_window("step", BEFORE, Sums(99, 99, 99, 0, 99, 1.0, 1.0), NOTHING, PromotionConfig())
    assert {check.status for check in checks} == {WatchStatus.UNMEASURED}
    assert overall(checks) is WatchStatus.UNMEASURED


@pytest.mark.parametrize(
    ("metric", "direction", "after", "control", "breached"),
    [
        ("conversion", "decrease", replace(SAME, conversions=900), NOTHING, {"conversion"}),
        ("conversion", "decrease", replace(SAME, conversions=450), NOTHING, set()),
        ("value_mean", "increase", replace(SAME, value_sum=8_000.0, value_sum_squares=20_000.0), NOTHING, {"value"}),
        ("value_per_user", "increase", replace(SAME, value_sum=9_900.0, value_sum_squares=25_000.0), NOTHING, set()),
        ("value_mean", "decrease", replace(SAME, value_sum=8_000.0, value_sum_squares=20_000.0), NOTHING, set()),
    ],
)
def test_the_primary_metric_is_watched_in_its_direction(
    metric: str, direction: str, after: Sums, control: Sums, breached: set[str]
) -> None:
    before = replace(BEFORE, value_sum=20_000.0, value_sum_squares=50_000.0)
    config = PromotionConfig(primary_metric=PrimaryMetric(metric), direction=Direction(direction))
    checks = judge_window("step", before, after, control, config)
    assert {c.metric.value for c in checks if c.status is WatchStatus.BREACH} == breached


def test_imported_sums_are_watched_too(store: Store) -> None:
    silent = tuple(replace(variant, requests=0) for variant in WINNER)
    seeded = seed_experiment(store, "x", silent, promotion_config={"autoRollback": True, "maxStalenessHours": 10})
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET rollup_source = 'imported'")
    import_hour(store, seeded, seeded.end - timedelta(hours=50), WINNER)
    import_hour(store, seeded, seeded.end - timedelta(hours=1), WINNER)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 4)
    import_hour(store, seeded, seeded.end - timedelta(hours=1), (FAILING,))
    found = watch_promotions(store)[0]
    assert (found.action, found.requests) == (WatchAction.ROLLED_BACK, 3_000)


def import_hour(store: Store, seeded: Seeded, hour: datetime, variants: tuple[VariantSpec, ...]) -> None:
    with store.connect() as connection:
        for variant in variants:
            connection.execute(
                "INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions,"
                " errors, latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares)"
                " SELECT %s, experiment_id, id, %s, %s, %s, %s, 0, 0, 0, 0, 0 FROM ab_experiment_phases"
                " WHERE experiment_id = %s AND ended_at IS NULL",
                [
                    hour,
                    seeded.variant_ids[variant.name],
                    variant.requests,
                    variant.conversions,
                    variant.errors,
                    seeded.id,
                ],
            )
