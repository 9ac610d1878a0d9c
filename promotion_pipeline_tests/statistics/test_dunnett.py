"""Several treatments against one control."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.statistics import StatisticsError, critical_z, dunnett_critical_z, dunnett_p_value
from promotion_pipeline.statistics import two_sided_p_value as plain

Z = hs.floats(0.0, 6.0)


def test_two_comparisons_agree_with_the_integral() -> None:
    # scipy 1.17.1 integrate.quad of the two-sided equicorrelated normal integral at z = 2.2, correlation 0.5
    assert dunnett_p_value(2.2, 2) == pytest.approx(0.05152582143028184, rel=1e-10)


@given(Z)
def test_one_comparison_is_the_plain_test(z: float) -> None:
    assert dunnett_p_value(z, 1) == pytest.approx(plain(z), rel=1e-9)


@given(Z, hs.integers(2, 10))
def test_it_lies_between_no_correction_and_bonferroni(z: float, m: int) -> None:
    adjusted = dunnett_p_value(z, m)
    assert plain(z) <= adjusted * (1 + 1e-9)
    assert adjusted <= np.minimum(1.0, m * plain(z)) * (1 + 1e-9)


@pytest.mark.parametrize("tail", ["both", "upper"])
@given(m=hs.integers(1, 10), alpha=hs.floats(1e-5, 0.4), correlation=hs.floats(0.05, 0.95))
def test_the_critical_value_has_the_level_that_it_was_asked_for(
    tail: str, m: int, alpha: float, correlation: float
) -> None:
    z = dunnett_critical_z(m, alpha, tail=tail, correlation=correlation)  # type: ignore[arg-type]
    p_value = dunnett_p_value(z, m, tail=tail, correlation=correlation)  # type: ignore[arg-type]
    assert p_value == pytest.approx(alpha, rel=1e-6)


def test_one_upper_comparison_is_the_one_sided_z() -> None:
    assert dunnett_critical_z(1, 0.025, tail="upper") == pytest.approx(critical_z(0.05), abs=1e-9)


def test_an_unknown_z_stays_unknown() -> None:
    np.testing.assert_array_equal(np.isnan(dunnett_p_value([np.nan, 1.0], 3)), [True, False])


def test_parameters_without_meaning_are_refused() -> None:
    with pytest.raises(StatisticsError, match="comparisons is 0"):
        dunnett_p_value(1.0, 0)
    with pytest.raises(StatisticsError, match="correlation is 1"):
        dunnett_p_value(1.0, 2, correlation=1.0)
    with pytest.raises(StatisticsError, match="tail is 'lower'"):
        dunnett_critical_z(2, 0.05, tail="lower")  # type: ignore[arg-type]
