"""Every treatment against its control, from dense cumulative sums; arrays (treatments, units, hours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.config import PrimaryMetric
from promotion_pipeline.evaluation.clusters import clusters_of, known_users, units_of_the_split
from promotion_pipeline.evaluation.layout import HOUR_US, Bools, Floats, Ints, Layout
from promotion_pipeline.evaluation.metrics.value import Primary, primary_of
from promotion_pipeline.evaluation.planned import planned_looks
from promotion_pipeline.evaluation.sums import FIRST_TRAFFIC_HOURS, Block
from promotion_pipeline.statistics import (
    Interval,
    Lift,
    ZTest,
    always_valid_critical_z,
    always_valid_interval,
    always_valid_p_value,
    combined_inverse_freedom,
    critical_z,
    delta_interval,
    holm,
    put_katz_on_small_counts,
    relative_lift,
    sequential_srm_p_value,
    shrunken_mean,
    srm_chi_square,
    student_inflation,
    two_proportion_z,
    two_sided_p_value,
)

SMALLEST_N_STAR = 5000.0
N_STAR_PER_FIRST_TRAFFIC = 3.5
CONVERSION = list(PrimaryMetric).index(PrimaryMetric.CONVERSION)


@dataclass(frozen=True)
class Arms:
    """Counts of every variant, arrays (slots, units, hours); rates are fractions, NaN without requests."""

    requests: Floats
    conversions: Floats
    errors: Floats
    split_units: Floats
    """What the split is tested on: users, each request without a user by itself, and so those of a placeholder."""
    largest_user_share: Floats
    """At most this is the largest user's share of the arm's requests; NaN unless one has more than 1 percent."""
    users: Floats
    anonymous: Floats
    """Requests without a user."""
    rate: Floats
    error_rate: Floats
    mean_latency_ms: Floats
    mean_value: Floats
    primary: Primary
    """The metric that the unit is decided on; user-level variance where users are known."""


@dataclass(frozen=True)
class Comparison:
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
    standard_error: Floats
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


def arms(block: Block, metric: Ints) -> Arms:
    """Rates and variances from the sums of a block; `metric` as in `Thresholds`, (units,). O(cells)."""
    sums = block.sums
    n, errors = sums["requests"], sums["errors"]
    users, anonymous = known_users(sums)
    clusters = clusters_of(sums)
    with np.errstate(all="ignore"):
        latency = np.full_like(n, np.nan)
        if "latency_ms_sum" in sums:
            samples = sums.get("latency_samples", n)
            latency = np.where(samples > 0, sums["latency_ms_sum"] / samples, np.nan)
        return Arms(
            requests=n,
            conversions=sums["conversions"],
            errors=errors,
            split_units=units_of_the_split(clusters, sums),
            largest_user_share=np.where(clusters.large_user, clusters.largest_share, np.nan),
            users=users,
            anonymous=anonymous,
            rate=np.where(n > 0, sums["conversions"] / n, np.nan),
            error_rate=np.where(n > 0, errors / n, np.nan),
            mean_latency_ms=latency,
            mean_value=np.where(n > 0, sums["value_sum"] / n, np.nan)
            if "value_sum" in sums
            else np.full_like(n, np.nan),
            primary=primary_of(sums, metric, clusters),
        )


def compare(own: Arms, block: Block, layout: Layout, hours_us: Ints) -> Comparison:
    """Pooled z-test, lift, fixed-horizon and always-valid intervals, Holm, shrinkage, planned looks; O(cells).

    Formulas: `promotion_pipeline.statistics`; the always-valid level is alpha / treatments. Holm adjusts over the
    treatments of an experiment, which decide one question together. The experiments of an hour are questions of their
    own: adjusting over them would let an experiment's numbers depend on which others run, so that is left to reports.
    """
    confidence_level = layout.thresholds.min_confidence_level[block.units][:, None]
    alpha = 1.0 - confidence_level / 100.0
    shared_alpha = alpha / np.maximum(layout.treatments[block.units], 1)[:, None]
    n = own.requests[:1] + own.requests[1:]
    metric = layout.thresholds.metric[block.units]
    sign = layout.thresholds.sign[block.units][:, None]
    test = _z_test(own, metric)
    lift = relative_lift(own.primary.mean[:1], own.primary.variance[:1], own.primary.mean[1:], own.primary.variance[1:])
    signed = sign * lift.lift
    unsure = _inverse_freedom(own.primary)
    fixed = delta_interval(lift.lift, _as_unsure(lift.standard_error, critical_z(alpha), unsure), alpha)
    counts = (own.conversions[:1], own.requests[:1], own.conversions[1:], own.requests[1:])
    by_user = None if unsure is None else Interval(fixed.lower.copy(), fixed.upper.copy())
    put_katz_on_small_counts(fixed, *counts, alpha[None], where=(metric == CONVERSION)[:, None])
    if by_user is not None and unsure is not None:
        # Katz takes requests for independent: where users are known it may only widen.
        np.minimum(fixed.lower, by_user.lower, out=fixed.lower, where=unsure > 0)
        np.maximum(fixed.upper, by_user.upper, out=fixed.upper, where=unsure > 0)
    rises = bool((sign > 0).all())
    tuned_for = n_star(block, layout, hours_us)
    reach = None if unsure is None else always_valid_critical_z(n, tuned_for, shared_alpha)
    error = _as_unsure(lift.standard_error, reach, unsure)
    sequence = always_valid_interval(signed, error, n, tuned_for, shared_alpha)
    looks = planned_looks(own.primary, n, block, layout, shared_alpha)
    return Comparison(
        z=sign * test.z,
        p_value=test.p_value,
        confidence=100.0 * (1.0 - test.p_value),
        improvement=sign * _improvement_percent(own, lift, metric),
        lift=signed,
        standard_error=lift.standard_error,
        lift_lower=fixed.lower if rises else np.where(sign > 0, fixed.lower, -fixed.upper),
        lift_upper=fixed.upper if rises else np.where(sign > 0, fixed.upper, -fixed.lower),
        always_valid_p_value=always_valid_p_value(signed, error, n, tuned_for, shared_alpha),
        always_valid_lower=sequence.lower,
        always_valid_upper=sequence.upper,
        adjusted_p_value=holm(test.p_value, axis=0) if len(test.p_value) > 1 else test.p_value,
        shrunken_lift=shrunken_mean(
            signed, lift.standard_error, prior_sd=layout.thresholds.lift_prior_sd[block.units][:, None]
        ),
        information_fraction=looks.information_fraction,
        group_sequential_z=looks.z,
        group_sequential_boundary_z=looks.boundary_z,
    )


def _inverse_freedom(primary: Primary) -> Floats | None:
    """1 / degrees of freedom of the lift's variance, (treatments, units, hours); None where no unit knows its users."""
    if not primary.inverse_freedom.any():
        return None
    mean, variance, inverse = primary.mean, primary.variance, primary.inverse_freedom
    with np.errstate(all="ignore"):
        ratio = mean[1:] / mean[:1]
        of_control = ratio * ratio * variance[:1]
    # Where neither arm varies there is nothing to combine, and no standard error either.
    return np.nan_to_num(combined_inverse_freedom(of_control, inverse[:1], variance[1:], inverse[1:]))


def _as_unsure(standard_error: Floats, critical: Floats | None, inverse_freedom: Floats | None) -> Floats:
    """The standard error, longer where few users say how large it is; NaN where they are in effect fewer than two."""
    if critical is None or inverse_freedom is None:
        return standard_error
    return np.asarray(standard_error * student_inflation(critical, inverse_freedom))


def _z_test(own: Arms, metric: Ints) -> ZTest:
    """Pooled z on conversions; on means (m1 - m0) / sqrt(v0 + v1), the z-test of Welch's form."""
    test = two_proportion_z(own.conversions[:1], own.requests[:1], own.conversions[1:], own.requests[1:])
    units = metric != CONVERSION
    if units.any():
        mean, variance = own.primary.mean[:, units], own.primary.variance[:, units]
        with np.errstate(all="ignore"):
            total = variance[:1] + variance[1:]
            z = np.where(total > 0, (mean[1:] - mean[:1]) / np.sqrt(total), np.nan)
        test.z[:, units], test.p_value[:, units] = z, two_sided_p_value(z)
    return test


def _improvement_percent(own: Arms, lift: Lift, metric: Ints) -> Floats:
    """100 (p1 / p0 - 1); for counts as one quotient of whole numbers, so that exactly +5 % is 5.0."""
    x0, n0, x1, n1 = own.conversions[:1], own.requests[:1], own.conversions[1:], own.requests[1:]
    with np.errstate(all="ignore"):
        of_counts = np.where(x0 > 0, 100.0 * (x1 * n0 - x0 * n1) / (x0 * n1), np.nan)
    return np.where((metric == CONVERSION)[:, None], of_counts, 100.0 * lift.lift)


def sample_ratio_p_value(own: Arms, block: Block, layout: Layout) -> Floats:
    """Chi-square of users (requests where no user is known) against the declared split, (units, hours)."""
    split = layout.traffic_percent[:, block.units][:, :, None]
    return srm_chi_square(own.split_units, split, axis=0).p_value


def sequential_ratio_p_value(own: Arms, block: Block, layout: Layout) -> Floats:
    """The same question, answered so that it may be asked at every look, (units, hours)."""
    return sequential_srm_p_value(own.split_units, layout.traffic_percent[:, block.units][:, :, None], axis=0)


def known_by_user(own: Arms) -> Bools:
    """Whether a user is known for 90 percent of the requests or more, (units, hours)."""
    return np.asarray((own.users.sum(axis=0) > 0) & (own.anonymous.sum(axis=0) <= 0.1 * own.requests.sum(axis=0)))


def n_star(block: Block, layout: Layout, hours_us: Ints) -> Floats:
    """The tuning constant N* of each treatment's always-valid interval; depends on traffic only."""
    planned = layout.thresholds.planned_sample_size[block.units][:, None]
    wait_us = np.ceil(layout.thresholds.attribution_window_hours[block.units])[:, None] * HOUR_US
    # A look sees all of the first traffic only once that has matured; before, N* must not depend on later looks.
    age_us = hours_us[None, :] + HOUR_US - layout.started_us[block.units][:, None] - wait_us
    two_arms = (block.first_traffic[:1] + block.first_traffic[1:])[:, :, None]
    seen = np.fmax(N_STAR_PER_FIRST_TRAFFIC * two_arms, SMALLEST_N_STAR)
    adaptive = np.where(age_us >= FIRST_TRAFFIC_HOURS * HOUR_US, seen, SMALLEST_N_STAR)
    return np.where(np.isnan(planned), adaptive, planned)
