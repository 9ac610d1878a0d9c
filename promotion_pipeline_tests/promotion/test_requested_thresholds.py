"""The thresholds that a request brings: in an unattended act they tighten only, and every record names them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.config import Mode, PromotionConfig
from promotion_pipeline.errors import WithheldError
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.act.approvals import approve_promotion
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import judge
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, seed_experiment

LOOSE = {"requireManualApproval": False, "evidence": "fixed_horizon", "minSampleSize": 1}


def audit(store: Store, action: str) -> dict[str, Any]:
    """What the newest such act kept."""
    with store.connect() as connection:
        row = connection.execute(
            "SELECT details FROM promotion_audit WHERE action = %s ORDER BY id DESC LIMIT 1", [action]
        ).fetchone()
    assert row is not None
    return dict(row["details"])


def test_a_sweep_does_not_overrule_an_experiment_that_asks_for_a_person(store: Store) -> None:
    own = {"requireManualApproval": True, "minSampleSize": 5000}
    seed_experiment(store, "x", WINNER, promotion_config=own)
    (entry,) = auto_check_promotions("cron", LOOSE, store=store).results
    assert entry.outcome is Outcome.AWAITING_APPROVAL
    said = entry.to_json()["overruled"]
    assert {over["threshold"]: (over["asked"], over["used"]) for over in said} == {
        "requireManualApproval": (False, True),
        "evidence": ("fixed_horizon", "always_valid"),
        "minSampleSize": (1, 5000),
    }
    assert "requireManualApproval=false of the request does not loosen the experiment's own true" in entry.message
    kept = audit(store, "request_approval")
    assert kept["requested_thresholds"] == {
        "require_manual_approval": False,
        "evidence": "fixed_horizon",
        "min_sample_size": 1,
    }
    assert kept["overruled_by"]["require_manual_approval"] is True
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0


def test_the_evidence_is_not_asked_away(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    (entry,) = auto_check_promotions("cron", {"evidence": "fixed_horizon"}, store=store).results
    assert entry.outcome is Outcome.AWAITING_APPROVAL
    with pytest.raises(WithheldError):
        promote_winner("x", "auto", "cron", {"evidence": "fixed_horizon"}, store=store)


def test_the_environment_that_asks_for_a_person_is_not_overruled(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    manual = store.settings.model_copy(update={"thresholds": PromotionConfig(require_manual_approval=True)})
    (entry,) = auto_check_promotions("cron", {"requireManualApproval": False}, store=Store(store.url, manual)).results
    assert entry.outcome is Outcome.AWAITING_APPROVAL


def test_each_experiment_has_its_own_stricter_one(store: Store) -> None:
    seed_experiment(store, "lenient", WINNER, promotion_config={"minSampleSize": 10})
    seed_experiment(store, "strict", WINNER, promotion_config={"minSampleSize": 20_000})
    done = auto_check_promotions("cron", {"minSampleSize": 5000}, store=store)
    assert {entry.experiment_name: entry.outcome for entry in done.results} == {
        "lenient": Outcome.PROMOTED,
        "strict": Outcome.NOT_ELIGIBLE,
    }
    assert [len(entry.overruled) for entry in done.results] == [0, 1]


def test_a_tighter_request_tightens(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    (entry,) = auto_check_promotions("cron", {"minSampleSize": 20_000}, store=store).results
    assert entry.outcome is Outcome.NOT_ELIGIBLE
    assert entry.overruled == ()


def test_the_specifications_own_body_promotes_what_asks_for_nobody(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    (entry,) = auto_check_promotions("cron", {"requireManualApproval": False}, store=store).results
    assert entry.outcome is Outcome.PROMOTED
    assert audit(store, "promote")["requested_thresholds"] == {"require_manual_approval": False}


def test_an_auto_promotion_is_not_loosened_either_and_a_manual_one_may_be(store: Store) -> None:
    seed_experiment(store, "x", WINNER, promotion_config={"requireManualApproval": True})
    with pytest.raises(WithheldError, match="ask for a person"):
        promote_winner("x", "auto", "cron", LOOSE, store=store)
    promotion = promote_winner("x", "manual", "anna", {"minSampleSize": 1}, store=store)
    assert promotion.snapshot["requested_thresholds"] == {"min_sample_size": 1}
    assert audit(store, "promote")["requested_thresholds"] == {"min_sample_size": 1}


def test_how_it_is_done_is_the_experiments_own(store: Store) -> None:
    seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [75, 100], "autoRollback": True})
    promotion = promote_winner("x", "auto", "cron", {"rampSteps": [100], "autoRollback": False}, store=store)
    assert promotion.config["ramp_steps"] == [75.0, 100.0]
    assert promotion.config["auto_rollback"] is True
    assert promotion.snapshot["overruled_by"] == {"ramp_steps": [75.0, 100.0], "auto_rollback": True}


@pytest.mark.parametrize(
    ("name", "asked", "own"), [("autoRollback", "true", "false"), ("rampSteps", "[50.0, 100.0]", "[100.0]")]
)
def test_what_no_value_of_is_stricter_is_not_called_a_loosening(store: Store, name: str, asked: str, own: str) -> None:
    seed_experiment(store, "x", WINNER)
    (entry,) = auto_check_promotions("cron", {name: json.loads(asked)}, store=store).results
    assert f"{name}={asked} of the request is not used: it stays as the experiment has it, {own}" in entry.message
    assert "loosen" not in entry.message


def test_an_approval_and_a_shadow_name_them_too(store: Store) -> None:
    seed_experiment(store, "asked", UNPROVEN)
    auto_check_promotions("cron", store=store)
    approve_promotion("asked", "anna", {"minSampleSize": 10}, store=store)
    assert audit(store, "approve")["requested_thresholds"] == {"min_sample_size": 10}
    seed_experiment(store, "x", WINNER)
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    auto_check_promotions("cron", {"minSampleSize": 2000}, store=shadow)
    assert audit(store, "shadow_promote")["requested_thresholds"] == {"min_sample_size": 2000}


def test_an_act_without_thresholds_names_none(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    auto_check_promotions("cron", store=store)
    assert "requested_thresholds" not in audit(store, "promote")


def test_metrics_of_a_request_are_named_as_not_used_and_stop_no_sweep(store: Store) -> None:
    own = {"name": "refunds", "kind": "user_count", "event": "refund", "role": "secondary"}
    seed_experiment(store, "x", WINNER, promotion_config={"metrics": [own]})
    dry = judge(store, None, PromotionConfig(metrics=()), made_by=MadeBy.SWEEP).assessments[0].eligibility
    (entry,) = auto_check_promotions("cron", {"metrics": []}, store=store).results
    assert entry.outcome is Outcome.PROMOTED
    (over,) = entry.to_json()["overruled"]
    assert (over["asked"], over["used"][0]["name"]) == ([], "refunds")
    assert over["message"] == 'metrics=[] of the request is not used: it stays as the experiment has it, ["refunds"]'
    assert dry.to_json()["overruled"] == [over]
