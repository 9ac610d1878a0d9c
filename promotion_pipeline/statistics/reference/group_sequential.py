"""Group-sequential boundaries: a handful of planned looks, the error spent over them by a spending function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, floats
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.group_sequential import REACH, Spending, alpha_spending
from promotion_pipeline.statistics.roots import decreasing_root

NODES, PANEL = 12, 3.0
"""Gauss-Legendre nodes per panel, and a panel's width in standard deviations of an increment: errors under 1e-13."""


@dataclass(frozen=True, slots=True, eq=False)
class Boundaries:
    """One value a look: reject where z >= critical_z (|z| with two sides); inf where there is nothing to spend yet.

    `alpha_spent` is cumulative; `nominal_alpha` is the level at which that look's p-value is judged.
    """

    critical_z: FloatArray
    alpha_spent: FloatArray
    nominal_alpha: FloatArray


def group_sequential_boundaries(
    information_rates: ArrayLike,
    alpha: float,
    *,
    spending: Spending = "obrien_fleming",
    power: float = 2.0,
    sides: int = 1,
) -> Boundaries:
    """Critical z at each planned look, so that the looks together reject a true null with chance `alpha`.

    Args:
        information_rates: (looks,) share of the planned sample at each look: rising, in (0, 1].
        alpha: the error of all looks together; with `sides` 2 half of it on each side.
        spending: see `alpha_spending`.
        power: exponent of the power family.
        sides: 1 rejects upwards only; 2 both ways, symmetric.

    The score z sqrt(t) is a Brownian motion; the density of the paths that have not yet crossed is carried from
    look to look by numerical integration (Armitage, McPherson & Rowe 1969, JRSS A 132, 235-244).

    Raises:
        StatisticsError: rates that do not rise within (0, 1], alpha outside (0, 1), sides other than 1 or 2.
    """
    t = _checked_rates(information_rates)
    if sides not in (1, 2):
        raise StatisticsError(f"sides is {sides!r}, but must be 1 or 2; 1 asks only whether the treatment is better.")
    spent = alpha_spending(t, float(alpha_level(alpha)) / sides, spending=spending, power=power)
    increments = np.diff(spent, prepend=0.0)
    steps = np.diff(t, prepend=0.0)
    # Before the first look the path stands at 0 with certainty: one node of mass 1.
    nodes, mass = np.zeros(1), np.ones(1)
    critical = np.empty_like(t)
    for look, step in enumerate(np.sqrt(steps)):
        bound = _crossing(nodes, mass, float(step), float(increments[look]), float(np.sqrt(t[look])))
        critical[look] = bound / np.sqrt(t[look])
        if look + 1 < t.size:
            panel = PANEL * min(float(step), float(np.sqrt(steps[look + 1])))
            reach = REACH * float(np.sqrt(t[look]))
            edge = min(bound, reach)
            grid, weights = _quadrature(-edge if sides == 2 else -reach, edge, panel)
            nodes, mass = grid, _propagate(nodes, mass, grid, float(step)) * weights
    return Boundaries(critical, spent * sides, np.asarray(ndtr(-critical) * sides))


def _checked_rates(information_rates: ArrayLike) -> FloatArray:
    t = np.atleast_1d(floats(information_rates)[0])
    if t.ndim != 1 or not (np.all(np.diff(t, prepend=0.0) > 0) and t[-1] <= 1.0 + 1e-12):
        raise StatisticsError(
            f"information_rates are {t.tolist()}, but must rise strictly within (0, 1]; "
            "give each look's share of the planned sample."
        )
    return np.minimum(t, 1.0)


def _crossing(nodes: FloatArray, mass: FloatArray, step: float, target: float, scale: float) -> float:
    """The score that the surviving paths exceed at this look with chance `target`; inf for nothing to spend."""

    def excess(bound: float) -> float:
        return float(mass @ ndtr((nodes - bound) / step)) - target

    high = REACH * scale
    return decreasing_root(excess, -high, high) if excess(high) < 0 < excess(-high) else float(np.inf)


def _quadrature(lower: float, upper: float, panel: float) -> tuple[FloatArray, FloatArray]:
    """Composite Gauss-Legendre nodes and weights on [lower, upper], panels no wider than `panel`."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    edges = np.linspace(lower, upper, max(2, int(np.ceil((upper - lower) / panel)) + 1))
    half = np.diff(edges)[:, None] / 2.0
    return (edges[:-1, None] + half * (x + 1.0)).ravel(), (half * w).ravel()


def _propagate(nodes: FloatArray, mass: FloatArray, grid: FloatArray, step: float) -> FloatArray:
    """Density on `grid` after a normal increment of standard deviation `step` from the weighted `nodes`."""
    distance = (grid[:, None] - nodes) / step
    return np.asarray(np.exp(-0.5 * distance * distance) @ mass / (step * np.sqrt(2.0 * np.pi)))
