"""The level-triggered question of the sensor, and the act of its job."""

from __future__ import annotations

import pytest

from promotion_pipeline import ConfigError, decline_promotion, get_promotion_history, promote_winner, rollback_promotion
from promotion_pipeline.config import Mode
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.unattended.pending import PendingKind, apply_pending, pending_promotions
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide, names
from promotion_pipeline_tests.seeding import (
    NO_DIFFERENCE,
    UNPROVEN,
    WINNER,
    VariantSpec,
    add_requests,
    count,
    let_time_pass,
    seed_experiment,
)


def test_only_what_changes_something_is_pending(store: Store) -> None:
    seed_experiment(store, "winner", WINNER)
    seed_experiment(store, "unproven", UNPROVEN)
    seed_experiment(store, "nothing", NO_DIFFERENCE)
    held = seed_experiment(store, "held", WINNER)
    assert pending_promotions(store) == ()
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET auto_promotion_hold = 'wait' WHERE id = %s", [held.id])
    decide(store)
    waiting = pending_promotions(store)
    assert names(waiting) == [("decision", "unproven", 1), ("decision", "winner", 1)]
    outcomes = {p.experiment_name: apply_pending(store, p.experiment_id, "sensor").outcome for p in waiting}
    assert outcomes == {"winner": Outcome.PROMOTED, "unproven": Outcome.AWAITING_APPROVAL}
    assert pending_promotions(store) == ()


def test_asking_writes_nothing_and_gives_the_same_key(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    decide(store)
    first, second = pending_promotions(store), pending_promotions(store)
    assert [p.run_key for p in first] == [p.run_key for p in second]
    assert count(store, "SELECT count(*) FROM promotion_attempts") == 0


def test_an_attempt_that_died_is_followed_by_the_next_number(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO promotion_attempts (experiment_id, as_of, attempt, kind, actor)"
            " VALUES (%s, date_trunc('hour', now(), 'UTC'), 1, 'decision', 'dead')",
            [seeded.id],
        )
    assert pending_promotions(store) == ()
    assert names(pending_promotions(store, claim_seconds=0)) == [("decision", "x", 2)]


def test_a_failed_attempt_is_pending_again_until_it_failed_too_often(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    for attempt in range(1, 6):
        assert [p.attempt for p in pending_promotions(store)] == [attempt]
        with store.connect() as connection:
            connection.execute("UPDATE ab_experiments SET promotion_config = '{\"minSampleSize\": -1}'")
        with pytest.raises(ConfigError, match=r"minSampleSize|min_sample_size"):
            apply_pending(store, seeded.id, "sensor")
        with store.connect() as connection:
            connection.execute("UPDATE ab_experiments SET promotion_config = '{}'")
    assert pending_promotions(store) == ()


def test_a_decision_that_does_not_hold_under_the_lock_is_settled_for_its_hour(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET promotion_config = '{\"minImprovementPercent\": 40}'")
    assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.NOT_ELIGIBLE
    assert pending_promotions(store) == ()


def test_switched_off_nothing_is_pending_and_the_op_honours_it_too(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    off = Store(store.url, store.settings.model_copy(update={"enabled": False}))
    assert pending_promotions(off) == ()
    assert apply_pending(off, seeded.id, "sensor").outcome is Outcome.DISABLED
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0


def test_manual_approval_is_honoured_at_the_moment_of_acting(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET promotion_config = '{\"requireManualApproval\": true}'")
    assert names(pending_promotions(store)) == [("decision", "x", 1)]
    assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.AWAITING_APPROVAL
    assert pending_promotions(store) == ()
    decline_promotion("x", "anna", "no", store=store)
    assert pending_promotions(store) == ()


def test_shadow_mode_is_pending_once(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    seed_experiment(store, "unproven", UNPROVEN)
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    decide(shadow)
    assert names(pending_promotions(shadow)) == [("shadow", "x", 1)]
    assert pending_promotions(store) == (), "what a shadow decided is not acted upon"
    assert apply_pending(shadow, seeded.id, "sensor").outcome is Outcome.SHADOW
    assert pending_promotions(shadow) == ()


def test_after_a_rollback_nothing_is_pending_until_the_hold_is_lifted(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    decide(store)
    promote_winner("x", "manual", "anna", store=store)
    assert pending_promotions(store) == ()
    rollback_promotion("x", "errors", "anna", store=store)
    assert pending_promotions(store) == ()
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET auto_promotion_hold = NULL")
    assert pending_promotions(store) == (), "the decision was about the phase before the rollback"


def test_a_ramp_step_is_pending_when_due(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [75, 100]})
    promote_winner("x", "auto", "sensor", store=store)
    assert pending_promotions(store) == ()
    let_time_pass(store, seeded, 25)
    assert [p.kind for p in pending_promotions(store)] == [PendingKind.RAMP]
    assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.RAMP_WAITS
    assert pending_promotions(store) == (), "asked again at the next hour"


def test_two_steps_of_a_ramp_may_be_taken_within_an_hour(store: Store) -> None:
    config = {"rampSteps": [60, 80, 100], "rampHoldHours": 0}
    seeded = seed_experiment(store, "x", WINNER, promotion_config=config)
    promote_winner("x", "auto", "sensor", store=store)
    keys = set()
    for _ in range(2):
        with store.connect() as connection:
            end = database_now(connection)
        since = get_promotion_history("x", store=store)[0].step_started_at
        add_requests(store, seeded, VariantSpec("treatment", requests=1_000, conversions=130), start=since, end=end)
        (waiting,) = pending_promotions(store)
        keys.add(waiting.run_key)
        assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.RAMPED
    assert len(keys) == 2
    assert pending_promotions(store) == ()
    assert get_promotion_history("x", store=store)[0].state is PromotionState.PROMOTED
