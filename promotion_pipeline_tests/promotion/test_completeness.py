"""An experiment is judged on all its data or not at all: the sums against the log, before anything goes unattended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promotion_pipeline.config import Mode
from promotion_pipeline.errors import WithheldError
from promotion_pipeline.evaluation.unattended import WithheldReason
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, Seeded, VariantSpec, add_requests, count, seed_experiment

HOUR = timedelta(hours=1)
WORSE_IN_THE_PAST = (
    VariantSpec("control", is_control=True, requests=20_000, conversions=4_000),
    VariantSpec("treatment", requests=20_000, conversions=2_000),
)


def rolled_up_with(store: Store) -> Seeded:
    """A winner of 96 hours that is rolled up, beside another."""
    seed_experiment(store, "beside", NO_DIFFERENCE)
    seeded = seed_experiment(store, "checkout")
    rollup_window(store, seeded.start, seeded.end)
    return seeded


def past_comes_late(store: Store, seeded: Seeded) -> None:
    """Rows that make the treatment the worse one come into hours beyond the look-back."""
    for variant in WORSE_IN_THE_PAST:
        add_requests(store, seeded, variant, start=seeded.start, end=seeded.start + 40 * HOUR)


def vanish(connection: Connection, seeded: Seeded) -> None:
    connection.execute(
        "DELETE FROM ai_requests WHERE experiment_id = %s AND created_at < %s", (seeded.id, seeded.start + 3 * HOUR)
    )


def test_a_check_says_that_it_is_made_on_a_part_of_the_data(store: Store) -> None:
    seeded = rolled_up_with(store)
    assert check_promotion_eligibility("checkout", store=store).evidence.is_met
    past_comes_late(store, seeded)
    answer = check_promotion_eligibility("checkout", store=store)
    assert answer.evidence.withheld == (WithheldReason.INCOMPLETE_DATA,)
    assert not answer.evidence.is_met
    assert "incomplete_data" in answer.warning_codes
    assert any(
        "60,000 requests of this phase are in ai_requests, 20,000 in its sums" in said for said in answer.warnings
    )


def test_the_sweep_promotes_nothing_on_a_part_of_the_data_and_repairs_it(store: Store) -> None:
    seeded = rolled_up_with(store)
    past_comes_late(store, seeded)
    entry = {entry.experiment_name: entry for entry in auto_check_promotions("cron", store=store).results}["checkout"]
    assert entry.outcome is Outcome.NOT_ELIGIBLE
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0
    assert not check_promotion_eligibility("checkout", store=store).is_eligible
    in_sums = "SELECT sum(requests)::bigint FROM hourly_variant_rollups WHERE experiment_id = %s"
    assert count(store, in_sums, seeded.id) == 60_000


def test_shadow_mode_records_nothing_on_a_part_of_the_data(store: Store, connection: Connection) -> None:
    seeded = rolled_up_with(store)
    vanish(connection, seeded)
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    entry = {entry.experiment_name: entry for entry in auto_check_promotions("cron", store=shadow).results}["checkout"]
    assert entry.outcome is Outcome.WITHHELD
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0


def test_what_the_log_has_lost_withholds_asks_nobody_and_changes_no_sum(store: Store, connection: Connection) -> None:
    seeded = rolled_up_with(store)
    vanish(connection, seeded)
    entry = {entry.experiment_name: entry for entry in auto_check_promotions("cron", store=store).results}["checkout"]
    assert entry.outcome is Outcome.WITHHELD
    assert "are gone from the log" in entry.message
    assert count(store, "SELECT count(*) FROM promotion_approvals") == 0
    in_sums = "SELECT sum(requests)::bigint FROM hourly_variant_rollups WHERE experiment_id = %s"
    assert count(store, in_sums, seeded.id) == 20_000
    with pytest.raises(WithheldError, match="gone from the log"):
        promote_winner("checkout", "auto", "cron", store=store)
    assert promote_winner("checkout", "manual", "maria", store=store).promoted_variant_name == "treatment"


def test_an_automatic_promotion_by_call_is_made_on_all_the_data(store: Store) -> None:
    seeded = rolled_up_with(store)
    for variant in (VariantSpec("control", requests=300, conversions=30), VariantSpec("treatment", requests=300)):
        add_requests(store, seeded, variant, start=seeded.start, end=seeded.start + 20 * HOUR)
    promotion = promote_winner("checkout", "auto", "cron", store=store)
    counts = {row["variant_name"]: row["requests"] for row in promotion.snapshot["variants"]}
    assert counts == {"control": 10_300, "treatment": 10_300}


def test_requests_of_the_hour_that_is_not_over_are_not_missed(store: Store) -> None:
    seeded = rolled_up_with(store)
    add_requests(
        store,
        seeded,
        VariantSpec("treatment", requests=100, conversions=1),
        start=seeded.end,
        end=seeded.end + timedelta(seconds=1),
    )
    assert check_promotion_eligibility("checkout", store=store).evidence.withheld == ()


def test_requests_of_unknown_variants_belong_to_nobody(store: Store, connection: Connection) -> None:
    seeded = rolled_up_with(store)
    connection.execute(
        "INSERT INTO ai_requests (experiment_id, variant_id, created_at) VALUES (%s, gen_random_uuid(), %s)",
        (seeded.id, seeded.start + HOUR),
    )
    assert check_promotion_eligibility("checkout", store=store).evidence.withheld == ()


def test_days_that_retention_dropped_are_not_compared(store: Store, connection: Connection) -> None:
    seeded = rolled_up_with(store)
    connection.execute("INSERT INTO dropped_requests (before) VALUES (%s)", (seeded.start + 30 * HOUR,))
    connection.execute("DELETE FROM ai_requests WHERE created_at < %s", (seeded.start + 30 * HOUR,))
    assert check_promotion_eligibility("checkout", store=store).evidence.withheld == ()


def test_days_that_were_dropped_before_the_experiment_was_known_are_missed(
    store: Store, connection: Connection
) -> None:
    seeded = seed_experiment(store, "checkout")
    connection.execute("INSERT INTO dropped_requests (before) VALUES (%s)", (seeded.start + 30 * HOUR,))
    connection.execute("DELETE FROM ai_requests WHERE created_at < %s", (seeded.start + 30 * HOUR,))
    answer = check_promotion_eligibility("checkout", store=store)
    assert answer.is_eligible
    assert answer.evidence.withheld == (WithheldReason.INCOMPLETE_DATA,)


def test_while_no_request_of_the_newest_hour_has_landed_nothing_goes_and_nobody_is_asked(store: Store) -> None:
    with store.connect() as connection:
        newest = newest_complete_hour(connection)
    seed_experiment(store, "checkout", end=newest - HOUR)
    answer = check_promotion_eligibility("checkout", store=store)
    assert WithheldReason.INCOMPLETE_DATA in answer.evidence.withheld
    assert any("has landed in ai_requests yet" in said for said in answer.warnings)
    (entry,) = auto_check_promotions("cron", store=store).results
    assert entry.outcome is Outcome.WITHHELD
