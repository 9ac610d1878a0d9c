"""Sample ratio mismatch, look after look."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, sequential_srm, sequential_srm_p_value

LOOKS = hs.lists(hs.lists(hs.integers(0, 500), min_size=3, max_size=3), min_size=1, max_size=12)


def test_one_look_agrees_with_scipy() -> None:
    # scipy 1.17.1 dirichlet_multinomial.logpmf(x, [5000, 3000, 2000], 1000) - multinomial.logpmf(x, 1000, [.5, .3, .2])
    test = sequential_srm([[480, 330, 190]], [0.5, 0.3, 0.2])
    assert test.log_bayes_factor[0] == pytest.approx(0.09937909800737543, abs=1e-8)
    assert test.p_value[0] == pytest.approx(np.exp(-0.09937909800737543), abs=1e-8)


@given(LOOKS)
@settings(max_examples=50)
def test_the_p_value_never_rises_from_look_to_look(looks: list[list[int]]) -> None:
    p_values = sequential_srm(looks, [0.5, 0.25, 0.25]).p_value
    measured = p_values[~np.isnan(p_values)]
    assert np.all(np.diff(measured) <= 0)
    assert np.all((measured >= 0) & (measured <= 1))


@given(LOOKS)
@settings(max_examples=50)
def test_the_evidence_depends_on_the_totals_and_not_on_how_they_were_cut(looks: list[list[int]]) -> None:
    many = sequential_srm(looks, [50, 25, 25]).log_bayes_factor[-1]
    one = sequential_srm([np.sum(looks, axis=0)], [50, 25, 25]).log_bayes_factor[-1]
    np.testing.assert_allclose(many, one, atol=1e-6)


@given(LOOKS)
@settings(max_examples=50)
def test_an_arm_of_weight_zero_without_traffic_changes_nothing(looks: list[list[int]]) -> None:
    padded = np.insert(np.array(looks), 1, 0, axis=-1)
    np.testing.assert_allclose(
        sequential_srm(padded, [50, 0, 25, 25]).log_bayes_factor,
        sequential_srm(looks, [50, 25, 25]).log_bayes_factor,
        atol=1e-9,
    )


def test_traffic_in_an_arm_of_weight_zero_is_certain_from_then_on() -> None:
    test = sequential_srm([[50, 0, 50], [50, 1, 50], [50, 0, 50]], [0.5, 0.0, 0.5])
    assert test.p_value[0] > 0.9
    assert test.p_value[1:].tolist() == [0.0, 0.0]


def test_a_mismatch_of_ten_percent_is_found() -> None:
    assert sequential_srm(np.full((24, 2), [550, 450]), [0.5, 0.5]).p_value[-1] < 1e-6


def test_healthy_experiments_watched_hourly_alarm_no_more_often_than_alpha() -> None:
    """4,000 experiments of two weeks: 1 % of them may reach p = 0.01 at some hour."""
    looks = np.random.default_rng(11).multinomial(100, [0.5, 0.3, 0.2], size=(4000, 336))
    assert (sequential_srm(looks, [0.5, 0.3, 0.2]).p_value[:, -1] <= 0.01).mean() <= 0.01


def test_before_the_first_unit_there_is_nothing_to_say() -> None:
    test = sequential_srm([[0, 0], [10, 10]], [0.5, 0.5])
    assert np.isnan(test.p_value[0])
    assert test.p_value[1] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("looks", "weights"),
    [
        pytest.param([[5.0, np.nan]], [0.5, 0.5], id="unknown count"),
        pytest.param([[5.0, -1.0]], [0.5, 0.5], id="negative count"),
        pytest.param([[5.0, 0.0]], [1.0, 0.0], id="one arm only"),
        pytest.param([[5.0, 5.0]], [0.5, np.nan], id="unknown weight"),
        pytest.param([[5.0, 5.0]], [0.0, 0.0], id="no weights"),
    ],
)
def test_what_cannot_be_tested_is_nan(looks: list[list[float]], weights: list[float]) -> None:
    assert np.isnan(sequential_srm(looks, weights).p_value).all()


def test_a_prior_of_nothing_is_refused() -> None:
    with pytest.raises(StatisticsError, match="concentration is 0, but must be above 0"):
        sequential_srm([[5, 5]], [0.5, 0.5], concentration=0)
    with pytest.raises(StatisticsError, match="dirichlet_alpha has 0"):
        sequential_srm([[5, 5]], [0.5, 0.5], dirichlet_alpha=[1, 0])


@given(
    looks=hs.lists(hs.tuples(*[hs.integers(0, 3_000)] * 3), min_size=1, max_size=6),
    weights=hs.sampled_from([(50, 25, 25), (1, 1, 1), (98, 1.95, 0.05), (60, 40, 0)]),
)
def test_a_look_alone_has_the_bayes_factor_of_the_looks_before_it(
    looks: list[tuple[int, ...]], weights: tuple[float, ...]
) -> None:
    totals = np.cumsum(looks, axis=0)
    whole, alone = sequential_srm(looks, weights), sequential_srm_p_value(totals, weights)
    expected = np.exp(np.minimum(-whole.log_bayes_factor, 0.0))
    np.testing.assert_allclose(alone, expected, rtol=1e-7)
    np.testing.assert_allclose(np.fmin.accumulate(alone), whole.p_value, rtol=1e-7)


def test_a_look_alone_has_no_answer_without_counts_or_arms() -> None:
    assert np.isnan(sequential_srm_p_value([0, 0], [1, 1]))
    assert np.isnan(sequential_srm_p_value([5, np.nan], [1, 1]))
    assert np.isnan(sequential_srm_p_value([5, -1], [1, 1]))
    assert np.isnan(sequential_srm_p_value([5, 0], [1, 0]))
    assert sequential_srm_p_value([5, 5, 1], [1, 1, 0]) == 0.0
    with pytest.raises(StatisticsError, match="concentration is 0"):
        sequential_srm_p_value([5, 5], [1, 1], concentration=0)
