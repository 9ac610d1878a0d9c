"""Promotion and rollback: one transaction, everything re-checked, everything recorded."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from promotion_pipeline import (
    AlreadyPromotedError,
    ConflictError,
    HeldError,
    InputError,
    NotEligibleError,
    NotFoundError,
    NothingToRollBackError,
    SplitDriftError,
    WithheldError,
    auto_check_promotions,
    check_promotion_eligibility,
    get_promotion_history,
    promote_winner,
    release_hold,
    rollback_promotion,
)
from promotion_pipeline.config import Mode
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import (
    NO_DIFFERENCE,
    UNPROVEN,
    WINNER,
    VariantSpec,
    count,
    seed_experiment,
    split_of,
)

THIRDS = (
    VariantSpec("control", is_control=True, traffic="33.33", requests=9_000, conversions=900),
    VariantSpec("b", traffic="33.33", requests=9_000, conversions=920),
    VariantSpec("c", traffic="33.34", requests=9_000, conversions=1_200),
)


def rows(store: Store, query: str) -> list[dict[str, Any]]:
    with store.connect() as connection:
        return connection.execute(query).fetchall()


def application_rows(store: Store) -> list[dict[str, Any]]:
    """Everything that the application owns, but for the hold."""
    return rows(store, "SELECT id, name, is_active, start_date, end_date, promotion_config FROM ab_experiments") + rows(
        store, "SELECT * FROM ab_variants ORDER BY id"
    )


def test_all_traffic_goes_to_the_winner_and_the_experiment_stops(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promotion = promote_winner("x", "manual", "user-123", metadata={"ticket": "P-1"}, store=store)
    assert split_of(store, seeded) == {"control": Decimal(0), "treatment": Decimal(100)}
    assert promotion.state is PromotionState.PROMOTED
    assert promotion.metadata == {"ticket": "P-1"}
    assert promotion.promoted_by == "user-123"
    assert rows(store, "SELECT is_active FROM ab_experiments") == [{"is_active": False}]
    phases = rows(store, "SELECT is_running, ended_at FROM ab_experiment_phases ORDER BY started_at")
    assert [(phase["is_running"], phase["ended_at"] is None) for phase in phases] == [(True, False), (False, True)]


def test_the_record_keeps_everything_that_was_seen(store: Store) -> None:
    seeded = seed_experiment(store, "x", THIRDS, users=4000)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    snapshot = promotion.snapshot
    ids = {name: str(key) for name, key in seeded.variant_ids.items()}
    assert snapshot["split_before"] == {ids["control"]: "33.33", ids["b"]: "33.33", ids["c"]: "33.34"}
    assert snapshot["split_after"] == {ids["control"]: "0.00", ids["b"]: "0.00", ids["c"]: "100.00"}
    assert {v["variant_name"]: v["requests"] for v in snapshot["variants"]} == {"control": 9000, "b": 9000, "c": 9000}
    assert snapshot["decision"]["candidate_variant_name"] == "c"
    assert snapshot["watermark"] is not None
    assert promotion.p_value == snapshot["decision"]["p_value"]
    assert promotion.confidence == 100 * (1 - promotion.p_value)
    assert promotion.evidence == "always_valid"
    decided = rows(store, "SELECT label, is_promotable FROM eligibility_decisions")
    assert decided == [{"label": "record", "is_promotable": True}]
    assert [row["action"] for row in rows(store, "SELECT action FROM promotion_audit")] == ["promote"]
    assert [row["event"] for row in rows(store, "SELECT event FROM notification_outbox")] == ["promotion"]


def test_a_second_promotion_is_a_conflict_and_changes_nothing(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    before = application_rows(store)
    with pytest.raises(AlreadyPromotedError, match=r"already promoted: 'treatment' at .* by anna"):
        promote_winner("x", "manual", "bob", store=store)
    assert application_rows(store) == before
    assert len(get_promotion_history("x", store=store)) == 1


def test_rollback_restores_the_split_to_the_cent_and_holds(store: Store) -> None:
    seed_experiment(store, "x", THIRDS)
    before = application_rows(store)
    promote_winner("x", "manual", "anna", store=store)
    rolled_back = rollback_promotion("x", "errors", "bob", store=store)
    assert application_rows(store) == before
    assert rolled_back.state is PromotionState.ROLLED_BACK
    assert (rolled_back.rollback_reason, rolled_back.rolled_back_by) == ("errors", "bob")
    held = rows(store, "SELECT auto_promotion_hold FROM ab_experiments")
    assert held == [{"auto_promotion_hold": "rolled back by bob: errors"}]
    phases = rows(store, "SELECT is_running FROM ab_experiment_phases ORDER BY started_at")
    assert [phase["is_running"] for phase in phases] == [True, False, True]
    assert rows(store, "SELECT event, level FROM notification_outbox ORDER BY id DESC LIMIT 1") == [
        {"event": "rollback", "level": "critical"}
    ]


def test_rollback_to_control_gives_control_all_traffic_and_restarts_the_experiment(store: Store) -> None:
    seeded = seed_experiment(store, "x", THIRDS)
    promote_winner("x", "manual", "anna", store=store)
    rollback_promotion("x", "errors", "bob", to="control", store=store)
    assert split_of(store, seeded) == {"control": Decimal(100), "b": Decimal(0), "c": Decimal(0)}
    assert rows(store, "SELECT is_active FROM ab_experiments") == [{"is_active": True}]


def test_rolling_back_twice_or_what_was_never_promoted_is_a_clear_error(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    with pytest.raises(NothingToRollBackError, match="never promoted"):
        rollback_promotion("x", "errors", "bob", store=store)
    promote_winner("x", "manual", "anna", store=store)
    rollback_promotion("x", "errors", "bob", store=store)
    with pytest.raises(NothingToRollBackError, match=r"rolled back already: 'treatment' at .* by bob \(errors\)"):
        rollback_promotion("x", "again", "bob", store=store)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 10 ELSE 90 END", "has 10.00 %"),
        ("UPDATE ab_experiments SET is_active = true", "started again"),
        (
            "INSERT INTO ab_variants (experiment_id, name, traffic_percentage) SELECT id, 'late', 5"
            " FROM ab_experiments",
            "late",
        ),
        ("DELETE FROM ab_variants WHERE name = 'treatment'", "no entry"),
    ],
)
def test_a_split_that_somebody_changed_since_is_overwritten_only_when_confirmed(
    store: Store, change: str, said: str
) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    rows(store, f"{change} RETURNING 1")
    way = "control" if "DELETE" in change else "previous"
    with pytest.raises(SplitDriftError, match=said):
        rollback_promotion("x", "errors", "bob", to=way, store=store)
    if "DELETE" in change:
        with pytest.raises(ConflictError, match="'treatment' exists no more"):
            rollback_promotion("x", "errors", "bob", confirm_drift=True, store=store)
        rollback_promotion("x", "errors", "bob", to="control", confirm_drift=True, store=store)
        assert split_of(store, seeded) == {"control": Decimal(100)}
        return
    rollback_promotion("x", "errors", "bob", confirm_drift=True, store=store)
    split = split_of(store, seeded)
    assert {name: percent for name, percent in split.items() if percent} == dict.fromkeys(
        ("control", "treatment"), Decimal(50)
    )


def test_what_is_not_eligible_is_not_promoted(store: Store) -> None:
    seeded = seed_experiment(store, "x", NO_DIFFERENCE)
    with pytest.raises(NotEligibleError, match=r"'x' is not_yet at .*: confidence"):
        promote_winner("x", "manual", "anna", store=store)
    assert split_of(store, seeded) == {"control": Decimal(50), "treatment": Decimal(50)}
    assert get_promotion_history("x", store=store) == []


def test_a_person_may_promote_what_the_evidence_does_not_carry_yet(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    with pytest.raises(WithheldError, match="the always-valid test does not carry it yet; a person may promote it"):
        promote_winner("x", "auto", "sensor", store=store)
    promotion = promote_winner("x", "manual", "anna", store=store)
    assert promotion.evidence == "contract"
    assert any("always-valid" in warning for warning in promotion.warnings)
    assert rows(store, "SELECT event, level FROM notification_outbox") == [
        {"event": "promotion_with_warnings", "level": "warning"}
    ]


def test_fixed_horizon_promotes_by_the_contract_alone(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN, promotion_config={"evidence": "fixed_horizon"})
    assert promote_winner("x", "auto", "sensor", store=store).evidence == "fixed_horizon"


def test_stale_data_stops_the_system_and_warns_a_person(store: Store) -> None:
    with store.connect() as connection:
        row = connection.execute("SELECT date_trunc('hour', now(), 'UTC') - interval '3 hours' AS at").fetchone()
    assert row is not None
    seed_experiment(store, "x", WINNER, start=row["at"] - timedelta(days=4), end=row["at"])
    with pytest.raises(WithheldError, match=r"stale: the newest request is 3.0 hours older"):
        promote_winner("x", "auto", "sensor", store=store)
    promotion = promote_winner("x", "manual", "anna", store=store)
    assert any("stale" in warning for warning in promotion.warnings)


def test_a_hold_stops_the_system_but_no_person(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    rollback_promotion("x", "errors", "bob", store=store)
    held = auto_check_promotions("cron", store=store)
    assert (held.promoted, held.failed) == (0, 0)
    release_hold("x", "anna", store=store)
    with pytest.raises(ConflictError, match="not on hold"):
        release_hold("x", "anna", store=store)


def test_auto_promotion_of_a_held_experiment_says_why(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    rows(store, "UPDATE ab_experiments SET auto_promotion_hold = 'wait for legal' RETURNING 1")
    with pytest.raises(HeldError, match="wait for legal"):
        promote_winner("x", "auto", "sensor", store=store)
    assert promote_winner("x", "manual", "anna", store=store).is_live


def test_disabled_and_manual_approval_withhold_the_unattended_path(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    off = Store(store.url, store.settings.model_copy(update={"enabled": False}))
    with pytest.raises(WithheldError, match="AUTO_PROMOTION_ENABLED"):
        promote_winner("x", "auto", "sensor", store=off)
    with pytest.raises(WithheldError, match="approval"):
        promote_winner("x", "auto", "sensor", {"requireManualApproval": True}, store=store)


def test_shadow_mode_changes_no_traffic_for_anyone(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    before = application_rows(store)
    for kind in ("auto", "manual"):
        with pytest.raises(ConflictError, match="shadow"):
            promote_winner("x", kind, "anna", store=shadow)
    for _ in range(2):
        assert auto_check_promotions("cron", store=shadow).shadow == 1
    assert application_rows(store) == before
    assert get_promotion_history("x", store=store) == []
    assert [p.state for p in get_promotion_history("x", shadow=True, store=store)] == [PromotionState.SHADOW]
    assert count(store, "SELECT count(*) FROM ab_experiment_phases") == 1
    assert promote_winner("x", "auto", "sensor", store=store).is_live


def test_thresholds_of_the_experiment_and_of_the_request_count(store: Store) -> None:
    seed_experiment(store, "x", WINNER, promotion_config={"minImprovementPercent": 40})
    with pytest.raises(NotEligibleError, match=r"30.00 % < 40.00 %"):
        promote_winner("x", "manual", "anna", store=store)
    promotion = promote_winner("x", "manual", "anna", {"min_improvement_percent": 20}, store=store)
    assert promotion.config["min_improvement_percent"] == 20
    assert count(store, "SELECT count(*) FROM eligibility_decisions") == 0


def test_who_and_why_must_be_usable_text(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    unusable: list[Any] = ["", "   ", None, 7, "a\x00b", "x" * 5000, "\ud800"]
    for bad in unusable:
        with pytest.raises(InputError, match="promoted_by"):
            promote_winner("x", "manual", bad, store=store)
        with pytest.raises(InputError, match="reason"):
            rollback_promotion("x", bad, "bob", store=store)
        with pytest.raises(InputError, match="rolled_back_by"):
            rollback_promotion("x", "errors", bad, store=store)


def test_metadata_must_be_json(store: Store) -> None:
    unusable: list[Any] = [["list"], {"a": float("nan")}, {"a": object()}, {"a": ["\x00"]}, {"a": "x" * 70_000}]
    for bad in unusable:
        with pytest.raises(InputError, match="metadata"):
            promote_winner("x", "manual", "anna", metadata=bad, store=store)


def test_unknown_values_are_refused_with_the_choices(store: Store) -> None:
    with pytest.raises(InputError, match="'auto' or 'manual'"):
        promote_winner("x", "semi", "anna", store=store)
    with pytest.raises(InputError, match="'previous' or 'control'"):
        rollback_promotion("x", "why", "anna", to="nowhere", store=store)
    seed_experiment(store, "checkout-button", WINNER)
    with pytest.raises(NotFoundError, match="did you mean 'checkout-button'"):
        promote_winner("Checkout-buton", "manual", "anna", store=store)


def test_a_promoted_experiment_is_clearly_not_eligible(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    eligibility = check_promotion_eligibility("x", store=store)
    assert not eligibility.is_eligible
    assert "not running: 'treatment' was promoted at" in eligibility.reasons[0]


def test_after_a_rollback_measurement_begins_anew(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    rollback_promotion("x", "errors", "bob", store=store)
    eligibility = check_promotion_eligibility("x", store=store)
    assert not eligibility.is_eligible
    with pytest.raises(NotEligibleError):
        promote_winner("x", "manual", "anna", store=store)
