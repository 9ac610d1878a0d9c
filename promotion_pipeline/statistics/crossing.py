"""Before an experiment: the chance that a boundary is crossed by each look, where a lift is real or where none is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from promotion_pipeline.statistics.arrays import FloatArray, floats
from promotion_pipeline.statistics.errors import StatisticsError

REACH = 8.5
"""Standard deviations beyond which a normal density is nothing."""
NODES_PER_STEP = 5.0
"""Nodes in a standard deviation of the smallest step between two looks."""
END_WEIGHTS = (3.0 / 8.0, 7.0 / 6.0, 23.0 / 24.0)
"""Gregory's weights at the end of a sum that stands for an integral: its error falls with the fourth power."""


def crossing_probabilities(information: ArrayLike, boundary_z: ArrayLike, drift: float) -> FloatArray:
    """Chance that z has reached the boundary at this look or an earlier one, (looks,); one-sided, upwards.

    z sqrt(t) is a Brownian motion with drift, t the information: the density of the paths that have not yet crossed is
    carried from look to look (Armitage, McPherson & Rowe 1969, JRSS A 132, 235-244), here on a lattice that has the
    boundary for its end, so that each step is one convolution: hundreds of looks cost milliseconds.

    Args:
        information: (looks,) rising and above 0, such as requests so far.
        boundary_z: (looks,) critical z; inf or NaN where a look cannot reject.
        drift: z expected at information 1: z at t has mean drift * sqrt(t) and variance 1.

    Raises:
        StatisticsError: information that does not rise from above 0, not a boundary for each look, a drift that is no
            number.
    """
    t, z = floats(information, boundary_z)
    if t.ndim != 1 or t.shape != z.shape or not np.all(np.diff(t, prepend=0.0) > 0) or not np.isfinite(drift):
        raise StatisticsError(
            f"information has the shape {t.shape}, the boundary {z.shape}, the drift is {drift:g}: give rising"
            " information above 0 with one boundary a look, and a finite drift."
        )
    looks = np.flatnonzero(np.isfinite(z))
    crossed = np.zeros(t.shape)
    if looks.size == 0:
        return crossed
    at, mean, spread = t[looks], drift * t[looks], np.sqrt(t[looks])
    # Beyond the reach of every path a boundary is never crossed, below it always: the lattice ends there.
    bound = np.clip(z[looks] * spread, mean - REACH * spread, mean + REACH * spread)
    crossed[looks] = np.cumsum(_crossing_at(at, bound, drift))
    return np.asarray(np.maximum.accumulate(np.clip(crossed, 0.0, 1.0)))


def _crossing_at(t: FloatArray, bound: FloatArray, drift: float) -> FloatArray:
    """Chance to cross at each look and not before."""
    steps: FloatArray = np.asarray(np.sqrt(np.diff(t, prepend=0.0)))
    width = float(steps.min()) / NODES_PER_STEP
    lowest = float((drift * t - REACH * np.sqrt(t)).min())
    chance = np.empty(t.shape)
    chance[0] = ndtr((drift * t[0] - bound[0]) / steps[0])
    nodes = _nodes(float(bound[0]), lowest, width)
    mass = _weighted(_density((nodes - drift * t[0]) / steps[0]) / steps[0], width)
    for look in range(1, t.size):
        step, push = float(steps[look]), drift * float(t[look] - t[look - 1])
        chance[look] = mass @ ndtr((nodes + push - bound[look]) / step)
        rise = float(bound[look] - bound[look - 1])
        reach = int(np.ceil((REACH * step + abs(rise) + abs(push)) / width))
        offsets: FloatArray = rise - width * np.arange(-reach, reach + 1, dtype=np.float64) - push
        kernel = _density(offsets / step) / step
        nodes = _nodes(float(bound[look]), lowest, width)
        density = np.convolve(mass, kernel)[reach : reach + nodes.size]
        mass = _weighted(np.pad(density, (0, nodes.size - density.size)), width)
    return chance


def _nodes(bound: float, lowest: float, width: float) -> FloatArray:
    """The lattice from the boundary down."""
    return np.asarray(bound - width * np.arange(max(int(np.ceil((bound - lowest) / width)), 3) + 1))


def _weighted(density: FloatArray, width: float) -> FloatArray:
    mass = density * width
    mass[: len(END_WEIGHTS)] *= END_WEIGHTS
    return mass


def _density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))
