"""Every treatment against its control, from dense cumulative sums; arrays (treatments, units, hours)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promotion_pipeline.evaluation.dense import FIRST_TRAFFIC_HOURS, Block
from promotion_pipeline.evaluation.layout import HOUR_US, Bools, Floats, Ints, Layout
from promotion_pipeline.statistics import (
    always_valid_interval,
    always_valid_p_value,
    delta_interval,
    holm,
    katz_interval,
    proportion_variance_of_mean,
    relative_lift,
    srm_chi_square,
    two_proportion_z,
)

SMALLEST_N_STAR = 5000.0
N_STAR_PER_FIRST_TRAFFIC = 3.5
SMALL_COUNT = 50
"""Below this many conversions in an arm, the fixed-horizon interval is Katz's."""


@dataclass(frozen=True)
class Arms:
    """Counts of every variant, arrays (slots, units, hours); rates are fractions, NaN without requests."""

    requests: Floats
    conversions: Floats
    errors: Floats
    clusters: Floats
    """Independent units: users, and each request without a user by itself."""
    users: Floats
    anonymous: Floats
    """Requests without a user."""
    rate: Floats
    error_rate: Floats
    mean_latency_ms: Floats
    mean_value: Floats
    rate_variance: Floats
    """Variance of `rate`; user-level (delta method) where users are known."""


@dataclass(frozen=True)
class Comparison:
    """Tests of every treatment against control, arrays (treatments, units, hours); NaN where not computable.

    `lift` and its intervals are fractions, `improvement` and `confidence` percent; `lift_lower/upper` are
    the fixed-horizon interval, `always_valid_lower/upper` the one at alpha / treatments that holds at every look.
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


def arms(block: Block) -> Arms:
    """Rates and variances from the sums of a block; O(cells)."""
    sums = block.sums
    n, x, errors = sums["requests"], sums["conversions"], sums["errors"]
    with np.errstate(all="ignore"):
        # Quotients of whole numbers, so that 50 of 1000 is exactly the threshold 0.05.
        rate = np.where(n > 0, x / n, np.nan)
        users, anonymous = _users(sums, n)
        latency = np.full_like(n, np.nan)
        if "latency_ms_sum" in sums:
            samples = sums.get("latency_samples", n)
            latency = np.where(samples > 0, sums["latency_ms_sum"] / samples, np.nan)
        return Arms(
            requests=n,
            conversions=x,
            errors=errors,
            clusters=users + anonymous,
            users=users,
            anonymous=anonymous,
            rate=rate,
            error_rate=np.where(n > 0, errors / n, np.nan),
            mean_latency_ms=latency,
            mean_value=np.where(n > 0, sums["value_sum"] / n, np.nan)
            if "value_sum" in sums
            else np.full_like(n, np.nan),
            rate_variance=_rate_variance(sums, n, x, rate, users, anonymous),
        )


def compare(own: Arms, block: Block, layout: Layout, hours_us: Ints) -> Comparison:
    """Pooled z-test, lift, fixed-horizon and always-valid intervals, Holm; O(cells).

    Formulas: `promotion_pipeline.statistics`; the always-valid level is alpha / treatments.
    """
    confidence_level = layout.thresholds.min_confidence_level[block.units][:, None]
    alpha = 1.0 - confidence_level / 100.0
    shared_alpha = alpha / np.maximum(layout.treatments[block.units], 1)[:, None]
    x0, n0, x1, n1 = own.conversions[:1], own.requests[:1], own.conversions[1:], own.requests[1:]
    test = two_proportion_z(x0, n0, x1, n1)
    lift = relative_lift(own.rate[:1], own.rate_variance[:1], own.rate[1:], own.rate_variance[1:])
    fixed = delta_interval(lift.lift, lift.standard_error, alpha)
    small = np.fmin(x0, x1) < SMALL_COUNT
    if small.any():
        wide = [np.broadcast_to(a, small.shape)[small] for a in (x0, n0, x1, n1, alpha[None])]
        katz = katz_interval(*wide)
        fixed.lower[small], fixed.upper[small] = katz.lower, katz.upper
    n_star = _n_star(block, layout, hours_us)
    sequence = always_valid_interval(lift.lift, lift.standard_error, n0 + n1, n_star, shared_alpha)
    sequence_p = always_valid_p_value(lift.lift, lift.standard_error, n0 + n1, n_star, shared_alpha)
    with np.errstate(all="ignore"):
        improvement = np.where(x0 > 0, 100.0 * (x1 * n0 - x0 * n1) / (x0 * n1), np.nan)
    return Comparison(
        z=test.z,
        p_value=test.p_value,
        confidence=100.0 * (1.0 - test.p_value),
        improvement=improvement,
        lift=lift.lift,
        lift_lower=fixed.lower,
        lift_upper=fixed.upper,
        always_valid_p_value=sequence_p,
        always_valid_lower=sequence.lower,
        always_valid_upper=sequence.upper,
        adjusted_p_value=holm(test.p_value, axis=0) if len(test.p_value) > 1 else test.p_value,
    )


def sample_ratio_p_value(own: Arms, block: Block, layout: Layout) -> Floats:
    """Chi-square of users (requests where no user is known) against the declared split, (units, hours)."""
    split = layout.traffic_percent[:, block.units][:, :, None]
    return srm_chi_square(own.clusters, split, axis=0).p_value


def known_by_user(own: Arms) -> Bools:
    """Whether a user is known for 90 percent of the requests or more, (units, hours)."""
    return np.asarray((own.users.sum(axis=0) > 0) & (own.anonymous.sum(axis=0) <= 0.1 * own.requests.sum(axis=0)))


def _users(sums: dict[str, Floats], n: Floats) -> tuple[Floats, Floats]:
    """Known users, and requests without one."""
    if "new_users" not in sums:
        return np.zeros_like(n), n
    known = sums["user_requests"] if "user_requests" in sums else np.where(sums["new_users"] > 0, n, 0.0)
    return sums["new_users"], n - known


def _rate_variance(sums: dict[str, Floats], n: Floats, x: Floats, rate: Floats, users: Floats, alone: Floats) -> Floats:
    """Variance of x/n over users: sum((y - R d)^2) K / ((K - 1) n^2), K users, as Deng et al. 2018, eq. 4.

    A request without a user is a user of its own with d = 1 and y its conversion.
    """
    by_request = proportion_variance_of_mean(x, n)
    if not (users > 0).any():
        return by_request
    known_x = sums["user_conversions"] if "user_conversions" in sums else np.where(users > 0, x, 0.0)
    squares = sums["user_conversions_sum_squares"] + (x - known_x)
    products = sums["user_conversions_requests_sum_products"] + (x - known_x)
    sizes = sums["user_requests_sum_squares"] + alone
    clusters = users + alone
    residual = np.maximum(squares - 2.0 * rate * products + rate * rate * sizes, 0.0)
    by_user = np.where(clusters > 1, residual * clusters / ((clusters - 1.0) * n * n), np.nan)
    return np.where(users > 0, by_user, by_request)


def _n_star(block: Block, layout: Layout, hours_us: Ints) -> Floats:
    """The tuning constant N* of each treatment's always-valid interval; depends on traffic only."""
    planned = layout.thresholds.planned_sample_size[block.units][:, None]
    age_us = hours_us[None, :] + HOUR_US - layout.started_us[block.units][:, None]
    two_arms = (block.first_traffic[:1] + block.first_traffic[1:])[:, :, None]
    seen = np.fmax(N_STAR_PER_FIRST_TRAFFIC * two_arms, SMALLEST_N_STAR)
    adaptive = np.where(age_us >= FIRST_TRAFFIC_HOURS * HOUR_US, seen, SMALLEST_N_STAR)
    return np.where(np.isnan(planned), adaptive, planned)
