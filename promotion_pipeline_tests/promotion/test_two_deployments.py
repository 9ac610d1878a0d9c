"""A deployment in shadow mode beside a live one, on one database: neither gets into the other's way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.config import Mode, PromotionConfig, layered, parse_config
from promotion_pipeline.decisions.deployments import note_deployment, second_deployment
from promotion_pipeline.decisions.recorded import first_undecided_hour
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import names
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment

HOUR = timedelta(hours=1)
STRICT = PromotionConfig(min_sample_size=1_000_000)


def shadow_of(store: Store, thresholds: PromotionConfig | None = None) -> Store:
    changes = {"mode": Mode.SHADOW, "thresholds": thresholds or store.settings.thresholds}
    return Store(store.url, store.settings.model_copy(update=changes))


@pytest.mark.parametrize("first", ["shadow", "live"])
def test_a_stricter_shadow_vetoes_nothing_whoever_ticks_first(store: Store, first: str) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    rollup_window(store, seeded.start, seeded.end)
    shadow = shadow_of(store, STRICT)
    start, end = seeded.end - 2 * HOUR, seeded.end
    for deployment in (shadow, store) if first == "shadow" else (store, shadow):
        assert first_undecided_hour(deployment, start, end) == start
        done = evaluate_window(deployment, start, end, made_by=MadeBy.SCHEDULE)
        assert done.recorded == 2
        assert first_undecided_hour(deployment, start, end) is None
    assert pending_promotions(shadow) == ()
    assert names(pending_promotions(store)) == [("decision", "x", 1)]
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record' AND is_eligible") == 2
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'shadow' AND NOT is_eligible") == 2
    assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.PROMOTED


def test_a_shadows_attempt_is_not_the_live_ones(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    rollup_window(store, seeded.start, seeded.end)
    shadow = shadow_of(store)
    for deployment in (shadow, store):
        evaluate_window(deployment, seeded.end - HOUR, seeded.end, made_by=MadeBy.SCHEDULE)
    assert names(pending_promotions(shadow)) == [("shadow", "x", 1)]
    assert apply_pending(shadow, seeded.id, "shadow's sensor").outcome is Outcome.SHADOW
    assert pending_promotions(shadow) == ()
    assert names(pending_promotions(store)) == [("decision", "x", 1)]
    assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.PROMOTED


def test_a_shadows_sweep_records_what_it_would_do_and_no_decision_of_record(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    assert auto_check_promotions("cron", store=shadow_of(store)).shadow == 1
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 0
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'shadow'") == 1
    assert count(store, "SELECT count(*) FROM evaluation_hours") == 0
    assert auto_check_promotions("cron", store=store).promoted == 1


def test_a_shadow_decided_again_leaves_the_live_ones_re_evaluations_alone(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    rollup_window(store, seeded.start, seeded.end)
    shadow = shadow_of(store, STRICT)
    evaluate_window(store, seeded.end - HOUR, seeded.end)
    for _ in range(2):
        found = evaluate_window(shadow, seeded.end - HOUR, seeded.end)
        assert found.late == ()
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest'") == 0
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'shadow-latest'") == 1


@pytest.mark.parametrize("label", ["shadow", "record"])
def test_a_what_if_does_not_take_a_name_that_decisions_are_kept_under(store: Store, label: str) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    with pytest.raises(InputError, match="cannot be used"):
        evaluate_window(store, seeded.end - HOUR, seeded.end, label=label)


def with_thresholds(store: Store, **thresholds: object) -> Store:
    config = layered(store.settings.thresholds, parse_config(thresholds))
    return Store(store.url, store.settings.model_copy(update={"thresholds": config}))


def let_it_be_later(store: Store, minutes: int) -> None:
    """As if everything was noted so many minutes ago."""
    with store.connect() as connection:
        connection.execute(
            "UPDATE live_deployments SET since = since - %(by)s, seen_at = seen_at - %(by)s",
            {"by": timedelta(minutes=minutes)},
        )


def test_a_second_live_deployment_with_other_thresholds_is_told_of_once_by_each(store: Store) -> None:
    other = with_thresholds(store, min_sample_size=5000)
    assert [note_deployment(store), note_deployment(other)] == [None, None]
    let_it_be_later(store, 11)
    assert note_deployment(store) is None, "the other has not looked again yet"
    said = note_deployment(other)
    assert said is not None
    assert "min_sample_size 1000 and 5000" in said
    assert note_deployment(store) == said
    assert [note_deployment(store), note_deployment(other)] == [None, None]
    with store.connect() as connection:
        assert second_deployment(connection) == said
    let_it_be_later(store, 121)
    with store.connect() as connection:
        assert second_deployment(connection) is None, "neither is at work any more"


def test_a_deployment_that_is_started_again_with_other_thresholds_is_no_second_one(store: Store) -> None:
    for _ in range(3):
        assert note_deployment(store) is None
        let_it_be_later(store, 11)
    changed = with_thresholds(store, require_manual_approval=True)
    for _ in range(3):
        assert note_deployment(changed) is None
        let_it_be_later(store, 11)


def test_neither_a_shadow_nor_the_same_thresholds_elsewhere_are_a_second_one(store: Store) -> None:
    for _ in range(3):
        assert note_deployment(store) is None
        assert note_deployment(shadow_of(store, STRICT)) is None
        assert note_deployment(Store(store.url, store.settings)) is None
        let_it_be_later(store, 11)
