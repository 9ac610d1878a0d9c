"""Parts of what is answered of one experiment: its evidence, its variants, and what of a request was overruled."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.evaluation.codes import MetricOutcome
from promotion_pipeline.evaluation.unattended import WithheldReason
from promotion_pipeline.promotion.record.result import Measured, Result


class GoalEvidence(Result):
    """One goal of the candidate."""

    metric: str
    adjusted_p_value: Measured
    """Always-valid, by Holm over all goals; None: it could not be tested."""
    outcome: MetricOutcome


class EvidenceResult(Result):
    """What an unattended promotion needs beyond the contract."""

    required: str
    """`always_valid`, `group_sequential` or `fixed_horizon`."""
    is_met: bool
    """The evidence is there, and the data is fresh and complete as far as one can see."""
    always_valid_p_value: Measured = None
    lift_lower: Measured = None
    """Always-valid lower bound of the relative lift, a fraction."""
    lift_upper: Measured = None
    srm_p_value: Measured = None
    sequential_srm_p_value: Measured = None
    """Valid however often one looks, as the other is not."""
    shrunken_lift: Measured = None
    """The lift to expect, shrunk towards 0; a fraction."""
    lift_prior_sd: Measured = None
    """Standard deviation of true lifts that it is shrunk with, a fraction."""
    learned_lift: Measured = None
    """The same by the prior that the team's own ended experiments teach; None: fewer than six estimates."""
    learned_prior_sd: Measured = None
    """Standard deviation of that prior, a fraction; 0: past lifts differ no more than noise does."""
    learned_from: int | None = None
    """Treatments of ended experiments, winners and others, that it is learned from."""
    information_fraction: Measured = None
    """Share of the planned requests that are there, at most 1; None: no plan is stated."""
    group_sequential_z: Measured = None
    group_sequential_boundary_z: Measured = None
    """What z must reach at this look; None: no plan is stated, or it is over."""
    group_sequential_crossed: bool | None = None
    multiple_exposure: Measured = None
    """Share of the known users that several variants served."""
    analysis_unit: str | None = None
    is_fresh: bool = False
    newest_request_at: datetime | None = None
    withheld: tuple[WithheldReason, ...] = ()
    """Everything that keeps an eligible experiment from being promoted unattended; empty: nothing does."""
    withheld_because: tuple[str, ...] = ()
    """The same in sentences."""
    goals: tuple[GoalEvidence, ...] = ()
    """The goals that carry it in the primary metric's place, the candidate's; empty: the primary metric does."""
    goal_p_needed: Measured = None
    """What the adjusted p-value of a goal may be at most; None: no goal carries it."""


class VariantMetrics(Result):
    """What one variant did since the phase's start; rates are fractions."""

    id: UUID
    name: str
    is_control: bool
    traffic_percentage: Measured
    requests: int | None
    conversions: int | None
    errors: int | None
    users: int | None = None
    conversion_rate: Measured = None
    error_rate: Measured = None
    mean_latency_ms: Measured = None
    mean_value: Measured = None
    primary_estimate: Measured = None
    """The primary metric's own: conversions a request, or the mean value a request or a user."""


class OverruledThreshold(Result):
    """A threshold of the request that the experiment's own overruled: it is stricter, or the experiment's to say."""

    threshold: str
    """Its HTTP name."""
    asked: Any
    used: Any
    message: str
