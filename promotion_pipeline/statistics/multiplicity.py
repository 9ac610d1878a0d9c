"""Adjusted p-values for several comparisons; NaN entries are no comparison: they stay NaN and do not count."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, floats


def _valid(p_values: ArrayLike, axis: int) -> FloatArray:
    """p-values with the comparisons moved to the last axis; NaN where not in [0, 1]."""
    (p,) = floats(p_values)
    p = np.moveaxis(np.atleast_1d(p), axis, -1)
    return np.where((p >= 0) & (p <= 1), p, np.nan)


def _restore(adjusted: FloatArray, p_values: ArrayLike, axis: int) -> FloatArray:
    return np.moveaxis(adjusted, -1, axis).reshape(np.shape(p_values))


def bonferroni(p_values: ArrayLike, axis: int = -1) -> FloatArray:
    """min(1, m p), m the number of p-values along `axis` that are not NaN (Dunn 1961)."""
    p = _valid(p_values, axis)
    m = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    return _restore(np.minimum(p * m, 1.0), p_values, axis)


def holm(p_values: ArrayLike, axis: int = -1) -> FloatArray:
    """Step-down adjustment: the running maximum of (m - i) p(i), p sorted upwards from i = 0 (Holm 1979).

    Shape of `p_values`. Controls the chance of any false positive, under any dependence.
    """
    p = _valid(p_values, axis)
    m = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1)
    step = np.take_along_axis(p, order, axis=-1) * (m - np.arange(p.shape[-1]))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(step, axis=-1), 1.0), axis=-1)
    return _restore(adjusted, p_values, axis)


def benjamini_hochberg(p_values: ArrayLike, axis: int = -1) -> FloatArray:
    """Step-up adjustment: the running minimum, from the largest down, of m p(i) / i (Benjamini & Hochberg 1995).

    Shape of `p_values`. Controls the false discovery rate under independence or positive dependence.
    """
    p = _valid(p_values, axis)
    m = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1)
    step = np.take_along_axis(p, order, axis=-1) * (m / np.arange(1, p.shape[-1] + 1))
    # NaN sorts last; fmin lets the running minimum start after it, and the final where puts it back.
    running = np.fmin.accumulate(step[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(running, 1.0), axis=-1)
    return _restore(np.where(np.isnan(p), np.nan, adjusted), p_values, axis)
