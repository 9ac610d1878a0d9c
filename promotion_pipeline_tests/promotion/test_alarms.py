"""What is wrong with a live promotion: told once, kept as its state, shown first, and decidable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from promotion_pipeline import (
    ConflictError,
    acknowledge_breach,
    check_promotion_eligibility,
    get_promotion_history,
    overwrite_split,
    promote_winner,
    rollback_promotion,
)
from promotion_pipeline.config import Mode
from promotion_pipeline.promotion.act.rollback import plan_rollback
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.watched import AlarmKind
from promotion_pipeline.promotion.unattended.watch import WatchAction, watch_promotions
from promotion_pipeline.promotion.watch.alarms import alarms_of
from promotion_pipeline.promotion.watch.rules import WatchStatus
from promotion_pipeline.store.adoption.settle import settle
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

BROKEN = VariantSpec("treatment", requests=3_000, conversions=60, errors=900, latency_ms=900.0)
HEALTHY = VariantSpec("treatment", requests=3_000, conversions=390, errors=30)


def promoted(store: Store, hours: int = 2, *variants: VariantSpec, **config: object) -> Seeded:
    """`x`, promoted `hours` ago, with these requests since."""
    seeded = seed_experiment(store, "x", WINNER, promotion_config=dict(config))
    promote_winner("x", "auto", "sensor", store=store)
    let_time_pass(store, seeded, hours)
    serve(store, seeded, variants, minutes=60 * hours)
    return seeded


def serve(store: Store, seeded: Seeded, variants: Sequence[VariantSpec], minutes: float) -> None:
    """These requests, spread over the newest minutes."""
    with store.connect() as connection:
        row = connection.execute("SELECT clock_timestamp() AS at").fetchone()
    assert row is not None
    end: datetime = row["at"].astimezone(UTC)
    for variant in variants:
        add_requests(store, seeded, variant, start=end - timedelta(minutes=minutes), end=end)


def execute(store: Store, *statements: str) -> None:
    with store.connect() as connection:
        for statement in statements:
            connection.execute(statement)


def kinds(store: Store) -> list[AlarmKind]:
    return [alarm.kind for alarm in alarms_of("x", store=store)]


def events(store: Store, event: str) -> int:
    return count(store, "SELECT count(*) FROM notification_outbox WHERE event = %s", event)


def test_one_incident_is_one_message_that_says_how_to_end_it(store: Store) -> None:
    promoted(store, 2, BROKEN)
    for _ in range(3):
        watch_promotions(store)
    with store.connect() as connection:
        rows = connection.execute("SELECT payload FROM notification_outbox WHERE event = 'watch_breach'").fetchall()
    (payload,) = (row["payload"] for row in rows)
    assert payload["metrics"] == ["conversion", "error_rate", "latency"]
    assert payload["rollback"] == "it is not rolled back by itself: its auto_rollback is off"
    assert payload["command"] == "promotion-pipeline rollback x --to control --reason '...'"


def test_a_breach_is_a_state_that_stays_until_somebody_deals_with_it(store: Store) -> None:
    seeded = promoted(store, 2, BROKEN)
    watch_promotions(store)
    watch = get_promotion_history("x", store=store)[0].watch
    assert watch is not None and watch.breached_at is not None and watch.breach is not None
    assert [hour.requests for hour in watch.hours if hour.requests]
    assert check_promotion_eligibility("x", store=store).alarms[0].kind is AlarmKind.BREACH
    let_time_pass(store, seeded, 100)
    watch_promotions(store)
    assert kinds(store) == [AlarmKind.BREACH]
    rollback_promotion("x", "errors", "anna", to="control", store=store)
    assert kinds(store) == []


def test_what_was_acknowledged_is_silent_until_it_was_well_again(store: Store) -> None:
    seeded = promoted(store, 2, replace(HEALTHY, errors=300))
    watch_promotions(store)
    acknowledge_breach("x", "the bank was down", "anna", store=store)
    assert watch_promotions(store)[0].status is WatchStatus.BREACH
    assert (kinds(store), events(store, "watch_breach")) == ([], 1)
    serve(store, seeded, [replace(HEALTHY, requests=200_000, conversions=26_000, errors=2_000)], minutes=50)
    assert watch_promotions(store)[0].status is WatchStatus.CLEAN
    serve(store, seeded, [replace(HEALTHY, requests=50_000, conversions=6_500, errors=15_000)], minutes=5)
    watch_promotions(store)
    assert (kinds(store), events(store, "watch_breach")) == ([AlarmKind.BREACH], 2)
    with pytest.raises(ConflictError, match="no breach is open"):
        rollback_promotion("x", "errors", "anna", to="control", store=store)
        acknowledge_breach("x", "late", "anna", store=store)


def test_alerts_come_where_promotion_is_switched_off_and_in_shadow_mode(store: Store) -> None:
    promoted(store, 2, BROKEN, autoRollback=True)
    shadow = replace(store, settings=store.settings.model_copy(update={"mode": Mode.SHADOW}))
    found = watch_promotions(shadow)[0]
    assert (found.action, found.message[-37:]) == (WatchAction.ALERTED, "(not rolled back: the mode is shadow)")
    off = replace(store, settings=store.settings.model_copy(update={"enabled": False}))
    # What was told in shadow mode is rolled back as soon as that may be.
    assert watch_promotions(off)[0].action is WatchAction.ROLLED_BACK
    assert events(store, "watch_breach") == 1


def test_thirty_percent_errors_are_seen_within_five_minutes_of_quiet_days(store: Store) -> None:
    seeded = promoted(store, 40, replace(HEALTHY, requests=24_000, conversions=3_120, errors=240))
    assert watch_promotions(store)[0].status is WatchStatus.CLEAN
    serve(store, seeded, [replace(HEALTHY, requests=60, conversions=8, errors=18)], minutes=5)
    found = watch_promotions(store)[0]
    assert {check.window for check in found.checks if check.status is WatchStatus.BREACH} >= {"now"}
    assert found.action is WatchAction.ALERTED


def test_a_few_rare_errors_in_ten_minutes_raise_no_alarm(store: Store) -> None:
    seeded = promoted(store, 40, replace(HEALTHY, requests=24_000, conversions=3_120, errors=24))
    serve(store, seeded, [replace(HEALTHY, requests=60, conversions=8, errors=2)], minutes=5)
    assert watch_promotions(store)[0].status is WatchStatus.CLEAN


@pytest.mark.parametrize("type_", ["integer", "bigint", "numeric", "real"])
def test_an_adopted_column_of_another_type_is_watched(store: Store, type_: str) -> None:
    execute(
        store,
        "DROP VIEW promotion_pipeline_requests",
        f"ALTER TABLE ai_requests ALTER COLUMN latency_ms TYPE {type_}",
        f"ALTER TABLE ai_requests ALTER COLUMN value TYPE {type_}",
    )
    with store.connect() as connection:
        settle(connection)
    promoted(store, 2, BROKEN)
    assert watch_promotions(store)[0].action is WatchAction.ALERTED


# The way back.


def test_a_promotion_whose_loser_was_deleted_can_be_closed_and_made_again(store: Store) -> None:
    seeded = promoted(store)
    execute(store, "DELETE FROM ai_requests WHERE variant_id IN (SELECT id FROM ab_variants WHERE is_control)",
            "DELETE FROM ab_variants WHERE is_control")  # fmt: skip
    for to in ("previous", "control"):
        with pytest.raises(ConflictError, match=r"'control' exists no more .* what is left: --to close"):
            rollback_promotion("x", "errors", "anna", to=to, store=store)
    closed = rollback_promotion("x", "clean up", "anna", to="close", store=store)
    assert (closed.state, closed.rollback_to) == (PromotionState.ROLLED_BACK, "close")
    assert split_of(store, seeded) == {"treatment": Decimal(100)}
    assert count(store, "SELECT count(*) FROM ab_experiments WHERE is_active") == 0
    assert "closed by anna: clean up" in str(check_promotion_eligibility("x", store=store).hold)


def test_a_deleted_winner_leaves_control_as_the_way_back(store: Store) -> None:
    seeded = promoted(store)
    execute(store, "DELETE FROM ai_requests WHERE variant_id IN (SELECT id FROM ab_variants WHERE NOT is_control)",
            "DELETE FROM ab_variants WHERE NOT is_control")  # fmt: skip
    with pytest.raises(ConflictError, match=r"what is left: --to control .* or --to close"):
        rollback_promotion("x", "errors", "anna", store=store)
    rollback_promotion("x", "errors", "anna", to="control", confirm_drift=True, store=store)
    assert split_of(store, seeded) == {"control": Decimal(100)}


def test_variants_that_were_made_again_are_others_and_the_promotion_is_closed(store: Store) -> None:
    seeded = promoted(store)
    execute(
        store,
        "DELETE FROM ai_requests",
        "WITH gone AS (DELETE FROM ab_variants RETURNING experiment_id, name, is_control)"
        " INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
        " SELECT experiment_id, name, is_control, 50 FROM gone",
    )
    with pytest.raises(ConflictError, match="made again is another variant"):
        rollback_promotion("x", "errors", "anna", to="control", store=store)
    assert kinds(store) == [AlarmKind.DRIFT]
    rollback_promotion("x", "made anew", "anna", to="close", store=store)
    assert split_of(store, seeded) == {"control": Decimal(50), "treatment": Decimal(50)}
    assert kinds(store) == []


def test_what_a_rollback_would_do_is_said_and_nothing_is_done(store: Store) -> None:
    seeded = promoted(store)
    plan = plan_rollback("x", to="control", store=store)
    assert plan.split == {"control": Decimal(100), "treatment": Decimal(0)}
    assert split_of(store, seeded) == {"control": Decimal(0), "treatment": Decimal(100)}


# Drift.

SAVED_BACK = ("UPDATE ab_variants SET traffic_percentage = 50", "UPDATE ab_experiments SET is_active = true")


def test_an_application_that_saves_its_old_split_back_is_told_of_once(store: Store) -> None:
    seeded = promoted(store, 500)
    execute(store, *SAVED_BACK)
    for _ in range(3):
        watch_promotions(store)
    assert (kinds(store), events(store, "split_drift")) == ([AlarmKind.DRIFT], 1)
    assert "'control' has 50.00 %, the promotion set 0.00 %" in alarms_of("x", store=store)[0].message
    overwrite_split("x", "a deploy saved an old row", "anna", store=store)
    assert split_of(store, seeded) == {"control": Decimal(0), "treatment": Decimal(100)}
    assert kinds(store) == []
    with pytest.raises(ConflictError, match="nothing to put back"):
        overwrite_split("x", "again", "anna", store=store)
    execute(store, *SAVED_BACK)
    watch_promotions(store)
    assert events(store, "split_drift") == 2
    rollback_promotion("x", "theirs shall stay", "anna", to="close", store=store)
    assert split_of(store, seeded) == {"control": Decimal(50), "treatment": Decimal(50)}
    assert count(store, "SELECT count(*) FROM ab_experiments WHERE is_active") == 1
    assert (kinds(store), watch_promotions(store)) == ([], ())


# Blindness.


def test_a_winner_that_is_not_logged_any_more_is_told_of_once(store: Store) -> None:
    seeded = promoted(store, 3)
    for _ in range(3):
        found = watch_promotions(store)[0]
    assert (found.is_blind, found.status) == (True, WatchStatus.UNMEASURED)
    assert (kinds(store), events(store, "watch_blind")) == ([AlarmKind.BLIND], 1)
    serve(store, seeded, [HEALTHY], minutes=30)
    assert not watch_promotions(store)[0].is_blind
    assert kinds(store) == []


def test_a_promotion_of_a_few_minutes_ago_is_not_called_blind(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "auto", "sensor", store=store)
    assert not watch_promotions(store)[0].is_blind
