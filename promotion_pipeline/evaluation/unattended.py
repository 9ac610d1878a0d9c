"""What may go unattended: the one rule that the sensor, the sweep, `promote_winner`, the check and the page share.

Values in, reasons out: whoever asks reads the facts where it stands (from stored decisions, or under the lock).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pandas as pd

from promotion_pipeline.evaluation.codes import Warn


class WithheldReason(StrEnum):
    """Why an eligible experiment is not promoted unattended."""

    EVIDENCE = "evidence"
    """The evidence that an unattended promotion needs is not there."""
    STALE = "stale"
    """No request of the experiment is recent enough."""
    LOW_TRAFFIC = "low_traffic"
    """The newest hour has far fewer requests than usual: some may be missing."""
    INCOMPLETE_DATA = "incomplete_data"
    """The requests of the phase in the log are not those in its rollups."""
    PHASE_CHANGED = "phase_changed"
    """The experiment's tables are not what its open phase says: what was judged is not what is served."""
    NOT_SCHEDULED = "not_scheduled"
    """The hour's decision was made by a person's run; the next scheduled one may promote."""
    ENDED = "ended"
    """The experiment's `end_date` has passed."""
    NO_PLAN = "no_plan"
    """The evidence is group-sequential, and no planned_sample_size is stated: a mistake in the thresholds."""
    PART_OF_A_WEEK = "part_of_a_week"
    """It is not a whole number of weeks since the phase's start, which whole_weeks asks for."""
    FEW_CONVERSIONS = "few_conversions"
    """An arm has fewer conversions than min_conversions."""
    PRE_PERIOD_DIFFERENCE = "pre_period_difference"
    """The candidate's users differed from control's before they were exposed."""
    MANUAL_APPROVAL = "manual_approval"
    """The thresholds ask for a person."""
    HELD = "held"
    """Automatic promotion is on hold."""
    DISABLED = "disabled"
    """AUTO_PROMOTION_ENABLED is false."""


class MadeBy(StrEnum):
    """What made a decision."""

    SCHEDULE = "schedule"
    """The hourly schedule's run."""
    AUTOMATION = "automation"
    """An automation condition's run, or the act itself where the hour had turned since it was called for."""
    SWEEP = "sweep"
    """`auto-check`, or `promote_winner(..., "auto", ...)`: whoever calls it means it to act."""
    PERSON = "person"
    """A run that somebody started: a backfill, the Launchpad, `evaluate`."""


LEADS_TO_PROMOTION = frozenset({MadeBy.SCHEDULE, MadeBy.AUTOMATION, MadeBy.SWEEP})
"""What an unattended promotion may stand on."""
WAITING = frozenset(
    {
        WithheldReason.INCOMPLETE_DATA,
        WithheldReason.PHASE_CHANGED,
        WithheldReason.NOT_SCHEDULED,
        WithheldReason.PART_OF_A_WEEK,
        WithheldReason.HELD,
        WithheldReason.DISABLED,
    }
)
"""With one of these nobody is asked either: the numbers are not the ones to ask about, or a person has said no."""


GATES = {
    WithheldReason.NO_PLAN: Warn.NO_PLAN,
    WithheldReason.PART_OF_A_WEEK: Warn.PART_OF_A_WEEK,
    WithheldReason.FEW_CONVERSIONS: Warn.FEW_CONVERSIONS,
    WithheldReason.PRE_PERIOD_DIFFERENCE: Warn.PRE_PERIOD_DIFFERENCE,
}
"""Reasons that the decision itself says, by the warning that does."""


@dataclass(frozen=True)
class UnattendedFacts:
    """What is known of one experiment at one as-of, as far as it matters to whether it may go unattended."""

    is_eligible: bool
    """Every contract check passes."""
    is_promotable: bool
    """Eligible, and the evidence is there."""
    as_of: datetime
    """End of the hour that was judged."""
    now: datetime
    """When this is asked, not before `as_of`."""
    newest_request_at: datetime | None
    """The newest request of the phase before `as_of`; None: there is none."""
    max_staleness_hours: float
    require_manual_approval: bool
    end_date: datetime | None = None
    warnings: tuple[str, ...] = ()
    """Codes of the decision's warnings."""
    is_quiet: bool = False
    """The newest hour has far fewer requests than usual."""
    is_complete: bool = True
    """The requests of the phase in the log are those in its rollups."""
    is_phase_current: bool = True
    """The open phase says of split and activity what the experiment's tables say."""
    made_by: MadeBy = MadeBy.SCHEDULE
    """What made the decision that is to be acted upon."""
    is_held: bool = False
    is_enabled: bool = True


def is_fresh(newest_request_at: datetime | None, as_of: datetime, max_staleness_hours: float) -> bool:
    """Whether the newest request is recent enough at the as-of."""
    return newest_request_at is not None and as_of - newest_request_at <= timedelta(hours=max_staleness_hours)


def withheld_reasons(facts: UnattendedFacts) -> tuple[WithheldReason, ...]:
    """Everything that keeps an eligible experiment from an unattended promotion; empty: nothing does.

    Empty too where the contract does not pass: then there is nothing to withhold.
    """
    if not facts.is_eligible:
        return ()
    found = {
        # Without a plan there is nothing to test by: that is the reason, and not what is missing besides.
        WithheldReason.EVIDENCE: not facts.is_promotable and Warn.NO_PLAN not in facts.warnings,
        WithheldReason.STALE: not is_fresh(facts.newest_request_at, facts.as_of, facts.max_staleness_hours),
        WithheldReason.LOW_TRAFFIC: facts.is_quiet,
        WithheldReason.INCOMPLETE_DATA: not facts.is_complete,
        WithheldReason.PHASE_CHANGED: not facts.is_phase_current,
        WithheldReason.NOT_SCHEDULED: facts.made_by not in LEADS_TO_PROMOTION,
        WithheldReason.ENDED: facts.end_date is not None and facts.end_date <= facts.now,
        **{reason: warning in facts.warnings for reason, warning in GATES.items()},
        WithheldReason.MANUAL_APPROVAL: facts.require_manual_approval,
        WithheldReason.HELD: facts.is_held,
        WithheldReason.DISABLED: not facts.is_enabled,
    }
    return tuple(reason for reason, holds in found.items() if holds)


def is_let_go(decisions: pd.DataFrame) -> pd.Series[bool]:
    """Of rows of `Evaluation.decisions`, which have the evidence and no closed gate: all that the numbers can say."""
    found = decisions["is_promotable"].astype(bool)
    closed = frozenset(warning.value for warning in GATES.values())
    return found & decisions["warnings"].where(found, None).map(lambda codes: not closed.intersection(codes or ()))


def may_go_unattended(facts: UnattendedFacts) -> bool:
    """Whether this experiment may be promoted without a person."""
    return facts.is_eligible and not withheld_reasons(facts)


def asks_a_person(facts: UnattendedFacts) -> bool:
    """Whether a person is to be asked about this experiment: eligible, withheld, and worth asking about."""
    withheld = withheld_reasons(facts)
    return bool(withheld) and not WAITING.intersection(withheld)
