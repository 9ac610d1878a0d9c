"""Nothing that data can do makes a function raise, warn, or return a p-value out of range."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from promotion_pipeline import statistics as st
from promotion_pipeline_tests.statistics.strategies import DEGENERATE


def _with(function: Callable[..., Any], *more: Any, **options: Any) -> Callable[..., Any]:
    """The function with the parameters that are not data filled in."""
    return lambda *data: function(*data, *more, **options)


CALLS: dict[str, tuple[int, Callable[..., Any]]] = {
    "two_proportion_z": (4, st.two_proportion_z),
    "two_proportion_z unpooled": (4, _with(st.two_proportion_z, method="unpooled")),
    "relative_lift": (4, st.relative_lift),
    "delta_interval": (2, _with(st.delta_interval, 0.05)),
    "katz_interval": (4, _with(st.katz_interval, 0.05)),
    "proportion_lift_interval": (4, _with(st.proportion_lift_interval, 0.05)),
    "wilson_interval": (2, _with(st.wilson_interval, 0.05)),
    "newcombe_interval": (4, _with(st.newcombe_interval, 0.05)),
    "wald_difference_interval": (4, _with(st.wald_difference_interval, 0.05)),
    "miettinen_nurminen_interval": (4, _with(st.miettinen_nurminen_interval, 0.05)),
    "always_valid_interval": (4, _with(st.always_valid_interval, 0.05)),
    "always_valid_p_value": (4, _with(st.always_valid_p_value, 0.05)),
    "always_valid_one_sided_interval": (4, _with(st.always_valid_one_sided_interval, 0.05)),
    "always_valid_one_sided_p_value": (4, _with(st.always_valid_one_sided_p_value, 0.05)),
    "always_valid_harm_p_value": (4, _with(st.always_valid_harm_p_value, 0.05, margin=0.1)),
    "srm_chi_square": (6, lambda *a: st.srm_chi_square(np.stack(a[:3], -1), np.stack(a[3:], -1))),
    "sequential_srm": (6, lambda *a: st.sequential_srm(np.stack(a[:3], -1)[:, None], np.stack(a[3:], -1))),
    "holm": (4, lambda *a: st.holm(np.stack(a, -1))),
    "bonferroni": (4, lambda *a: st.bonferroni(np.stack(a, -1))),
    "benjamini_hochberg": (4, lambda *a: st.benjamini_hochberg(np.stack(a, -1))),
    "welch": (6, st.welch),
    "welch relative": (6, _with(st.welch, "relative")),
    "ratio_of_sums": (6, st.ratio_of_sums),
    "noninferiority_z": (4, _with(st.noninferiority_z, 0.01)),
    "noninferiority_z score": (4, _with(st.noninferiority_z, 0.01, method="score")),
    "noninferiority_means": (6, _with(st.noninferiority_means, 0.01)),
    "power_two_proportions": (3, st.power_two_proportions),
    "sample_size_two_proportions": (2, st.sample_size_two_proportions),
    "minimum_detectable_lift": (2, st.minimum_detectable_lift),
    "shrunken_lift": (2, _with(st.shrunken_lift, prior_sd=0.05)),
    "msprt_likelihood_ratio": (3, _with(st.msprt_likelihood_ratio, 0.02)),
    "dunnett_p_value": (1, _with(st.dunnett_p_value, 3)),
    "cuped": (12, lambda *a: st.cuped(st.UserSums(*a[:6]), st.UserSums(*a[6:]))),
    "cuped relative": (12, lambda *a: st.cuped(st.UserSums(*a[:6]), st.UserSums(*a[6:]), "relative")),
}

OVER_ARMS = {"srm_chi_square", "sequential_srm", "holm", "bonferroni", "benjamini_hochberg"}
"""These need an axis of arms at least."""


def _arrays(name: str, result: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(result, np.ndarray):
        yield name, result
        return
    for field in result.__slots__:
        yield from _arrays(field, getattr(result, field))


@pytest.mark.parametrize("name", CALLS)
def test_degenerate_numbers_neither_raise_nor_warn_nor_leave_the_range(name: str) -> None:
    count, function = CALLS[name]
    draws = np.random.default_rng(count).choice(DEGENERATE, (count, 3000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = function(*draws)
    for field, values in _arrays(name, result):
        if "p_value" in field or field in {"holm", "bonferroni", "benjamini_hochberg"}:
            assert np.all(np.isnan(values) | ((values >= 0) & (values <= 1))), field


@pytest.mark.parametrize("name", [name for name in CALLS if name not in OVER_ARMS])
def test_scalars_give_zero_dimensional_results(name: str) -> None:
    count, function = CALLS[name]
    for field, values in _arrays(name, function(*[10.0] * count)):
        assert np.shape(values) == (), field


@pytest.mark.parametrize("name", CALLS)
def test_an_empty_frame_is_no_error(name: str) -> None:
    count, function = CALLS[name]
    for field, values in _arrays(name, function(*[np.empty(0)] * count)):
        assert np.size(values) == 0, field
