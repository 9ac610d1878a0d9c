"""Phases follow the tables, whatever wrote them and whatever else a transaction changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.errors import NotEligibleError
from promotion_pipeline.evaluation.unattended import MadeBy, WithheldReason
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide
from promotion_pipeline_tests.seeding import WINNER, Seeded, VariantSpec, add_requests, count, seed_experiment

SWAP = (
    "UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 90 ELSE 10 END WHERE experiment_id = %(id)s"
)
WHOLE_ROW = "UPDATE ab_experiments SET start_date = date_trunc('milliseconds', start_date) WHERE id = %(id)s"
MICROSECONDS = timedelta(microseconds=123)


def phases(store: Store, seeded: Seeded) -> list[dict[str, Any]]:
    """Start, end, running and the shares by variant's name, oldest first."""
    with store.connect() as connection:
        return connection.execute(
            "SELECT started_at, ended_at, is_running, (SELECT jsonb_object_agg(v.name, p.traffic -> v.id::text)"
            " FROM ab_variants v WHERE v.experiment_id = p.experiment_id) AS split"
            " FROM ab_experiment_phases p WHERE experiment_id = %s ORDER BY started_at",
            [seeded.id],
        ).fetchall()


def run(store: Store, seeded: Seeded, *statements: str, replica: bool = False) -> None:
    with store.connect() as connection, connection.transaction():
        if replica:
            connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            connection.execute(statement, {"id": seeded.id})


def begun_with_microseconds(store: Store) -> Seeded:
    """A running experiment whose start has microseconds, as a database's clock gives them."""
    newest = seed_experiment(store, "clock", ()).end
    return seed_experiment(store, "x", WINNER, start=newest - timedelta(hours=96) + MICROSECONDS)


def test_a_start_cut_to_milliseconds_does_not_hide_a_change_of_split(store: Store) -> None:
    seeded = begun_with_microseconds(store)
    run(store, seeded, WHOLE_ROW, SWAP)
    first, second = phases(store, seeded)
    assert first["split"] == {"control": 50, "treatment": 50}
    assert first["ended_at"] == second["started_at"]
    assert second["split"] == {"control": 90, "treatment": 10}
    (found,) = assess(store, ["x"])
    assert not found.is_eligible
    assert "the split changed at" in found.reasons[0] and "measurement began anew" in found.reasons[0]


def test_two_splits_are_never_pooled_into_a_winner_that_loses_in_both(store: Store) -> None:
    """90/10 with a low rate, then 50/50 with a high one: pooled, the worse treatment shows far ahead."""
    newest = seed_experiment(store, "clock", ()).end
    start, change = newest - timedelta(hours=96) + MICROSECONDS, newest - timedelta(hours=48)
    worse = (
        VariantSpec("control", is_control=True, traffic=90, requests=45_000, conversions=2_250),
        VariantSpec("treatment", traffic=10, requests=5_000, conversions=240),
    )
    seeded = seed_experiment(store, "x", worse, start=start, end=change)
    run(store, seeded, WHOLE_ROW, SWAP.replace("90", "50").replace("10", "50"))
    for variant in (
        VariantSpec("control", requests=25_000, conversions=5_000),
        VariantSpec("treatment", requests=25_000, conversions=4_800),
    ):
        add_requests(store, seeded, variant, start=change, end=newest)
    assert len(phases(store, seeded)) == 2
    with pytest.raises(NotEligibleError):
        promote_winner("x", "manual", "anna", store=store)


def test_stopping_with_a_start_cut_leaves_the_past_as_it_was(store: Store) -> None:
    seeded = begun_with_microseconds(store)
    run(store, seeded, WHOLE_ROW, "UPDATE ab_experiments SET is_active = false WHERE id = %(id)s")
    assert [phase["is_running"] for phase in phases(store, seeded)] == [True, False]


def test_a_start_that_is_moved_alone_moves_the_first_phase(store: Store) -> None:
    seeded = begun_with_microseconds(store)
    run(store, seeded, WHOLE_ROW)
    (only,) = phases(store, seeded)
    assert only["started_at"] == seeded.start - MICROSECONDS


def test_a_draft_that_is_started_now_is_one_phase(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, is_active=False)
    run(store, seeded, "UPDATE ab_experiments SET is_active = true, start_date = now() WHERE id = %(id)s", SWAP)
    (only,) = phases(store, seeded)
    assert only["is_running"] and only["split"] == {"control": 90, "treatment": 10}


def test_stopped_and_started_in_one_transaction_nothing_happened(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    flip = "UPDATE ab_experiments SET is_active = NOT is_active WHERE id = %(id)s"
    run(store, seeded, flip, flip)
    assert len(phases(store, seeded)) == 1


def test_an_incomplete_split_that_was_decided_upon_is_a_phase_of_its_own(store: Store) -> None:
    seeded = seed_experiment(
        store, "x", [VariantSpec("control", is_control=True, traffic=90), VariantSpec("treatment")]
    )
    decide(store)
    run(store, seeded, SWAP)
    assert len(phases(store, seeded)) == 2


def test_a_variant_given_away_changes_both_experiments(store: Store) -> None:
    one, other = seed_experiment(store, "one", WINNER), seed_experiment(store, "other", ())
    run(store, one, "UPDATE ab_variants SET traffic_percentage = 100 WHERE name = 'control'")
    run(store, other, "UPDATE ab_variants SET experiment_id = %(id)s WHERE name = 'treatment'")
    with store.connect() as connection:
        assert connection.execute("SELECT * FROM ab_unnoted(NULL)").fetchall() == []
    assert len(phases(store, one)) == 3 and len(phases(store, other)) == 1


STOP = "UPDATE ab_experiments SET is_active = false WHERE id = %(id)s"
ADD = (
    "UPDATE ab_variants SET traffic_percentage = 25 WHERE experiment_id = %(id)s AND NOT is_control",
    "INSERT INTO ab_variants (experiment_id, name, traffic_percentage) VALUES (%(id)s, 'third', 25)",
)
ASK = "UPDATE ab_experiments SET promotion_config = '{\"minSampleSize\": 50000}' WHERE id = %(id)s"
RENAME = "UPDATE ab_variants SET name = 'other' WHERE experiment_id = %(id)s AND NOT is_control"
FLIP = "UPDATE ab_variants SET is_control = NOT is_control WHERE experiment_id = %(id)s"
PAST_THE_TRIGGERS = {
    "the split": (SWAP,),
    "a variant more": ADD,
    "the thresholds": (ASK,),
    "a name": (RENAME,),
    "the control": (FLIP,),
}


@pytest.mark.parametrize("case", PAST_THE_TRIGGERS)
def test_what_changed_past_the_triggers_is_not_promoted_on(store: Store, case: str) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    run(store, seeded, *PAST_THE_TRIGGERS[case], replica=True)
    assert pending_promotions(store) == ()
    (found,) = assess(store, ["x"])
    assert found.evidence.withheld == (WithheldReason.PHASE_CHANGED,)
    assert note_unnoted(store) == ("x",)
    assert note_unnoted(store) == ()
    (found,) = assess(store, ["x"])
    assert WithheldReason.PHASE_CHANGED not in found.evidence.withheld
    is_new_phase = case in {"the split", "a variant more"}
    assert len(phases(store, seeded)) == (2 if is_new_phase else 1)


@pytest.mark.parametrize("door", ["apply", "sweep", "auto", "manual"])
def test_every_door_notes_it_under_the_lock(store: Store, door: str) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    run(store, seeded, SWAP, replica=True)
    match door:
        case "apply":
            assert apply_pending(store, seeded.id, "sensor").outcome is Outcome.NOT_ELIGIBLE
        case "sweep":
            assert auto_check_promotions("cron", store=store).promoted == 0
        case kind:
            with pytest.raises(NotEligibleError, match="the split changed at"):
                promote_winner("x", kind, "anna", store=store)
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0


def test_what_was_stopped_past_the_triggers_is_not_promoted(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    run(store, seeded, STOP, replica=True)
    assert pending_promotions(store) == ()
    assert note_unnoted(store) == ("x",)
    assert [phase["is_running"] for phase in phases(store, seeded)] == [True, False]


def test_experiments_restored_without_triggers_get_their_phases(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    run(
        store,
        seeded,
        "DELETE FROM ab_experiment_phases WHERE experiment_id = %(id)s",
        "DELETE FROM ab_experiment_history WHERE experiment_id = %(id)s",
        replica=True,
    )
    assert note_unnoted(store) == ("x",)
    (only,) = phases(store, seeded)
    assert only["started_at"] == seeded.start
    decide(store, MadeBy.SCHEDULE)
    assert [act.experiment_name for act in pending_promotions(store)] == ["x"]


def test_what_began_a_phase_anew_is_said_whether_plan_or_metric(store: Store) -> None:
    metric = '{"metrics": [{"name": "revenue", "kind": "user_mean", "event": "%s", "role": "secondary"}]}'
    changed = "UPDATE ab_experiments SET promotion_config = %(config)s WHERE id = %(id)s"
    for name, before, after, said in (
        ("plan", "{}", '{"planned_sample_size": 50000}', "planned_sample_size, or how its error is spent, changed"),
        ("metric", metric % "buy", metric % "order", "what a metric counts changed (revenue)"),
    ):
        seeded = seed_experiment(store, name, WINNER)
        with store.connect() as connection, connection.transaction():
            connection.execute(changed, {"config": before, "id": seeded.id})
            connection.execute(
                "INSERT INTO metric_phases (phase_id, metric) SELECT id, 'revenue' FROM ab_experiment_phases"
                " WHERE experiment_id = %s AND %s = 'metric'",
                [seeded.id, name],
            )
        decide(store)
        with store.connect() as connection, connection.transaction():
            connection.execute(changed, {"config": after, "id": seeded.id})
        (reason,) = assess(store, [name])[0].reasons
        assert reason.startswith(said) and "measurement began anew" in reason
