"""What the functions of this layer return; JSON names are camelCase."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field, create_model

from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline.evaluation.unattended import WithheldReason as WithheldReason
from promotion_pipeline.promotion.record.measured import EvidenceResult as EvidenceResult
from promotion_pipeline.promotion.record.measured import GoalEvidence as GoalEvidence
from promotion_pipeline.promotion.record.measured import OverruledThreshold as OverruledThreshold
from promotion_pipeline.promotion.record.measured import VariantMetrics as VariantMetrics
from promotion_pipeline.promotion.record.metric_result import MetricResult as MetricResult
from promotion_pipeline.promotion.record.result import Measured as Measured
from promotion_pipeline.promotion.record.result import Result as Result
from promotion_pipeline.promotion.record.served import ServedTraffic
from promotion_pipeline.promotion.record.splits import is_holdback
from promotion_pipeline.promotion.record.states import ApprovalState, PromotionState, PromotionType
from promotion_pipeline.promotion.record.watched import Alarm, WatchState


class _Checks(Result):
    """A field a contract check, made of the rows."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> bool: ...


SafetyChecks = create_model(
    "SafetyChecks",
    __base__=_Checks,
    __doc__="Whether each contract check passed; one that was not asked did not.",
    **{check.name: (bool, False) for check in CONTRACT},  # type: ignore[call-overload]
)
"""Whether each contract check passed, by its name."""


class CheckResult(Result):
    """One contract check with what was seen and what was asked."""

    name: str
    passed: bool
    observed: Measured
    threshold: Measured
    unit: str
    message: str


class PromotionEligibility(Result):
    """One experiment as seen from one as-of.

    `winner` is set only when the experiment is eligible; `candidate` names the nearest treatment either way.
    """

    experiment_name: str
    is_eligible: bool
    """Every contract check passes."""
    is_promotable: bool = False
    """Eligible, and the evidence that an unattended promotion needs is there (freshness apart)."""
    verdict: Verdict
    winner: str | None = None
    winner_variant_id: UUID | None = None
    candidate: str | None = None
    candidate_variant_id: UUID | None = None
    control: str | None = None
    confidence: Measured = None
    """Percent."""
    improvement: Measured = None
    """Percent."""
    primary_metric: str | None = None
    """What improvement, confidence and checks are of: `conversion`, `value_mean` or `value_per_user`; None: unknown."""
    primary_unit: str = ""
    """The same in words, a number of what it is."""
    primary_direction: str | None = None
    """Which way it improves: `increase` or `decrease`."""
    sample_size: int | None = None
    runtime_hours: Measured = None
    z: Measured = None
    p_value: Measured = None
    reasons: tuple[str, ...] = ()
    reason_codes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    warning_codes: tuple[str, ...] = ()
    safety_checks: SafetyChecks = SafetyChecks()
    checks: tuple[CheckResult, ...] = ()
    evidence: EvidenceResult
    hold: str | None = None
    """Why automatic promotion is on hold; None: it is not."""
    distrust: str | None = None
    """Why the numbers cannot be trusted, to be said first; None: nothing is known against them."""
    harmed: tuple[str, ...] = ()
    """Guardrails that the candidate is shown to make worse: a promotion is then not the first thing to offer."""
    ramp: tuple[float, ...] = ()
    """Percent of traffic that the winner would get, step by step; empty: it is not eligible."""
    ramp_hold_hours: Measured = None
    """Hours that each step but the last would be held and watched; None: there is one step only."""
    holdback_percent: Measured = None
    """Percent of traffic that would stay on control after the ramp, as its last step but one; None: no holdback."""
    holdback_days: Measured = None
    """Days that it would stay there; None: no holdback."""
    notes: tuple[str, ...] = ()
    """What the numbers say besides; nothing hangs on it."""
    missing: tuple[str, ...] = ()
    """What the decision still lacks and, at the present traffic, when it could be there."""
    missing_hours: Measured = None
    """Hours until all of it could be there; 0: nothing is missing; None: waiting does not bring it."""
    summary: str = ""
    as_of: datetime
    variants: tuple[VariantMetrics, ...] = ()
    metrics: tuple[MetricResult, ...] = ()
    """The metrics that the experiment states, of each treatment; none where it states none."""
    alarms: tuple[Alarm, ...] = ()
    """What is wrong with the live promotion of the experiment, the worst first; comes before everything else."""
    traffic: ServedTraffic | None = None
    """Decided, served and observed, as they are now; None: not asked for."""
    promotion: StandingPromotion | None = None
    """The live promotion, where it is why nothing is judged now: what it was promoted with."""
    overruled: tuple[OverruledThreshold, ...] = ()
    """In an unattended act: what the request asked for and the experiment's own overruled."""


class StandingPromotion(Result):
    """The live promotion of an experiment that is therefore not judged any more, and what it was promoted with."""

    id: UUID
    state: PromotionState
    winner: str
    promoted_at: datetime
    promoted_by: str
    promotion_type: PromotionType
    was: PromotionEligibility
    """The answer that carried it, as it stood then."""


def who_acted(by: str, through: str | None, claimed: str | None) -> str:
    """An actor in words, with the credential that spoke for it, or who it said it was."""
    if through is not None:
        return f"{by} through {through}"
    return by if claimed is None else f"{by} (said to be {claimed})"


class Promotion(Result):
    """One row of `experiment_promotions`, and who stands beside its actors in the audit.

    `confidence`, `improvement`, `p_value` and `z` are in full precision (the columns named as in the
    specification round the first two).
    """

    id: UUID
    experiment_id: UUID
    experiment_name: str
    promoted_variant_id: UUID
    promoted_variant_name: str
    control_variant_id: UUID
    control_variant_name: str
    confidence: float
    improvement: float
    sample_size: int
    promotion_type: PromotionType
    promoted_by: str
    claimed_by: str | None = None
    """Who the request said it was, where that is somebody else than `promoted_by`."""
    promoted_through: str | None = None
    """The credential of a promotion over HTTP, where that is somebody else than `promoted_by`."""
    promoted_at: datetime
    rollback_at: datetime | None = None
    rollback_reason: str | None = None
    rolled_back_by: str | None = None
    rollback_claimed_by: str | None = None
    """As `claimed_by`, of the rollback."""
    rolled_back_through: str | None = None
    """As `promoted_through`, of the rollback."""
    state: PromotionState
    evidence: str
    """What carried it: `always_valid`, `group_sequential`, `fixed_horizon`, or `contract` (a person decided with
    less)."""
    p_value: float
    z: float
    evaluated_as_of: datetime
    phase_id: UUID | None = None
    ramp_step: int = 0
    step_started_at: datetime
    metadata: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any]
    snapshot: dict[str, Any]
    rollback_to: str | None = None
    """Where the traffic went: `previous`, `control`, or `close` (it was left as it stood)."""
    watch: WatchState | None = None
    """What the watch last saw and raised; None: it never looked."""

    @property
    def is_live(self) -> bool:
        """Whether this promotion governs the traffic."""
        return self.state in (PromotionState.RAMPING, PromotionState.PROMOTED)

    @property
    def promoter(self) -> str:
        """Who promoted, in words."""
        return who_acted(self.promoted_by, self.promoted_through, self.claimed_by)

    @property
    def reverser(self) -> str:
        """Who rolled back, in words; empty: nobody did."""
        return who_acted(self.rolled_back_by or "", self.rolled_back_through, self.rollback_claimed_by)

    @property
    def split_now(self) -> dict[str, str]:
        """Percent of traffic by variant id that the current step of the ramp set."""
        split: dict[str, str] = self.snapshot["ramp"][self.ramp_step]["split"]
        return split

    @property
    def hold_hours(self) -> float:
        """Hours that the current step is held, unless it is the last one."""
        step = self.snapshot["ramp"][self.ramp_step]
        return float(step.get("hold_hours", self.config["ramp_hold_hours"]))

    @property
    def is_held_back(self) -> bool:
        """Whether control has a part of the traffic, so that the winner can be measured against it."""
        return self.state is PromotionState.RAMPING and is_holdback(self.snapshot, self.ramp_step)

    @property
    def ramp_percents(self) -> tuple[float, ...]:
        """Percent of traffic that the winner gets, step by step."""
        return tuple(step["percent"] for step in self.snapshot["ramp"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences that stood beside the decision."""
        return tuple(self.snapshot.get("warnings", ()))


class Approval(Result):
    """One row of `promotion_approvals`."""

    id: UUID
    experiment_id: UUID
    experiment_name: str
    candidate_variant_id: UUID
    candidate_variant_name: str
    state: ApprovalState
    as_of: datetime
    requested_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None
    answered_by: str | None = None
    reason: str | None = None
    promotion_id: UUID | None = None
    decision: dict[str, Any]


class Hold(Result):
    """Whether automatic promotion of an experiment is on hold, after a change of that."""

    experiment_name: str
    hold: str | None
    changed_by: str
    changed_at: datetime


class Outcome(StrEnum):
    """What became of one experiment in a sweep, or of one pending act."""

    PROMOTED = "promoted"
    """The winner was promoted."""
    AWAITING_APPROVAL = "awaiting_approval"
    """Eligible; a person is asked."""
    WITHHELD = "withheld"
    """Eligible; the data or the decision is not one to act upon, so nobody is asked: a later hour decides."""
    HELD = "held"
    """Eligible; automatic promotion is on hold."""
    DISABLED = "disabled"
    """Eligible; automatic promotion is switched off."""
    SHADOW = "shadow"
    """Would have been promoted, or put to a person; recorded, no traffic changed."""
    NOT_ELIGIBLE = "not_eligible"
    """The contract checks do not pass."""
    ALREADY_PROMOTED = "already_promoted"
    """Somebody else promoted it meanwhile."""
    RAMPED = "ramped"
    """The ramp went one step on."""
    RAMP_WAITS = "ramp_waits"
    """The ramp's step is not over, or what the watch saw does not allow the next."""
    NOTHING_TO_DO = "nothing_to_do"
    """Whatever was pending is not any more."""
    FAILED = "failed"
    """It could not be evaluated or acted upon; the message says why."""


class SweepEntry(Result):
    """One experiment's part of a sweep."""

    experiment_name: str
    outcome: Outcome
    message: str
    eligibility: PromotionEligibility | None = None
    promotion_id: UUID | None = None
    approval_id: UUID | None = None
    overruled: tuple[OverruledThreshold, ...] = ()
    """Where the stricter thresholds of the experiment stood instead of the request's."""


class Watched(Result):
    """What the watch found about one promotion."""

    experiment_name: str
    status: str
    """`clean`, `breach` or `unmeasured`."""
    action: str
    """What the watch did about it."""
    message: str


class Delivered(Result):
    """What became of the messages that were due."""

    delivered: int
    waiting: int
    """Failed, or of unknown fate: tried again by the next sweep."""
    dead: int
    """Given up."""


class AutoCheckResult(Result):
    """What a sweep over all running experiments did."""

    checked: int
    promoted: int
    awaiting_approval: int
    failed: int
    held: int = 0
    shadow: int = 0
    ramped: int = 0
    recorded: int = 0
    """Decisions that became the decision of record of their hour."""
    as_of: datetime
    results: tuple[SweepEntry, ...] = ()
    """One entry an experiment, by name."""
    watched: tuple[Watched, ...] = ()
    notifications: Delivered | None = None
    """None: no channel is on, or this sweep tells nobody."""
    unread: str | None = None
    """Why what came into hours that were read before could not be read; None: it was, or was not asked for."""
