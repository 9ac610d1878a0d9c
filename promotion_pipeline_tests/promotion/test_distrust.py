"""A broken split is said first, and whoever promotes all the same says that it was seen, and why."""

from __future__ import annotations

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.errors import InputError, UntrustedError
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.promotion.act.approvals import approve_promotion
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.test_requested_thresholds import audit
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, VariantSpec, seed_experiment

BROKEN = (
    VariantSpec("control", is_control=True, requests=12_000, conversions=1_200),
    VariantSpec("treatment", requests=8_000, conversions=1_100),
)
"""Declared 50/50, served 60/40."""
SEEN = ["sample_ratio_mismatch"]


def test_what_is_broken_is_said_first_with_the_numbers(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    (found,) = assess(store, ["x"])
    assert found.is_eligible
    assert found.summary.startswith("the numbers cannot be trusted: the traffic is not split as declared")
    assert found.distrust is not None
    assert "p < 1e-15" in found.distrust
    assert "control has 12,000 of 20,000 requests (60.0 %, declared 50 %)" in found.distrust
    assert "a person may approve" not in found.summary
    assert found.evidence.withheld_because == ("the traffic is not split as declared",)


def test_only_the_reason_that_holds_is_said(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    (found,) = assess(store, ["x"])
    assert found.distrust is None
    assert found.evidence.withheld_because == ("the always-valid test does not carry it yet",)


def test_a_door_that_asks_does_not_promote_unanswered(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    with pytest.raises(UntrustedError, match="--despite sample_ratio_mismatch"):
        promote_winner("x", "manual", "anna", metadata={"reason": "I like it"}, despite=[], store=store)
    with pytest.raises(InputError, match="needs a reason"):
        promote_winner("x", "manual", "anna", despite=SEEN, store=store)
    with pytest.raises(InputError, match="despite='weather' must be"):
        promote_winner("x", "manual", "anna", despite=["weather"], store=store)


def test_acknowledged_with_a_reason_both_are_in_the_record_and_the_audit(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    reason = {"reason": "the bot is known"}
    promotion = promote_winner("x", "manual", "anna", metadata=reason, despite=SEEN, store=store)
    assert promotion.metadata == {**reason, "despite": SEEN}
    assert "60.0 %" in promotion.snapshot["distrust"]
    assert audit(store, "promote")["metadata"] == promotion.metadata


def test_the_call_as_first_specified_promotes_and_the_record_says_that_nobody_acknowledged_it(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    promotion = promote_winner("x", "manual", "user-123", store=store)
    assert promotion.metadata == {"unacknowledged": SEEN}
    assert any("sample ratio mismatch" in warning for warning in promotion.warnings)


def test_an_approval_asks_too(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    (entry,) = auto_check_promotions("cron", store=store).results
    assert entry.outcome is Outcome.AWAITING_APPROVAL
    with pytest.raises(UntrustedError):
        approve_promotion("x", "anna", reason="fine", store=store)
    with pytest.raises(InputError, match="needs a reason"):
        approve_promotion("x", "anna", despite=SEEN, store=store)
    promotion = approve_promotion("x", "anna", reason="the bot is known", despite=SEEN, store=store)
    assert promotion.metadata["despite"] == SEEN
    assert audit(store, "approve") | {"reason": "the bot is known", "despite": SEEN} == audit(store, "approve")


def test_what_is_sound_needs_no_acknowledgement_and_keeps_none(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promotion = promote_winner("x", "manual", "anna", despite=SEEN, store=store)
    assert promotion.metadata == {}


def test_an_unattended_promotion_on_it_says_that_nobody_acknowledged_it(store: Store) -> None:
    seed_experiment(store, "x", BROKEN, promotion_config={"evidence": "fixed_horizon"})
    (entry,) = auto_check_promotions("cron", store=store).results
    assert entry.outcome is Outcome.PROMOTED
    with store.connect() as connection:
        row = connection.execute("SELECT metadata FROM experiment_promotions").fetchone()
    assert row == {"metadata": {"unacknowledged": SEEN}}


def test_the_message_says_it_first(store: Store) -> None:
    seed_experiment(store, "x", BROKEN)
    auto_check_promotions("cron", store=store)
    with store.connect() as connection:
        row = connection.execute("SELECT * FROM notification_outbox WHERE event = 'approval_requested'").fetchone()
    assert row is not None
    said = compose(
        Notification(row["event"], row["level"], row["created_at"], row["dedup_key"], row["payload"], "x"),
        store.settings,
    )
    assert "cannot be trusted" in said.title
    assert said.what_happened[0].startswith("The numbers cannot be trusted: the traffic is not split as declared")
    assert "--despite sample_ratio_mismatch --reason" in said.next_step
