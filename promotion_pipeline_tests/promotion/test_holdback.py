"""A holdback: control keeps a part of the traffic after the ramp, for as long as was said, and then nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from promotion_pipeline import AlreadyPromotedError, ConflictError, promote_winner, rollback_promotion
from promotion_pipeline.config import parse_config
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.promotion.act.holds import hold_promotion
from promotion_pipeline.promotion.act.ramp import advance_ramp, advance_ramps
from promotion_pipeline.promotion.history.happened import events_of
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.record.splits import held_back, steps_of
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.unattended.pending import PendingKind, apply_pending, pending_promotions
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.promotion.watch.rules import WatchStatus
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.test_ramp_and_watch import FOUR, HEALTHY, now
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

HELD = {"holdbackPercent": 5, "holdbackDays": 14}
BEHIND = VariantSpec("control", requests=600, conversions=60, errors=6)


def held_for(store: Store, seeded: Seeded, hours: int, *variants: VariantSpec) -> None:
    """Let hours go by, and log these requests in the newest 24 of them."""
    let_time_pass(store, seeded, hours)
    end = now(store)
    for variant in variants:
        add_requests(store, seeded, variant, start=end - timedelta(hours=min(hours, 24)), end=end)


@pytest.mark.parametrize(
    ("steps", "share", "holdback", "expected"),
    [
        ((100.0,), 50, 0, [100]),
        ((100.0,), 50, 5, [95, 100]),
        ((75.0, 98.0, 100.0), 50, 5, [75, 95, 100]),
        ((75.0, 95.0, 100.0), 50, 5, [75, 95, 100]),
        ((75.0, 100.0), 97, 5, [97, 100]),
        ((75.0, 100.0), 100, 5, [100]),
    ],
)
def test_the_holdback_is_the_last_step_but_one(
    steps: tuple[float, ...], share: int, holdback: float, expected: list[float]
) -> None:
    assert [step.percent for step in steps_of(steps, Decimal(share), holdback)] == expected


def test_of_several_losing_arms_control_alone_keeps_traffic() -> None:
    before = {"a": Decimal(40), "b": Decimal(30), "c": Decimal(30)}
    split = held_back(before, "c", "a", 95.0)
    assert split == {"a": Decimal("5.00"), "b": Decimal("0.00"), "c": Decimal("95.00")}


@pytest.mark.parametrize("bad", [{"holdback_percent": 0.05}, {"holdback_percent": 60}, {"holdback_days": 0}])
def test_a_holdback_that_measures_nothing_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        parse_config(bad)


def test_a_winner_is_held_back_then_gets_everything_by_itself(store: Store) -> None:
    seeded = seed_experiment(store, "x", FOUR, promotion_config={**HELD, "rampSteps": [75, 100], "rampHoldHours": 24})
    promote_winner("x", "auto", "sensor", store=store)
    held_for(store, seeded, 25, VariantSpec("a", requests=3_000, conversions=600))
    assert advance_ramps(store)[0].outcome is Outcome.RAMPED
    assert {name: str(share) for name, share in split_of(store, seeded).items()} == {
        "control": "5.00",
        "a": "95.00",
        "b": "0.00",
        "c": "0.00",
    }
    held_for(store, seeded, 14 * 24 - 1, VariantSpec("a", requests=3_000, conversions=600), BEHIND)
    assert "the holdback lasts until" in advance_ramps(store)[0].message
    assert pending_promotions(store) == ()
    held_for(store, seeded, 2, VariantSpec("a", requests=3_000, conversions=600))
    (pending,) = pending_promotions(store)
    assert pending.kind is PendingKind.RAMP
    entry = apply_pending(store, seeded.id, "sensor")
    assert entry.message == "'a' has 100 % of the traffic: the holdback is over"
    assert split_of(store, seeded)["a"] == Decimal(100)
    assert get_promotion_history("x", store=store)[0].state is PromotionState.PROMOTED
    said = [line.details for line in events_of("x", store=store)]
    assert "the holdback begins: 95 % of the traffic" in said
    assert "the holdback is over: 100 % of the traffic" in said
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE event = 'ramp_step'") == 2


def test_a_rollback_during_the_holdback_restores_the_split_of_before(store: Store) -> None:
    seeded = seed_experiment(store, "x", FOUR, promotion_config=HELD)
    before = split_of(store, seeded)
    assert promote_winner("x", "auto", "sensor", store=store).is_held_back
    with pytest.raises(AlreadyPromotedError):
        promote_winner("x", "manual", "anna", store=store)
    rollback_promotion("x", "no", "anna", store=store)
    assert split_of(store, seeded) == before
    assert advance_ramps(store) == ()


def test_a_close_during_the_holdback_leaves_control_its_part_for_good(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    rollback_promotion("x", "ours now", "anna", to="close", store=store)
    held_for(store, seeded, 15 * 24, HEALTHY)
    assert advance_ramps(store) == ()
    assert split_of(store, seeded)["control"] == Decimal(5)


def test_a_hold_keeps_the_holdback_where_it_is_and_a_person_may_end_it(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    hold_promotion("x", "wait", "anna", store=store)
    held_for(store, seeded, 15 * 24, HEALTHY)
    assert pending_promotions(store) == ()
    assert "on hold" in advance_ramps(store)[0].message
    assert advance_ramp("x", "anna", store=store).state is PromotionState.PROMOTED


def test_where_control_is_deleted_during_the_holdback_closing_is_the_way_out(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    with store.connect() as connection, connection.transaction():
        connection.execute("UPDATE ab_variants SET traffic_percentage = 100 WHERE name = 'treatment'")
        connection.execute("DELETE FROM ab_variants WHERE name = 'control'")
    held_for(store, seeded, 15 * 24, HEALTHY)
    assert "somebody else changed the traffic" in advance_ramps(store)[0].message
    with pytest.raises(ConflictError, match="exists no more"):
        rollback_promotion("x", "gone", "anna", confirm_drift=True, store=store)
    assert rollback_promotion("x", "gone", "anna", to="close", store=store).rollback_to == "close"


def test_the_watch_compares_with_control_all_through_the_holdback(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config=HELD)
    promote_winner("x", "auto", "sensor", store=store)
    worse = VariantSpec("treatment", requests=6_000, conversions=300, errors=60)
    better = VariantSpec("control", requests=600, conversions=90, errors=6)
    held_for(store, seeded, 10 * 24, worse, better)
    (seen,) = watch_promotions(store)
    (primary,) = (check for check in seen.checks if (check.metric.value, check.window) == ("conversion", "step"))
    assert primary.status is WatchStatus.BREACH
    assert primary.control == pytest.approx(0.15)
