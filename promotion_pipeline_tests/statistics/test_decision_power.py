"""One decision out of several tests: sizes that keep the promised power, and the design effect of users."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_pipeline.statistics import (
    StatisticsError,
    design_effect,
    noninferiority_means,
    power_of_each_test,
    ratio_of_sums,
    sample_size_noninferiority,
)


def test_each_test_may_miss_an_equal_part_of_what_the_decision_may_miss() -> None:
    assert power_of_each_test(0.8, 0) == pytest.approx(0.8)
    assert power_of_each_test(0.8, 3) == pytest.approx(0.95)
    assert power_of_each_test([0.8, 0.9], 1) == pytest.approx([0.9, 0.95])


def test_a_power_in_percent_and_less_than_no_guardrails_are_refused() -> None:
    with pytest.raises(StatisticsError, match="power is 80"):
        power_of_each_test(80, 1)
    with pytest.raises(StatisticsError, match="guardrails is -1"):
        power_of_each_test(0.8, -1)
    with pytest.raises(StatisticsError, match="margin is 0"):
        sample_size_noninferiority(1.0, 1.0, 0.0)


def test_a_guardrail_of_the_planned_size_is_kept_as_often_as_planned() -> None:
    rate, margin, power, alpha, share, runs = 0.2, 0.1, 0.9, 0.05, 0.3, 4000
    relative = (1 - rate) / rate
    total = float(sample_size_noninferiority(relative, relative, margin, power, alpha, share1=share))
    n1, n0 = round(total * share), round(total * (1 - share))
    rng = np.random.default_rng(2)
    x0, x1 = rng.binomial(n0, rate, runs), rng.binomial(n1, rate, runs)
    kept = noninferiority_means(n0, x0, x0, n1, x1, x1, margin, alpha).p_value <= alpha
    assert kept.mean() == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / runs))


def test_a_larger_margin_and_even_arms_need_fewer() -> None:
    sizes = sample_size_noninferiority(4.0, 4.0, [0.05, 0.1], 0.8)
    assert sizes[0] > 3.5 * sizes[1]
    uneven = sample_size_noninferiority(4.0, 4.0, 0.1, 0.8, share1=0.1)
    assert uneven > sizes[1]
    assert np.isnan(sample_size_noninferiority(0.0, 1.0, 0.1))


def test_the_design_effect_is_what_users_do_to_the_variance() -> None:
    rng = np.random.default_rng(3)
    rate, correlation, users = 0.1, 0.25, 200_000
    d = 1 + rng.poisson(4.0, users)
    size = 1 / correlation - 1
    y = rng.binomial(d, rng.beta(rate * size, (1 - rate) * size, users))
    by_user = ratio_of_sums(users, y.sum(), (y * y).sum(), d.sum(), (d * d).sum(), (y * d).sum())
    p = float(by_user.ratio)
    expected = design_effect(d.sum(), (d * d).sum(), correlation)
    assert by_user.variance_of_ratio / (p * (1 - p) / d.sum()) == pytest.approx(float(expected), rel=0.02)


def test_single_requests_cost_nothing() -> None:
    assert design_effect(100, 100, 0.5) == 1.0
    assert design_effect(100, 300, 0.0) == 1.0
    assert np.isnan(design_effect(0, 0, 0.5))
