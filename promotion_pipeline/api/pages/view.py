"""What the page of one experiment shows, gathered from the product's own functions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.api.pages.charts import MOST_POINTS, LiftChart, lift_chart
from promotion_pipeline.config import parse_config
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.evaluation import Need
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline.promotion.act.approvals import approval_history
from promotion_pipeline.promotion.act.ramp import plan_advance
from promotion_pipeline.promotion.act.rollback import RollbackTarget, plan_rollback
from promotion_pipeline.promotion.history.evidence import LiftPoint, Phase, lift_series, phases_of
from promotion_pipeline.promotion.history.happened import Happened, happened_to
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.history.overview import experiment_overview
from promotion_pipeline.promotion.history.standing import traffic_now
from promotion_pipeline.promotion.judge.assess import Assessment, judge
from promotion_pipeline.promotion.judge.eligibility import eligibility_when_promoted
from promotion_pipeline.promotion.ledger.ledger import read_ledger
from promotion_pipeline.promotion.ledger.wording import outcome_sentence
from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.promotion.record.models import Approval, Promotion, PromotionEligibility
from promotion_pipeline.promotion.record.states import ApprovalState, PromotionState
from promotion_pipeline.promotion.record.watched import Alarm
from promotion_pipeline.promotion.watch.alarms import alarms_of
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import confidence_text, lift_text, split_text
from promotion_pipeline.traffic.splits import TrafficSplit, traffic_splits

CHECK_TITLES = {check.name: check.title for check in CONTRACT}
TABLE_POINTS = 24


@dataclass(frozen=True)
class Treatment:
    """A treatment against control at the newest look; lifts are fractions."""

    name: str
    lift: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    confidence: float | None


@dataclass(frozen=True)
class Drawn:
    """What the chart is of."""

    candidate: str
    control: str
    threshold_percent: float
    points: tuple[LiftPoint, ...] = ()
    is_past: bool = False
    """Of the phase that the last promotion was decided on."""


@dataclass(frozen=True)
class TimelineEntry:
    """One entry of the timeline."""

    at: datetime
    kind: str
    title: str
    text: str = ""
    promotion: Promotion | None = None


@dataclass(frozen=True)
class Way:
    """One place where a rollback can go, and the split that results."""

    to: str
    title: str
    split: str


@dataclass(frozen=True)
class ExperimentView:
    """Everything on the page."""

    name: str
    state: str
    eligibility: PromotionEligibility
    is_recorded: bool
    """The numbers are those of the promotion: the experiment does not run."""
    promotion: Promotion | None
    """The one that governs the traffic."""
    approval: Approval | None
    """What waits for an answer."""
    needs: tuple[Need, ...]
    alarms: tuple[Alarm, ...]
    """What is wrong with the live promotion, the worst first."""
    traffic: str
    """The split as it stands."""
    splits: TrafficSplit | None
    """Decided, served and observed; None: it has no variants."""
    ways: tuple[Way, ...]
    """Where a rollback can go."""
    next_step: str | None
    """The split that the next step of the ramp sets."""
    listed: str | None
    """What the list says of the same hour, where that is something else; None: the same, or of another hour."""
    outcome: str | None
    """What the live promotion promised and what came of it, in a sentence."""
    treatments: tuple[Treatment, ...]
    drawn: Drawn
    chart: LiftChart | None
    events: tuple[TimelineEntry, ...]

    @property
    def may_promote(self) -> bool:
        """Whether a person may promote right now."""
        return self.promotion is None and self.eligibility.is_eligible and not self.is_recorded


def experiment_view(store: Store, name: str) -> ExperimentView:
    """Gather the page.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    assessment = judge(store, [name]).assessments[0]
    experiment_id = assessment.experiment.id
    history = get_promotion_history(name, store=store)
    live = next((promotion for promotion in history if promotion.is_live), None)
    recorded = live if assessment.decision is None else None
    eligibility = assessment.eligibility if recorded is None else eligibility_when_promoted(recorded)
    drawn = _drawn(store, assessment, eligibility, history)
    return ExperimentView(
        name=name,
        state=_state(assessment, live),
        eligibility=eligibility,
        is_recorded=recorded is not None,
        promotion=live,
        approval=_waiting(approval_history(name, store=store)),
        needs=_needs(assessment),
        alarms=alarms_of(name, store=store),
        traffic=split_text(traffic_now(name, store=store)),
        splits=_splits(store, experiment_id),
        ways=() if live is None else _ways(store, live),
        next_step=_next_step(store, live),
        listed=None if recorded is not None else _listed(store, name, eligibility),
        outcome=_outcome(store, live),
        treatments=_treatments(assessment, recorded, eligibility),
        drawn=drawn,
        chart=lift_chart(drawn.points, drawn.threshold_percent),
        events=_events(happened_to(store, experiment_id), phases_of(store, experiment_id), history),
    )


def _splits(store: Store, experiment_id: UUID) -> TrafficSplit | None:
    with store.connect() as connection:
        return next(iter(traffic_splits(connection, [experiment_id])), None)


def _listed(store: Store, name: str, found: PromotionEligibility) -> str | None:
    """The decision of record of the same hour where more has come since: both are right, each of its own moment."""
    row = experiment_overview(store, name)
    if row is None or row.as_of != found.as_of or row.verdict is None:
        return None
    shown = (row.verdict, row.candidate, lift_text(row.improvement), confidence_text(row.confidence))
    now = (found.verdict.value, found.candidate, lift_text(found.improvement), confidence_text(found.confidence))
    if shown == now:
        return None
    verdict, candidate, lift, confidence = shown
    lead = f"{candidate} {lift} at {confidence} confidence" if candidate else lift
    return f"{verdict.replace('_', ' ')}, {lead}"


def _outcome(store: Store, live: Promotion | None) -> str | None:
    if live is None:
        return None
    entries = read_ledger(live.experiment_name, store=store).entries
    return next((outcome_sentence(entry) for entry in entries if entry.promotion_id == live.id), None)


def _ways(store: Store, live: Promotion) -> tuple[Way, ...]:
    """Those that are possible, the one that ends the harm first while a breach is open."""
    titles = {
        RollbackTarget.PREVIOUS: "the split of before the promotion",
        RollbackTarget.CONTROL: f"all to {live.control_variant_name} (emergency)",
        RollbackTarget.CLOSE: "nowhere: end the promotion and leave the traffic as it stands",
    }
    is_breached = live.watch is not None and live.watch.breached_at is not None
    ways = []
    for target, title in titles.items():
        with contextlib.suppress(ConflictError):
            plan = plan_rollback(live.experiment_name, to=target, confirm_drift=True, store=store)
            ways.append(Way(target.value, title, split_text(plan.split)))
    return tuple(sorted(ways, key=lambda way: is_breached and way.to != RollbackTarget.CONTROL))


def _next_step(store: Store, live: Promotion | None) -> str | None:
    if live is None or live.state is not PromotionState.RAMPING:
        return None
    try:
        return split_text(plan_advance(live.experiment_name, store=store).split)
    except ConflictError:
        return None


def table_points(points: Sequence[LiftPoint]) -> list[LiftPoint]:
    """The numbers of the chart as a table, newest first, thinned."""
    step = max(1, len(points) // TABLE_POINTS)
    return list(points[::-1][::step])


def _state(assessment: Assessment, live: Promotion | None) -> str:
    if live is not None:
        return live.state.value
    return "running" if assessment.experiment.is_active else "stopped"


def _waiting(approvals: Sequence[Approval]) -> Approval | None:
    return next((approval for approval in approvals if approval.state is ApprovalState.AWAITING_APPROVAL), None)


def _needs(assessment: Assessment) -> tuple[Need, ...]:
    return () if assessment.outlook is None else assessment.outlook.needs


def _threshold(eligibility: PromotionEligibility) -> float:
    found = next((check.threshold for check in eligibility.checks if check.name == "min_improvement"), None)
    return 0.0 if found is None else found


def _drawn(store: Store, assessment: Assessment, eligibility: PromotionEligibility, history: list[Promotion]) -> Drawn:
    """The candidate's looks in the open phase; where it has none yet, those that led to the last promotion."""
    experiment_id = assessment.experiment.id
    now = Drawn(eligibility.candidate or "", eligibility.control or "", _threshold(eligibility))
    if assessment.phase_id is not None and eligibility.candidate_variant_id is not None:
        found = lift_series(store, experiment_id, assessment.phase_id, eligibility.candidate_variant_id, MOST_POINTS)
        if len(found) > 1 or not history:
            return replace(now, points=tuple(found))
    if not history or history[0].phase_id is None:
        return now
    last = history[0]
    assert last.phase_id is not None
    return Drawn(
        candidate=last.promoted_variant_name,
        control=last.control_variant_name,
        threshold_percent=parse_config(last.config, source="recorded config").min_improvement_percent,
        points=tuple(lift_series(store, experiment_id, last.phase_id, last.promoted_variant_id, MOST_POINTS)),
        is_past=True,
    )


def _treatments(
    assessment: Assessment, recorded: Promotion | None, eligibility: PromotionEligibility
) -> tuple[Treatment, ...]:
    rows: Sequence[Mapping[str, Any]] = (
        assessment.significance if recorded is None else recorded.snapshot.get("significance", ())
    )
    names = {str(variant.id): variant.name for variant in eligibility.variants}
    return tuple(
        Treatment(
            name=names.get(str(row["variant_id"]), str(row["variant_id"])),
            lift=row["lift"],
            lower=row["always_valid_lower"],
            upper=row["always_valid_upper"],
            p_value=row["p_value"],
            confidence=row["confidence"],
        )
        for row in rows
    )


def _events(
    happened: Sequence[tuple[Happened, UUID | None]], phases: Sequence[Phase], history: Sequence[Promotion]
) -> tuple[TimelineEntry, ...]:
    """What happened, newest first; the record of a promotion stands with the act that made it."""
    by_id = {promotion.id: promotion for promotion in history}
    acts = [
        _act(event, by_id.get(about) if about and event.action == Action.PROMOTE else None) for event, about in happened
    ]
    splits = [_phase(phase, is_first=number == 0) for number, phase in enumerate(phases)]
    return tuple(sorted(splits + acts, key=lambda event: event.at, reverse=True))


def _phase(phase: Phase, *, is_first: bool) -> TimelineEntry:
    shares = split_text(dict(sorted(phase.traffic.items())))
    title = "Experiment started" if is_first else "Traffic changed"
    running = "measured from here on" if phase.is_running else "not measured: the experiment is stopped"
    return TimelineEntry(phase.started_at, "phase", title, f"{shares}; {running}")


_ACT_TITLES = {
    "promote": "Promoted",
    "shadow_promote": "Would have been promoted (shadow mode)",
    "request_approval": "Approval requested",
    "approve": "Approved",
    "decline": "Declined",
    "expire_approval": "The request expired",
    "ramp": "Ramp went on",
    "watch_breach": "The watch raised an alarm",
    "acknowledge_breach": "Kept in spite of the alarm",
    "overwrite_split": "Our split put back",
    "adopt_split": "What was served taken over",
    "retry_delivery": "The delivery tried again",
    "roll_back": "Rolled back",
    "hold": "Put on hold",
    "release_hold": "Hold lifted",
    "acknowledge_warnings": "Warnings looked at",
}


def _act(event: Happened, promotion: Promotion | None) -> TimelineEntry:
    title = f"{_ACT_TITLES.get(event.action, event.action.replace('_', ' '))} by {event.actor}"
    text = "; ".join(filter(None, (event.details, event.reason)))
    return TimelineEntry(event.at, event.action, title, text, promotion)
