"""Group-sequential boundaries: a handful of planned looks, the error spent over them by a spending function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from promotion_pipeline.statistics.arrays import FloatArray, alpha_level, floats, quiet
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.roots import decreasing_root

Spending = Literal["obrien_fleming", "pocock", "power"]

REACH = 8.5
"""Standard deviations beyond which a normal density is nothing."""
NODES, PANEL = 12, 3.0
"""Gauss-Legendre nodes per panel, and a panel's width in standard deviations of an increment: errors under 1e-13."""
FIRST_RATE, RATES = 0.002, 200
"""Where the table of a continuous boundary begins, and its length. The error that is spent before goes unused."""


@dataclass(frozen=True, slots=True, eq=False)
class Boundaries:
    """One value a look: reject where z >= critical_z (|z| with two sides); inf where there is nothing to spend yet.

    `alpha_spent` is cumulative; `nominal_alpha` is the level at which that look's p-value is judged.
    """

    critical_z: FloatArray
    alpha_spent: FloatArray
    nominal_alpha: FloatArray


def alpha_spending(
    information_rates: ArrayLike, alpha: float, *, spending: Spending = "obrien_fleming", power: float = 2.0
) -> FloatArray:
    """One-sided error that may be spent up to each information rate t (Lan & DeMets 1983, Biometrika 70, 659-663).

    obrien_fleming: 2 - 2 Phi(z(1 - alpha/2) / sqrt(t)); pocock: alpha ln(1 + (e - 1) t);
    power: alpha t^power (Kim & DeMets 1987). Rates above 1 count as 1.

    Raises:
        StatisticsError: alpha outside (0, 1), power not above 0, or an unknown spending function.
    """
    level = float(alpha_level(alpha))
    t = np.minimum(floats(information_rates)[0], 1.0)
    if spending == "obrien_fleming":
        return np.asarray(2.0 * ndtr(ndtri(level / 2.0) / np.sqrt(t)))
    if spending == "pocock":
        return np.asarray(level * np.log1p((np.e - 1.0) * t))
    if spending != "power":
        raise StatisticsError(
            f"spending is {spending!r}, but must be 'obrien_fleming', 'pocock' or 'power'; choose one of them."
        )
    if not power > 0:
        raise StatisticsError(f"power is {power:g}, but must be above 0; 2 is the usual choice.")
    return np.asarray(level * t**power)


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


@quiet
def continuous_boundary(
    information_rate: ArrayLike, alpha: ArrayLike, *, spending: Spending = "obrien_fleming", power: float = 2.0
) -> FloatArray:
    """One-sided critical z at an information rate, however many looks were taken before and will be taken after.

    The limit of `group_sequential_boundaries` for looks without end: all of them together reject a true null with
    chance `alpha`, any selection of them with less. So the boundary of a look depends on no other look.

    obrien_fleming: z(1 - alpha/2) / sqrt(t), since that spending function is the first passage of a Brownian motion
    over a constant (Lan & DeMets 1983); otherwise the first passage is solved for the boundary (Durbin 1971, Journal of
    Applied Probability 8, 431-453: Phi(-b(t) / sqrt(t)) = integral of Phi(-(b(t) - b(s)) / sqrt(t - s)) d alpha(s)).

    Args:
        information_rate: share of the planned sample, in (0, 1]; 0 gives inf, NaN and what is above 1 NaN.
        alpha: the error of all looks together, broadcastable.
        spending, power: see `alpha_spending`.

    Raises:
        StatisticsError: alpha outside (0, 1), power not above 0, or an unknown spending function.
    """
    t, level = floats(information_rate, alpha_level(alpha))
    t, level = np.broadcast_arrays(np.where((t >= 0) & (t <= 1), t, np.nan), level)
    if spending == "obrien_fleming":
        return np.asarray(-ndtri(level / 2.0) / np.sqrt(t))
    critical = np.full(t.shape, np.nan)
    for one in np.unique(level[~np.isnan(level)]):
        rates, table = _continuous_table(float(one), spending, float(power))
        here = level == one
        # Between two rates of the table the boundary falls; the higher of the two is on the safe side.
        at = np.clip(np.searchsorted(rates, t[here], side="right") - 1, -1, RATES - 1)
        found = np.where(at < 0, np.inf, table[at])
        critical[here] = np.where(np.isnan(t[here]), np.nan, found)
    return critical


@lru_cache(maxsize=64)
def _continuous_table(alpha: float, spending: Spending, power: float) -> tuple[FloatArray, FloatArray]:
    """Rates and the continuous boundary at each, as critical z."""
    rates = np.geomspace(FIRST_RATE, 1.0, RATES)
    spent = np.diff(alpha_spending(rates, alpha, spending=spending, power=power), prepend=0.0)
    middles = (rates + np.concatenate([[0.0], rates[:-1]])) / 2.0
    score, between = np.empty(RATES), np.empty(RATES)
    for number, rate in enumerate(rates):
        gaps = np.sqrt(rate - middles[: number + 1])
        before = (spent[:number], between[:number], gaps[:number])
        last = (float(spent[number]), float(score[number - 1]) if number else None, float(gaps[-1]))
        score[number] = _first_passage(float(rate), before, last)
        between[number] = (score[number] + score[max(number - 1, 0)]) / 2.0
    return rates, score / np.sqrt(rates)


def _first_passage(
    rate: float, before: tuple[FloatArray, FloatArray, FloatArray], last: tuple[float, float | None, float]
) -> float:
    """The score at `rate` that paths exceed as often as those that have crossed should.

    Args:
        before: error spent in each earlier stretch, the boundary in its middle, the root of the time since.
        last: the same of the stretch that ends here, with the boundary at its beginning.
    """
    spent, bounds, gaps = before
    now, previous, gap = last

    def excess(bound: float) -> float:
        rise = 0.0 if previous is None else (bound - previous) / 2.0
        crossed = float(spent @ ndtr((bounds - bound) / gaps)) + now * float(ndtr(-rise / gap))
        return float(ndtr(-bound / np.sqrt(rate))) - crossed

    return decreasing_root(excess, 0.0, REACH * float(np.sqrt(rate)))


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
