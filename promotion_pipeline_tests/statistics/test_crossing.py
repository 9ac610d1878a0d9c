"""The chance that a boundary is crossed, against spending functions, published designs and simulated walks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from promotion_pipeline.statistics import (
    Spending,
    StatisticsError,
    always_valid_critical_z,
    continuous_boundary,
    crossing_probabilities,
    group_sequential_boundaries,
)
from promotion_pipeline_tests import golden

DESIGNS = [row for row in golden.rows() if row["kind"] == "group_sequential" and "alpha_spent" in row["expected"]]


@pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in DESIGNS])
def test_without_a_lift_the_published_boundaries_are_crossed_as_often_as_they_spend(row: dict[str, object]) -> None:
    inputs, expected = row["inputs"], row["expected"]
    assert isinstance(inputs, dict) and isinstance(expected, dict)
    found = crossing_probabilities(inputs["information_rates"], expected["critical_z"], 0.0)
    assert found == pytest.approx(np.array(expected["alpha_spent"]), abs=2e-5)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "power"])
def test_it_is_the_inverse_of_the_planned_boundaries(spending: Spending) -> None:
    rates = np.array([0.1, 0.25, 0.3, 0.8, 1.0])
    plan = group_sequential_boundaries(rates, 0.025, spending=spending)
    assert crossing_probabilities(rates, plan.critical_z, 0.0) == pytest.approx(plan.alpha_spent, abs=1e-5)


# Jennison and Turnbull 2000, Group Sequential Methods, tables 2.1 to 2.4: five looks, two-sided 0.05. The constant of
# the test, and how much larger than a single look's the sample must be for a power of 0.8 and 0.9.
POCOCK, OBRIEN_FLEMING = (2.413, {0.8: 1.229, 0.9: 1.207}), (2.040, {0.8: 1.028, 0.9: 1.026})


@pytest.mark.parametrize("power", [0.8, 0.9])
def test_published_sample_sizes_have_their_power(power: float) -> None:
    t = np.arange(1, 6) / 5
    for critical, inflation in ((POCOCK[0] + 0 * t, POCOCK[1]), (OBRIEN_FLEMING[0] / np.sqrt(t), OBRIEN_FLEMING[1])):
        drift = (-ndtri(0.025) + ndtri(power)) * np.sqrt(inflation[power])
        assert crossing_probabilities(t, critical, drift)[-1] == pytest.approx(power, abs=4e-4)


def test_hundreds_of_looks_at_a_continuous_boundary_stay_within_its_error() -> None:
    t = np.arange(1, 337) / 336
    found = crossing_probabilities(t, continuous_boundary(t, 0.025), 0.0)
    assert 0.021 < found[-1] < 0.025


def test_an_always_valid_boundary_is_crossed_as_often_as_by_simulated_walks() -> None:
    n = np.arange(48, 337) * 400.0
    boundary = always_valid_critical_z(n, 67_200.0, 0.05)
    rng, drift = np.random.default_rng(1), 0.0092
    steps = np.sqrt(np.diff(n, prepend=0.0)) * rng.standard_normal((4000, n.size)) + drift * np.diff(n, prepend=0.0)
    crossed = (steps.cumsum(axis=1) / np.sqrt(n) >= boundary).cumsum(axis=1) > 0
    planned = crossing_probabilities(n, boundary, drift)
    error = np.sqrt(planned * (1 - planned) / 4000)
    assert (np.abs(crossed.mean(axis=0) - planned) <= 4 * error).all()
    assert np.diff(planned).min() >= 0


def test_looks_that_cannot_reject_change_nothing() -> None:
    some = crossing_probabilities([1.0, 2.0, 4.0], [np.inf, 2.0, 2.0], 0.5)
    assert some[0] == 0
    assert some[1:] == pytest.approx(crossing_probabilities([2.0, 4.0], [2.0, 2.0], 0.5))
    assert crossing_probabilities([1.0, 2.0], [np.nan, np.inf], 9.0).tolist() == [0.0, 0.0]


def test_a_boundary_far_out_is_never_crossed_and_one_far_below_always() -> None:
    assert crossing_probabilities([1.0, 2.0], [100.0, 100.0], 0.0)[-1] < 1e-15
    assert crossing_probabilities([1.0, 2.0], [-100.0, -100.0], 0.0)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("information", "boundary", "drift"),
    [([2.0, 1.0], [2.0, 2.0], 0.0), ([0.0, 1.0], [2, 2], 0.0), ([1.0], [2, 2], 0.0), ([1.0], [2.0], np.nan)],
)
def test_information_that_falls_is_refused(information: list[float], boundary: list[float], drift: float) -> None:
    with pytest.raises(StatisticsError, match="give rising information"):
        crossing_probabilities(information, boundary, drift)
