"""Only what the schedule, an automation or a sweep decided leads to an unattended promotion."""

from __future__ import annotations

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.evaluation.unattended import MadeBy, WithheldReason
from promotion_pipeline.orchestration.made_by import FROM_UI_TAG, made_by
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide, names
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, seed_experiment

SCHEDULED = {"dagster/schedule_name": "hourly_promotion_schedule"}
AUTOMATED = {"dagster/from_automation_condition": "true"}
TAGS = [
    (SCHEDULED, MadeBy.SCHEDULE),
    ({**SCHEDULED, "dagster/parent_run_id": "a", "dagster/retry_number": "1"}, MadeBy.SCHEDULE),
    ({"dagster/schedule_name": "someone_elses"}, MadeBy.PERSON),
    (AUTOMATED, MadeBy.AUTOMATION),
    ({**AUTOMATED, "dagster/backfill": "b"}, MadeBy.AUTOMATION),
    ({}, MadeBy.PERSON),
    ({"dagster/backfill": "b"}, MadeBy.PERSON),
    ({**SCHEDULED, "dagster/backfill": "b"}, MadeBy.PERSON),
    ({**SCHEDULED, FROM_UI_TAG: "true"}, MadeBy.PERSON),
    ({**SCHEDULED, "dagster/parent_run_id": "a"}, MadeBy.PERSON),
]


@pytest.mark.parametrize(("tags", "expected"), TAGS)
def test_a_runs_tags_say_what_made_its_decisions(tags: dict[str, str], expected: MadeBy) -> None:
    assert made_by(tags) is expected


def test_what_a_person_decided_is_neither_promoted_nor_asked_about(store: Store) -> None:
    seeded = seed_experiment(store, "winner", WINNER)
    unproven = seed_experiment(store, "unproven", UNPROVEN)
    decide(store, MadeBy.PERSON)
    assert pending_promotions(store) == ()
    for made in (seeded, unproven):
        assert apply_pending(store, made.id, "somebody starts the apply job").outcome is Outcome.WITHHELD
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0
    assert count(store, "SELECT count(*) FROM promotion_approvals") == 0
    (found,) = assess(store, ["winner"])
    assert found.evidence.withheld == (WithheldReason.NOT_SCHEDULED,)
    assert "the next scheduled decision or auto-check may promote" in found.evidence.withheld_because[0]
    assert promote_winner("winner", "manual", "anna", store=store).is_live, "a person may"


@pytest.mark.parametrize("maker", [MadeBy.SCHEDULE, MadeBy.AUTOMATION, MadeBy.SWEEP])
def test_what_the_others_decided_is_promoted_whoever_starts_the_act(store: Store, maker: MadeBy) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store, maker)
    assert names(pending_promotions(store)) == [("decision", "x", 1)]
    assert apply_pending(store, seeded.id, "anna").outcome is Outcome.PROMOTED


def test_a_sweep_decides_for_itself_and_leaves_the_record_as_it_was_made(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    decide(store, MadeBy.PERSON)
    assert auto_check_promotions("cron", store=store).promoted == 1
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'person'") == 1


def test_the_record_that_a_sweep_makes_says_so(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    assert auto_check_promotions("cron", store=store).promoted == 1
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'sweep'") == 1


def test_who_does_not_say_is_a_person(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        row = connection.execute(
            "SELECT column_default FROM information_schema.columns"
            " WHERE table_name = 'eligibility_decisions' AND column_name = 'made_by'"
        ).fetchone()
    assert row == {"column_default": "'person'::text"}
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE made_by = 'person'") == 1
