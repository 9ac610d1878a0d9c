"""One stated metric of one treatment, as the doors answer it; JSON names are camelCase."""

from __future__ import annotations

from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.promotion.record.result import Measured, Result


class MetricResult(Result):
    """A metric that the experiment states, treatment against control; numbers are as measured, whatever is better."""

    variant_name: str
    metric: str
    kind: str
    role: str
    """`goal`, `guardrail` or `secondary`."""
    direction: str
    """Which way it improves."""
    margin_percent: Measured = None
    control_estimate: Measured = None
    estimate: Measured = None
    """Of the treatment; adjusted for its users' past where `is_adjusted`."""
    difference: Measured = None
    standard_error: Measured = None
    """Of the difference."""
    lift: Measured = None
    """The difference as a fraction of control's."""
    lift_lower: Measured = None
    """Interval of one look."""
    lift_upper: Measured = None
    p_value: Measured = None
    adjusted_p_value: Measured = None
    """Always-valid, and of a goal by Holm over all goals."""
    always_valid_p_value: Measured = None
    always_valid_lower: Measured = None
    """Interval of the lift that holds at every look."""
    always_valid_upper: Measured = None
    control_sample: Measured = None
    sample: Measured = None
    """Users, or requests of a `request_mean`."""
    is_adjusted: bool = False
    """Whether the users' past was taken out of it (CUPED)."""
    theta: Measured = None
    variance_reduction: Measured = None
    """Share of the variance that this took out."""
    noninferiority_p_value: Measured = None
    """Of "worse by the margin or more" at one look."""
    guardrail_p_value: Measured = None
    """Always-valid: of "worse by the margin or more"; without a margin of "not worse"."""
    outcome: MetricOutcome
    guardrail: GuardrailVerdict | None = None
    reason: MetricReason
