"""A treatment's mean set against control's, in all the ways that an experiment asks: difference, lift, margin.

All of it is one family of contrasts, A - r B: the difference at r = 1, a non-inferiority margin m at r = 1 -+ m, and
the interval of the ratio A / B as all r that the contrast does not refuse (Fieller 1954, JRSS B 16, 175-185). So test,
interval and margin agree, and where each contrast may be looked at after every request, so may the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, positive, quiet
from promotion_pipeline.statistics.clusters import combined_inverse_freedom
from promotion_pipeline.statistics.intervals import Interval


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Means of treatment and control with the variances and the covariance *of these means*; arrays that broadcast.

    Independent arms have covariance 0. An adjustment for the past (`cuped_arms`) makes the treatment's mean depend on
    control's users too.
    """

    treatment: FloatArray
    control: FloatArray
    treatment_variance: FloatArray
    control_variance: FloatArray
    covariance: FloatArray
    own_variance: FloatArray
    """The part of `treatment_variance` that comes from the treatment's own users."""
    treatment_inverse_freedom: FloatArray
    """1 / degrees of freedom of each arm's variance; 0: as good as known."""
    control_inverse_freedom: FloatArray

    @property
    def difference(self) -> FloatArray:
        """Treatment less control, in the metric's unit."""
        return np.asarray(self.treatment - self.control)

    @quiet
    def variance_at(self, ratio: ArrayLike) -> FloatArray:
        """Of treatment - ratio * control."""
        (r,) = floats(ratio)
        spread = self.treatment_variance + r * (r * self.control_variance - 2.0 * self.covariance)
        return np.asarray(np.maximum(spread, 0.0))

    @quiet
    def inverse_freedom_of(self, variance: FloatArray) -> FloatArray:
        """1 / degrees of freedom of a variance that `variance_at` gave (Welch-Satterthwaite)."""
        rest = np.maximum(variance - self.own_variance, 0.0)
        return combined_inverse_freedom(
            rest, self.control_inverse_freedom, self.own_variance, self.treatment_inverse_freedom
        )


def independent(mean: FloatArray, variance: FloatArray, inverse_freedom: FloatArray) -> Contrast:
    """Of arms that know nothing of each other, control first along the first axis; variances are of the means."""
    return Contrast(
        treatment=mean[1:],
        control=mean[:1],
        treatment_variance=variance[1:],
        control_variance=variance[:1],
        covariance=np.zeros(()),
        own_variance=variance[1:],
        treatment_inverse_freedom=inverse_freedom[1:],
        control_inverse_freedom=inverse_freedom[:1],
    )


@quiet
def lift_of(contrast: Contrast, ratio: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """(A - B) / |B| and its standard error by the delta method (Deng, Knoblich & Lu 2018, KDD).

    Dividing by |B| keeps the sign. NaN where control's mean is 0, and an error also where it is not above 0.

    Args:
        ratio: where the variance is taken; default A / B.
    """
    base = np.where(contrast.control != 0, contrast.control, np.nan)
    lift = finite((contrast.treatment - contrast.control) / np.abs(base))
    variance = contrast.variance_at(contrast.treatment / base if ratio is None else ratio) / (base * base)
    return lift, np.asarray(np.sqrt(positive(variance)))


@quiet
def fieller_lift_interval(contrast: Contrast, critical: ArrayLike) -> Interval:
    """All lifts r - 1 with |A - r B| <= critical * sd(A - r B), as an interval. Arguments broadcast.

    (r^2 (B^2 - c^2 v_B) - 2 r (A B - c^2 v_AB) + A^2 - c^2 v_A <= 0.) It leaves out 0 exactly where the difference is
    more than `critical` standard errors. NaN where control's mean is itself less than `critical` standard errors from
    0, so that no finite interval holds the ratio. Where control's mean is negative it is the lift over |B|.
    """
    a, b = contrast.treatment, contrast.control
    va, vb, vab = contrast.treatment_variance, contrast.control_variance, contrast.covariance
    (c,) = floats(critical)
    q = c * c
    leading = np.where(b * b > q * vb, b * b - q * vb, np.nan)
    spread = va * b * b - 2.0 * a * b * vab + vb * a * a - q * (va * vb - vab * vab)
    half = c * np.sqrt(np.maximum(spread, 0.0)) / leading
    # The middle less 1, not the middle: the lift is small beside it.
    middle = (b * (a - b) + q * (vb - vab)) / leading
    middle = np.where(b < 0, -middle, middle)
    return Interval(finite(middle - half), finite(middle + half))


@quiet
def margin_contrast(
    contrast: Contrast, margin: ArrayLike, higher_is_better: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """How far A is on the good side of control's mean made worse by `margin` (a fraction), and its standard error.

    The margin moves with the estimated control mean, so its noise counts. NaN where control's mean is 0: a share of
    nothing is no margin. The standard error is NaN where it is not above 0.
    """
    (limit,) = floats(margin)
    good = np.where(np.asarray(higher_is_better, dtype=bool), 1.0, -1.0)
    factor = np.where(contrast.control != 0, 1.0 - good * np.sign(contrast.control) * limit, np.nan)
    estimate = good * (contrast.treatment - factor * contrast.control)
    return np.asarray(estimate), np.asarray(np.sqrt(positive(contrast.variance_at(factor))))
