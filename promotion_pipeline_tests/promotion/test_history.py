"""History: newest first, apart from shadow, and still derivable from the data."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline import PromotionConfig, get_promotion_history, promote_winner, release_hold, rollback_promotion
from promotion_pipeline.promotion.history.verify import verify_history
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, VariantSpec, add_requests, let_time_pass, seed_experiment


def test_promotions_come_newest_first_with_their_rollbacks(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    for number in range(2):
        promote_winner("x", "manual", f"anna-{number}", {"minRuntimeHours": 0}, store=store)
        rollback_promotion("x", f"reason {number}", "bob", store=store)
        let_time_pass(store, seeded, 5)
        with store.connect() as connection:
            row = connection.execute(
                "SELECT started_at, date_trunc('hour', now()) AS until FROM ab_experiment_phases WHERE ended_at IS NULL"
            ).fetchone()
        assert row is not None
        for variant in WINNER:
            add_requests(store, seeded, variant, start=row["started_at"], end=row["until"])
    release_hold("x", "anna", store=store)
    history = get_promotion_history("x", store=store)
    assert [p.promoted_by for p in history] == ["anna-1", "anna-0"]
    assert [p.rollback_reason for p in history] == ["reason 1", "reason 0"]
    assert get_promotion_history("x", shadow=True, store=store) == []


def test_json_names_are_camel_case_and_times_are_utc(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    data = promote_winner("x", "manual", "anna", store=store).to_json()
    assert data["promotedVariantName"] == "treatment"
    assert data["promotedAt"].endswith("Z")
    assert data["rollbackAt"] is None
    assert {"id", "experimentName", "confidence", "improvement", "promotionType", "rollbackReason"} <= data.keys()


def test_a_record_follows_from_the_data_whether_rolled_up_or_not(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN, users=3_000)
    config = PromotionConfig(min_improvement_percent=2.0, planned_sample_size=40_000)
    promotion = promote_winner("x", "manual", "anna", config, store=store)
    assert [v.summary for v in verify_history("x", store=store)] == ["same"]
    roll_up_missing(store, promotion.evaluated_as_of)
    assert [v.summary for v in verify_history("x", store=store)] == ["same"]


def test_late_rows_are_told_apart_by_what_they_change(store: Store) -> None:
    seeded = seed_experiment(store, "x", UNPROVEN)
    promote_winner("x", "manual", "anna", store=store)
    few = VariantSpec("control", requests=10, conversions=1)
    add_requests(store, seeded, few, start=seeded.start, end=seeded.end)
    found = verify_history("x", store=store)[0]
    assert (found.is_same, found.is_flipped) == (False, False)
    assert found.summary == "the same decision from other numbers: 10 requests arrived late"
    assert {d.field for d in found.differences} >= {"control.requests", "control.conversions", "p_value"}
    many = VariantSpec("control", requests=1_000, conversions=400)
    add_requests(store, seeded, many, start=seeded.start, end=seeded.end)
    assert verify_history("x", store=store)[0].summary == "another decision: 1010 requests arrived late"


def test_rows_that_vanished_are_named(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        connection.execute("DELETE FROM ai_requests WHERE variant_id = %s", [seeded.variant_ids["treatment"]])
    assert verify_history("x", store=store)[0].summary == "another decision: 10000 requests are gone"


def test_a_record_is_compared_with_the_log_and_not_with_what_was_rolled_up(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, users=3_000)
    roll_up_missing(store, seeded.end)
    promote_winner("x", "manual", "anna", store=store)
    assert [v.summary for v in verify_history("x", store=store)] == ["same"]
    past = VariantSpec("control", requests=9_000, conversions=2_000)
    add_requests(store, seeded, past, start=seeded.start, end=seeded.start + timedelta(hours=40), users=500)
    (found,) = verify_history("x", store=store)
    assert found.is_flipped
    assert found.summary == "another decision: 9000 requests arrived late"


def test_days_that_were_dropped_are_verified_by_their_sums(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, users=3_000)
    roll_up_missing(store, seeded.end)
    promote_winner("x", "manual", "anna", store=store)
    before = seeded.start + timedelta(hours=50)
    with store.connect() as connection:
        connection.execute("INSERT INTO dropped_requests (before) VALUES (%s)", [before])
        connection.execute("DELETE FROM ai_requests WHERE created_at < %s", [before])
    assert [v.summary for v in verify_history("x", store=store)] == ["same"]
