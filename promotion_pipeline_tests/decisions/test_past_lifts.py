"""The prior that the team's own ended experiments teach."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from promotion_pipeline import check_promotion_eligibility, promote_winner
from promotion_pipeline.decisions.past_lifts import keep_ended, learned_prior
from promotion_pipeline.promotion.ledger.promise import promise_of
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.statistics import learned_prior_sd
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, VariantSpec, count, let_time_pass, seed_experiment

THREE = (*NO_DIFFERENCE, VariantSpec("other", requests=10_000, conversions=900, errors=100))
BROKEN = (
    VariantSpec("control", is_control=True, requests=10_000, conversions=1_000),
    VariantSpec("treatment", requests=12_000, conversions=3_000),
)


def note(store: Store, lift: float | None, error: float | None, *, hours_ago: float = 1) -> None:
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO ended_lifts VALUES (%s, %s, %s, now(), now() - %s * interval '1 hour', %s, %s)",
            [uuid4(), uuid4(), uuid4(), hours_ago, lift, error],
        )


def stop(store: Store, experiment_id: UUID) -> None:
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET is_active = false WHERE id = %s", [experiment_id])


def test_every_treatment_of_every_ended_experiment_is_kept_once_winners_and_others(store: Store) -> None:
    for name, variants in (("won", WINNER), ("level", THREE), ("broken", BROKEN)):
        seeded = seed_experiment(store, name, variants)
        rollup_window(store, seeded.start, seeded.end)
        if name == "won":
            promote_winner(name, "auto", "sensor", store=store)
        else:
            stop(store, seeded.id)
        let_time_pass(store, seeded, 50)
    seed_experiment(store, "runs on", WINNER)
    assert keep_ended(store) == 4
    assert keep_ended(store) == 0
    assert count(store, "SELECT count(*) FROM ended_lifts WHERE lift IS NULL") == 1
    with store.connect() as connection:
        rows = connection.execute("SELECT lift, standard_error FROM ended_lifts WHERE lift IS NOT NULL ORDER BY 1")
        found = [(row["lift"], row["standard_error"]) for row in rows]
    assert [lift for lift, _ in found] == pytest.approx([-0.1, 0.005, 0.3], abs=1e-9)
    assert all(0.03 < error < 0.06 for _, error in found)


def test_what_ended_since_changes_no_hour_of_before(store: Store) -> None:
    for lift in (0.2, -0.1, 0.15, 0.05, -0.2, 0.1):
        note(store, lift, 0.03)
    with store.connect() as connection:
        as_of = newest_complete_hour(connection)
    before = learned_prior(store, as_of)
    assert before.estimates == 6
    assert before.sd == learned_prior_sd([0.2, -0.1, 0.15, 0.05, -0.2, 0.1], 0.03)
    note(store, 0.9, 0.03, hours_ago=-1)
    assert learned_prior(store, as_of) == before
    assert learned_prior(store, as_of + timedelta(hours=2)).estimates == 7
    assert not learned_prior(store, as_of - timedelta(hours=5)).is_known


def test_the_check_states_it_whichever_experiments_run_beside_and_the_promotion_keeps_it(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    assert check_promotion_eligibility("x", store=store).evidence.learned_lift is None
    for lift in (0.05, -0.05, 0.02, 0.03, -0.02, 0.01, 0.04):
        note(store, lift, 0.03, hours_ago=2)
    note(store, None, None, hours_ago=2)
    alone = check_promotion_eligibility("x", store=store)
    for number in range(3):
        seed_experiment(store, f"beside-{number}", NO_DIFFERENCE)
    beside = check_promotion_eligibility("x", store=store)
    assert alone.evidence == beside.evidence
    assert (alone.evidence.learned_from, alone.evidence.shrunken_lift) == (7, beside.evidence.shrunken_lift)
    assert alone.evidence.learned_lift is not None
    assert alone.evidence.shrunken_lift is not None
    assert 0 <= alone.evidence.learned_lift < alone.evidence.shrunken_lift
    assert any("by 7 comparisons of this team's own ended experiments" in note for note in alone.notes)
    promise = promise_of(promote_winner("x", "auto", "sensor", store=store))
    assert promise is not None
    assert promise.learned == alone.evidence.learned_lift
