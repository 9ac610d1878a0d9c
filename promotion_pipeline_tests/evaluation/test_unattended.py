"""The one rule that says what may go unattended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promotion_pipeline.evaluation.unattended import (
    WAITING,
    MadeBy,
    UnattendedFacts,
    WithheldReason,
    asks_a_person,
    may_go_unattended,
    withheld_reasons,
)

AS_OF = datetime(2026, 3, 2, 10, tzinfo=UTC)
GOES = UnattendedFacts(
    is_eligible=True,
    is_promotable=True,
    as_of=AS_OF,
    now=AS_OF + timedelta(minutes=7),
    newest_request_at=AS_OF - timedelta(hours=2),
    max_staleness_hours=2.0,
    require_manual_approval=False,
)
ALONE: dict[WithheldReason, dict[str, Any]] = {
    WithheldReason.EVIDENCE: {"is_promotable": False},
    WithheldReason.STALE: {"newest_request_at": AS_OF - timedelta(hours=2, seconds=1)},
    WithheldReason.LOW_TRAFFIC: {"is_quiet": True},
    WithheldReason.INCOMPLETE_DATA: {"is_complete": False},
    WithheldReason.PHASE_CHANGED: {"is_phase_current": False},
    WithheldReason.NOT_SCHEDULED: {"made_by": MadeBy.PERSON},
    WithheldReason.ENDED: {"end_date": AS_OF + timedelta(minutes=7)},
    WithheldReason.NO_PLAN: {"warnings": ("no_plan",)},
    WithheldReason.PART_OF_A_WEEK: {"warnings": ("small_sample", "part_of_a_week")},
    WithheldReason.FEW_CONVERSIONS: {"warnings": ("few_conversions",)},
    WithheldReason.PRE_PERIOD_DIFFERENCE: {"warnings": ("pre_period_difference",)},
    WithheldReason.MANUAL_APPROVAL: {"require_manual_approval": True},
    WithheldReason.HELD: {"is_held": True},
    WithheldReason.DISABLED: {"is_enabled": False},
}


def test_what_has_everything_goes_and_asks_nobody() -> None:
    assert may_go_unattended(GOES)
    assert not asks_a_person(GOES)


@pytest.mark.parametrize("reason", WithheldReason)
def test_each_reason_alone_withholds(reason: WithheldReason) -> None:
    facts = replace(GOES, **ALONE[reason])
    assert withheld_reasons(facts) == (reason,)
    assert not may_go_unattended(facts)
    assert asks_a_person(facts) is (reason not in WAITING)


def test_one_reason_to_wait_silences_every_reason_to_ask() -> None:
    facts = replace(GOES, require_manual_approval=True, is_complete=False)
    assert withheld_reasons(facts) == (WithheldReason.INCOMPLETE_DATA, WithheldReason.MANUAL_APPROVAL)
    assert not asks_a_person(facts)


def test_all_reasons_are_given_at_once_in_the_order_of_the_enum() -> None:
    everything = {name: value for facts in ALONE.values() for name, value in facts.items()}
    everything["warnings"] = ("part_of_a_week", "few_conversions", "pre_period_difference")
    every = tuple(reason for reason in WithheldReason if reason is not WithheldReason.NO_PLAN)
    assert withheld_reasons(replace(GOES, **everything)) == every


def test_without_a_plan_that_is_the_reason_and_not_the_evidence() -> None:
    facts = replace(GOES, is_promotable=False, warnings=("no_plan",))
    assert withheld_reasons(facts) == (WithheldReason.NO_PLAN,)


def test_what_is_not_eligible_is_not_withheld_and_does_not_go() -> None:
    facts = replace(GOES, is_eligible=False, is_promotable=False, is_held=True)
    assert withheld_reasons(facts) == ()
    assert not may_go_unattended(facts)
    assert not asks_a_person(facts)


@pytest.mark.parametrize("made_by", [MadeBy.SCHEDULE, MadeBy.AUTOMATION, MadeBy.SWEEP])
def test_what_no_person_made_goes(made_by: MadeBy) -> None:
    assert may_go_unattended(replace(GOES, made_by=made_by))


def test_no_request_at_all_is_stale() -> None:
    assert withheld_reasons(replace(GOES, newest_request_at=None)) == (WithheldReason.STALE,)


def test_an_end_that_lies_ahead_withholds_nothing() -> None:
    assert may_go_unattended(replace(GOES, end_date=AS_OF + timedelta(minutes=8)))
