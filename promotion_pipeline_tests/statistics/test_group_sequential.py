"""Group-sequential boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from promotion_pipeline.statistics import (
    StatisticsError,
    alpha_spending,
    continuous_boundary,
    critical_z,
    group_sequential_boundaries,
)
from promotion_pipeline.statistics.group_sequential import _continuous_table

SPENDING = ["obrien_fleming", "pocock", "power"]
every_function = pytest.mark.parametrize("spending", SPENDING)


@every_function
def test_a_single_look_is_the_plain_test(spending: str) -> None:
    bounds = group_sequential_boundaries([1.0], 0.025, spending=spending)  # type: ignore[arg-type]
    assert bounds.critical_z[0] == pytest.approx(critical_z(0.05), abs=1e-9)
    assert bounds.nominal_alpha[0] == pytest.approx(0.025, abs=1e-9)


@every_function
@given(alpha=hs.floats(1e-4, 0.3))
def test_everything_is_spent_at_the_end_and_never_taken_back(spending: str, alpha: float) -> None:
    spent = alpha_spending(np.linspace(0.01, 1, 100), alpha, spending=spending)  # type: ignore[arg-type]
    assert spent[-1] == pytest.approx(alpha, rel=1e-9)
    assert np.all(np.diff(spent) >= 0)


@every_function
@given(cuts=hs.lists(hs.floats(0.05, 0.95), min_size=1, max_size=5, unique_by=lambda t: round(t, 2)))
@settings(max_examples=20)
def test_every_extra_look_costs_something(spending: str, cuts: list[float]) -> None:
    bounds = group_sequential_boundaries([*sorted(cuts), 1.0], 0.025, spending=spending)  # type: ignore[arg-type]
    assert np.all(bounds.critical_z >= critical_z(0.05) - 1e-9)
    assert np.all(bounds.nominal_alpha <= 0.025 + 1e-9)


def test_the_boundaries_reject_a_true_null_as_often_as_promised() -> None:
    rates = np.array([0.25, 0.5, 0.75, 1.0])
    steps = np.random.default_rng(5).normal(size=(400_000, 4)) * np.sqrt(np.diff(rates, prepend=0.0))
    z = steps.cumsum(axis=1) / np.sqrt(rates)
    one = group_sequential_boundaries(rates, 0.05, spending="pocock")
    two = group_sequential_boundaries(rates, 0.05, spending="power", sides=2)
    assert (z >= one.critical_z).any(axis=1).mean() == pytest.approx(0.05, abs=0.0015)
    assert (abs(z) >= two.critical_z).any(axis=1).mean() == pytest.approx(0.05, abs=0.0015)


def test_a_look_that_may_spend_nothing_cannot_reject() -> None:
    bounds = group_sequential_boundaries([0.001, 1.0], 0.025)
    assert bounds.critical_z[0] == np.inf
    assert bounds.nominal_alpha[0] == 0.0
    assert bounds.critical_z[1] == pytest.approx(critical_z(0.05), abs=1e-6)


@pytest.mark.parametrize("rates", [[0.5, 0.5, 1.0], [0.0, 1.0], [0.5, 1.2], [1.0, 0.5], [np.nan, 1.0], [[0.5, 1.0]]])
def test_rates_that_do_not_rise_within_the_plan_are_refused(rates: list[float]) -> None:
    with pytest.raises(StatisticsError, match="must rise strictly"):
        group_sequential_boundaries(rates, 0.025)


def test_unknown_options_are_refused_with_the_known_ones() -> None:
    with pytest.raises(StatisticsError, match=r"'linear'.*'obrien_fleming', 'pocock' or 'power'"):
        group_sequential_boundaries([0.5, 1.0], 0.025, spending="linear")  # type: ignore[arg-type]
    with pytest.raises(StatisticsError, match="sides is 3"):
        group_sequential_boundaries([0.5, 1.0], 0.025, sides=3)
    with pytest.raises(StatisticsError, match="power is 0"):
        group_sequential_boundaries([0.5, 1.0], 0.025, spending="power", power=0)
    with pytest.raises(StatisticsError, match="alpha is 2"):
        group_sequential_boundaries([0.5, 1.0], 2.0)


def test_the_continuous_boundary_is_the_limit_of_ever_more_looks() -> None:
    rates = np.arange(1, 151) / 150
    for spending in ("obrien_fleming", "power"):
        discrete = group_sequential_boundaries(rates, 0.025, spending=spending).critical_z
        continuous = continuous_boundary(rates, 0.025, spending=spending)
        late = rates > 0.1
        assert np.all(continuous[late] >= discrete[late])
        assert np.all(continuous[late] <= discrete[late] * 1.06)


def test_the_solved_boundary_is_the_closed_form_where_there_is_one() -> None:
    rates, solved = _continuous_table(0.025, "obrien_fleming", 2.0)
    late = rates > 0.1
    np.testing.assert_allclose(solved[late], continuous_boundary(rates[late], 0.025), rtol=1e-6)


@pytest.mark.parametrize("spending", ["obrien_fleming", "power"])
def test_looks_at_any_time_reject_a_true_null_less_often_than_promised(spending: str) -> None:
    rng = np.random.default_rng(6)
    rejected = 0
    for _ in range(20):
        rates = np.sort(rng.uniform(0, 1, 60))
        steps = rng.normal(size=(4_000, 60)) * np.sqrt(np.diff(rates, prepend=0.0))
        z = steps.cumsum(axis=1) / np.sqrt(rates)
        rejected += int((z >= continuous_boundary(rates, 0.05, spending=spending)).any(axis=1).sum())  # type: ignore[arg-type]
    assert 0.03 <= rejected / 80_000 <= 0.05


def test_a_continuous_boundary_broadcasts_and_has_none_past_the_plan() -> None:
    found = continuous_boundary([[0.0, 0.001, 0.5, 1.0, 1.1, np.nan]], [[0.025], [0.01]], spending="power")
    assert found.shape == (2, 6)
    assert np.all(np.isinf(found[:, :2])) and np.all(np.isnan(found[:, 4:]))
    assert np.all(found[1, 2:4] > found[0, 2:4])
