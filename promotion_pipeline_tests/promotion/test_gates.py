"""Group-sequential evidence and the gates, at the doors: what is promoted, what waits, what a person is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.errors import WithheldError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import Outcome, WithheldReason
from promotion_pipeline.promotion.unattended.pending import pending_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide, names
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, seed_experiment

AHEAD = (WINNER[0], VariantSpec("treatment", requests=10_000, conversions=1_110, errors=100))
"""Crosses the boundary at the end of its plan, and not that of the always-valid test."""
PLANNED: dict[str, Any] = {"evidence": "group_sequential", "planned_sample_size": 20_000}


def test_a_plan_promotes_what_crosses_its_boundary_and_asks_about_what_has_none(store: Store) -> None:
    seed_experiment(store, "planned", AHEAD, promotion_config=PLANNED)
    seed_experiment(store, "careless", AHEAD, promotion_config={"evidence": "group_sequential"})
    seed_experiment(store, "over", AHEAD, promotion_config=PLANNED | {"planned_sample_size": 15_000})
    found = {entry.experiment_name: entry for entry in auto_check_promotions("system", store=store).results}
    assert found["planned"].outcome is Outcome.PROMOTED
    assert found["careless"].outcome is Outcome.AWAITING_APPROVAL
    assert "states none: set planned_sample_size" in found["careless"].message
    assert found["over"].outcome is Outcome.AWAITING_APPROVAL
    assert "the group-sequential boundary of its plan is not crossed" in found["over"].message


def test_what_waits_for_a_whole_week_is_neither_promoted_nor_asked_about(store: Store) -> None:
    seeded = seed_experiment(store, "weekly", WINNER, promotion_config={"whole_weeks": True})
    (checked,) = assess(store, ["weekly"])
    assert checked.evidence.withheld == (WithheldReason.PART_OF_A_WEEK,)
    next_week = (seeded.start + timedelta(days=7)).strftime("%Y-%m-%d %H:%M")
    assert f"next at {next_week}" in checked.evidence.withheld_because[0]
    decide(store)
    assert names(pending_promotions(store)) == []
    with pytest.raises(WithheldError, match="whole number of weeks"):
        promote_winner("weekly", "auto", "system", store=store)
    assert promote_winner("weekly", "manual", "anna", store=store).is_live


def test_a_whole_week_is_promoted_by_the_sensor(store: Store) -> None:
    (seeded,) = (seed_experiment(store, "other", WINNER),)
    start = seeded.end - timedelta(days=7, hours=2)
    seed_experiment(store, "weekly", WINNER, start=start, promotion_config={"whole_weeks": True})
    decide(store)
    assert ("decision", "weekly", 1) in names(pending_promotions(store))


def test_few_conversions_are_a_question_to_a_person(store: Store) -> None:
    seed_experiment(store, "few", WINNER, promotion_config={"minConversions": 1_001})
    seed_experiment(store, "enough", WINNER, promotion_config={"minConversions": 1_000})
    found = {entry.experiment_name: entry.outcome for entry in auto_check_promotions("system", store=store).results}
    assert found == {"few": Outcome.AWAITING_APPROVAL, "enough": Outcome.PROMOTED}
