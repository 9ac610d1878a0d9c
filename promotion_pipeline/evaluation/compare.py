"""Every treatment against its control, and the traffic against its split: all that is tested, before any decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.goals import GoalsAndGuardrails, GuardrailBits
from promotion_pipeline.evaluation.guardrails import guarded
from promotion_pipeline.evaluation.hours import HOUR_US
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.evaluation.metric_results import StatedMetrics
from promotion_pipeline.evaluation.metrics import MetricEstimate, are_proportions, improvements_percent, z_tests
from promotion_pipeline.evaluation.planned import planned_looks
from promotion_pipeline.evaluation.split import SplitTests, split_tests
from promotion_pipeline.evaluation.sums import FIRST_TRAFFIC_HOURS, Block
from promotion_pipeline.statistics import (
    Interval,
    Lift,
    always_valid_lift,
    combined_inverse_freedom,
    critical_z,
    delta_interval,
    holm,
    put_katz_on_small_counts,
    relative_lift,
    shrunken_mean,
    student_inflation,
)

SMALLEST_N_STAR = 5000.0
N_STAR_PER_FIRST_TRAFFIC = 3.5


@dataclass(frozen=True)
class TreatmentTests:
    """Tests of every treatment against control, arrays (treatments, units, hours); NaN where not computable.

    `lift` and its intervals are fractions, `improvement` and `confidence` percent; `lift_lower/upper` are
    the fixed-horizon interval, `always_valid_lower/upper` the one at alpha / treatments that holds at every look.
    `shrunken_lift` is the lift to expect after the celebration. The last three are of `PlannedLooks`.
    """

    z: Floats
    p_value: Floats
    confidence: Floats
    improvement: Floats
    lift: Floats
    lift_lower: Floats
    lift_upper: Floats
    always_valid_p_value: Floats
    always_valid_lower: Floats
    always_valid_upper: Floats
    adjusted_p_value: Floats
    shrunken_lift: Floats
    information_fraction: Floats
    group_sequential_z: Floats
    group_sequential_boundary_z: Floats


@dataclass(frozen=True)
class Comparisons:
    """All that is tested before anything is decided."""

    treatments: TreatmentTests
    split: SplitTests
    guardrails: GuardrailBits
    """The guardrails that each treatment does not keep."""
    metrics: GoalsAndGuardrails | None
    """What the metrics that experiments of the block state say; None: there are none."""


def compare(block: Block, own: Arms, stated: StatedMetrics | None = None) -> Comparisons:
    """Every treatment against control, the split against the declared one, guardrails and stated metrics; O(cells)."""
    tuned_for = _n_star(block)
    guardrails = guarded(block, own, tuned_for)
    metrics = None if stated is None else stated.judged(block, own, tuned_for)
    return Comparisons(
        treatments=_treatment_tests(block, own, tuned_for),
        split=split_tests(block, own),
        guardrails=guardrails if metrics is None else guardrails.joined(metrics.guardrails),
        metrics=metrics,
    )


def _treatment_tests(block: Block, own: Arms, tuned_for: Floats) -> TreatmentTests:
    """Pooled z-test, lift, fixed-horizon and always-valid intervals, Holm, shrinkage, planned looks.

    Formulas: `promotion_pipeline.statistics`; the always-valid level is alpha / treatments. Holm's correction is over
    the treatments of one experiment, and not over the experiments of an hour: with that, an experiment's numbers would
    change with which others happen to run. What a correction over all of them leaves is told with the hourly run.
    """
    alpha = 1.0 - block.limits.min_confidence_level / 100.0
    shared_alpha = alpha / np.maximum(block.layout.treatments, 1)[:, None]
    n = own.requests[:1] + own.requests[1:]
    metric, sign = block.layout.thresholds.metric, block.limits.sign
    mean, variance = own.primary.mean, own.primary.variance
    test = z_tests(metric, own.primary)
    lift = relative_lift(mean[:1], variance[:1], mean[1:], variance[1:])
    signed = sign * lift.lift
    unsure = _inverse_freedom(own.primary)
    fixed = _fixed_interval(block, own, lift, alpha, unsure)
    of_sequence = _of_every_sign(own.primary, unsure)
    sequence = always_valid_lift(
        mean[:1],
        variance[:1],
        mean[1:],
        variance[1:],
        n,
        tuned_for,
        shared_alpha,
        inverse_freedom=of_sequence,
    )
    shown = _as_improvement(sequence.lower, sequence.upper, sign)
    looks = planned_looks(sequence.z, of_sequence, n, block.layout.thresholds, shared_alpha)
    return TreatmentTests(
        z=sign * test.z,
        p_value=test.p_value,
        confidence=100.0 * (1.0 - test.p_value),
        improvement=sign * improvements_percent(metric, own.primary),
        lift=signed,
        lift_lower=fixed.lower,
        lift_upper=fixed.upper,
        always_valid_p_value=sequence.p_value,
        always_valid_lower=shown.lower,
        always_valid_upper=shown.upper,
        adjusted_p_value=holm(test.p_value, axis=0) if len(test.p_value) > 1 else test.p_value,
        shrunken_lift=shrunken_mean(signed, lift.standard_error, prior_sd=block.limits.lift_prior_sd),
        information_fraction=looks.information_fraction,
        group_sequential_z=looks.z,
        group_sequential_boundary_z=looks.boundary_z,
    )


def _fixed_interval(block: Block, own: Arms, lift: Lift, alpha: Floats, unsure: Floats | None) -> Interval:
    """The interval of one look, positive where the treatment is better: delta method, Katz for few conversions."""
    fixed = delta_interval(lift.lift, _as_unsure(lift.standard_error, critical_z(alpha), unsure), alpha)
    by_user = None if unsure is None else Interval(fixed.lower.copy(), fixed.upper.copy())
    counts = (own.conversions[:1], own.requests[:1], own.conversions[1:], own.requests[1:])
    put_katz_on_small_counts(fixed, *counts, alpha[None], where=are_proportions(block.limits.metric))
    if by_user is not None and unsure is not None:
        # Katz takes requests for independent: where users are known it may only widen.
        np.minimum(fixed.lower, by_user.lower, out=fixed.lower, where=unsure > 0)
        np.maximum(fixed.upper, by_user.upper, out=fixed.upper, where=unsure > 0)
    return _as_improvement(fixed.lower, fixed.upper, block.limits.sign)


def _as_improvement(lower: Floats, upper: Floats, sign: Floats) -> Interval:
    """The interval of a lift, positive where the treatment is better."""
    if (sign > 0).all():
        return Interval(lower, upper)
    return Interval(np.where(sign > 0, lower, -upper), np.where(sign > 0, upper, -lower))


def _inverse_freedom(primary: MetricEstimate) -> Floats | None:
    """1 / degrees of freedom of the lift's variance, (treatments, units, hours); None where no unit knows its users."""
    if not primary.inverse_freedom.any():
        return None
    mean, variance, inverse = primary.mean, primary.variance, primary.inverse_freedom
    with np.errstate(all="ignore"):
        ratio = mean[1:] / mean[:1]
        of_control = ratio * ratio * variance[:1]
    # Where neither arm varies there is nothing to combine, and no standard error either.
    return np.nan_to_num(combined_inverse_freedom(of_control, inverse[:1], variance[1:], inverse[1:]))


def _of_every_sign(primary: MetricEstimate, inverse_freedom: Floats | None) -> Floats | None:
    """The same where a mean is at or under 0: there the difference is tested, whose two variances weigh otherwise."""
    signed = primary.mean <= 0
    if inverse_freedom is None or not signed.any():
        return inverse_freedom
    inverse = primary.inverse_freedom
    return np.where(signed[:1] | signed[1:], np.maximum(inverse[:1], inverse[1:]), inverse_freedom)


def _as_unsure(standard_error: Floats, critical: Floats, inverse_freedom: Floats | None) -> Floats:
    """The standard error, longer where few users say how large it is; NaN where they are in effect fewer than two."""
    if inverse_freedom is None:
        return standard_error
    return np.asarray(standard_error * student_inflation(critical, inverse_freedom))


def _n_star(block: Block) -> Floats:
    """The tuning constant N* of each treatment's always-valid interval; depends on traffic only."""
    limits = block.limits
    wait_us = np.ceil(limits.attribution_window_hours) * HOUR_US
    # A look sees all of the first traffic only once that has matured; before, N* must not depend on later looks.
    age_us = block.hours_us[None, :] + HOUR_US - block.layout.started_us[:, None] - wait_us
    two_arms = (block.first_traffic[:1] + block.first_traffic[1:])[:, :, None]
    seen = np.fmax(N_STAR_PER_FIRST_TRAFFIC * two_arms, SMALLEST_N_STAR)
    adaptive = np.where(age_us >= FIRST_TRAFFIC_HOURS * HOUR_US, seen, SMALLEST_N_STAR)
    return np.where(np.isnan(limits.planned_sample_size), adaptive, limits.planned_sample_size)
