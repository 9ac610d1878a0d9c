"""Group-sequential looks: the error that a plan may spend, and the boundary for looks without end."""

from __future__ import annotations

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
FIRST_RATE, RATES = 0.002, 200
"""Where the table of a continuous boundary begins, and its length. The error that is spent before goes unused."""


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
