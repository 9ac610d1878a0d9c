"""From the ramp to the rollback, by the real daemon."""

from __future__ import annotations

from decimal import Decimal

from promotion_pipeline.orchestration import names
from promotion_pipeline.promotion.unattended.pending import pending_promotions
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.ramp_story import tell

BY_SENSOR = f"{names.APPLY_JOB} by {names.SENSOR}"


def shares(control: int, treatment: int) -> dict[str, Decimal]:
    return {"control": Decimal(control), "treatment": Decimal(treatment)}


def test_the_daemon_ramps_a_winner_to_100_and_rolls_it_back_when_it_fails(stage: Stage) -> None:
    decided, ramping, promoted, rolled_back = tell(stage.store, stage.instance)

    assert (decided.state, decided.split, decided.audit) == (None, shares(50, 50), ())

    assert (ramping.state, ramping.split, ramping.is_active) == ("ramping", shares(25, 75), False)
    assert (ramping.outbox, ramping.told) == (("promotion",), ("promote",))

    assert (promoted.state, promoted.split, promoted.hold) == ("promoted", shares(0, 100), None)
    assert promoted.runs.count(BY_SENSOR) == 2

    assert (rolled_back.state, rolled_back.split, rolled_back.is_active) == ("rolled_back", shares(100, 0), True)
    assert rolled_back.reason is not None and rolled_back.reason.startswith("watch: error rate 20.00 %")
    assert rolled_back.hold == f"rolled back by promotion_watch: {rolled_back.reason}"
    assert [action for _, action in rolled_back.audit] == ["promote", "ramp", "watch_breach", "roll_back"]
    assert [actor for actor, _ in rolled_back.audit[2:]] == ["promotion_watch"] * 2
    assert rolled_back.outbox == ("promotion", "ramp_step", "watch_breach", "rollback")
    assert rolled_back.told == ("promote", "ramp", "watch_breach", "roll_back")
    assert pending_promotions(stage.store) == ()
