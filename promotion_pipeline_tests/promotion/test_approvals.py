"""Approvals: asked once, answered once, applied once."""

from __future__ import annotations

import pytest

from promotion_pipeline import (
    ConflictError,
    NotEligibleError,
    approve_promotion,
    auto_check_promotions,
    decline_promotion,
    promote_winner,
    release_hold,
)
from promotion_pipeline.promotion.act.approvals import approval_history, expire_approvals, open_approvals
from promotion_pipeline.promotion.record.states import ApprovalState
from promotion_pipeline.store.database import Store
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


def test_eligible_but_unproven_asks_a_person_once(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    first = auto_check_promotions("cron", store=store)
    assert (first.checked, first.promoted, first.awaiting_approval, first.failed) == (1, 0, 1, 0)
    assert "the always-valid test does not carry it yet" in first.results[0].message
    auto_check_promotions("cron", store=store)
    assert len(open_approvals(store)) == 1
    assert count(store, "SELECT count(*) FROM notification_outbox WHERE event = 'approval_requested'") == 1


def test_require_manual_asks_even_when_the_evidence_is_there(store: Store) -> None:
    seed_experiment(store, "x", WINNER, promotion_config={"requireManualApproval": True})
    assert auto_check_promotions("cron", store=store).awaiting_approval == 1
    done = auto_check_promotions("cron", {"requireManualApproval": False}, store=store)
    assert done.awaiting_approval == 1, "a request does not overrule the experiment"
    assert promote_winner("x", "manual", "anna", store=store).is_live
    assert approval_history("x", store=store)[0].state is ApprovalState.SUPERSEDED


def test_approving_promotes_in_the_same_transaction(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    promotion = approve_promotion("x", "anna", reason="sound", metadata={"ticket": "P-1"}, store=store)
    approval = approval_history("x", store=store)[0]
    assert (promotion.promotion_type.value, promotion.promoted_by) == ("manual", "anna")
    assert promotion.metadata == {"approval_id": str(approval.id), "approval_reason": "sound", "ticket": "P-1"}
    assert (approval.state, approval.promotion_id, approval.reason) == (ApprovalState.APPROVED, promotion.id, "sound")
    with pytest.raises(ConflictError):
        approve_promotion("x", "anna", store=store)


def test_nothing_to_approve_is_a_clear_conflict(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    with pytest.raises(ConflictError, match="nothing waits for approval on 'x'"):
        approve_promotion("x", "anna", store=store)
    with pytest.raises(ConflictError, match="nothing waits"):
        decline_promotion("x", "anna", "no", store=store)


def test_declining_holds_until_released(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    decline_promotion("x", "anna", "legal first", store=store)
    assert auto_check_promotions("cron", store=store).held == 1
    assert open_approvals(store) == []
    release_hold("x", "anna", store=store)
    assert auto_check_promotions("cron", store=store).awaiting_approval == 1


def test_a_request_expires_and_is_asked_again(store: Store) -> None:
    seeded = seed_experiment(store, "x", UNPROVEN, promotion_config={"approvalExpiryHours": 5, "maxStalenessHours": 99})
    auto_check_promotions("cron", store=store)
    let_time_pass(store, seeded, 6)
    with pytest.raises(ConflictError, match="expired"):
        approve_promotion("x", "anna", store=store)
    assert open_approvals(store) == []
    assert expire_approvals(store) == 1
    assert expire_approvals(store) == 0
    # An hour in which nobody's request landed is not decided yet.
    seed_experiment(store, "beside", NO_DIFFERENCE)
    assert auto_check_promotions("cron", store=store).awaiting_approval == 1
    assert [a.state.value for a in approval_history("x", store=store)] == ["awaiting_approval", "expired"]


def test_an_approval_does_not_promote_what_no_longer_passes(store: Store) -> None:
    seeded = seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    late = VariantSpec("control", requests=2_000, conversions=600)
    add_requests(store, seeded, late, start=seeded.start, end=seeded.end)
    with pytest.raises(NotEligibleError):
        approve_promotion("x", "anna", store=store)
    assert approval_history("x", store=store)[0].state is ApprovalState.AWAITING_APPROVAL


def test_a_request_for_another_candidate_replaces_the_first(store: Store) -> None:
    three = (
        VariantSpec("control", is_control=True, traffic="33.34", requests=10_000, conversions=1_000),
        VariantSpec("treatment", traffic="33.33", requests=10_000, conversions=1_095),
        VariantSpec("rival", traffic="33.33", requests=10_000, conversions=1_000),
    )
    seeded = seed_experiment(store, "x", three)
    auto_check_promotions("cron", {"requireManualApproval": True}, store=store)
    add_requests(store, seeded, VariantSpec("rival", requests=300, conversions=300), start=seeded.start, end=seeded.end)
    with pytest.raises(ConflictError, match="'rival' leads now"):
        approve_promotion("x", "anna", store=store)
    auto_check_promotions("cron", {"requireManualApproval": True}, store=store)
    states = {a.candidate_variant_name: a.state for a in approval_history("x", store=store)}
    assert states == {"treatment": ApprovalState.SUPERSEDED, "rival": ApprovalState.AWAITING_APPROVAL}
    assert approve_promotion("x", "anna", store=store).promoted_variant_name == "rival"


def test_another_promotion_closes_the_request(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    promote_winner("x", "manual", "bob", store=store)
    assert approval_history("x", store=store)[0].state is ApprovalState.SUPERSEDED
