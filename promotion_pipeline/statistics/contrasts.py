"""A treatment's mean set against control's, in all the ways that an experiment asks: difference, lift, margin.

All of it is one family of contrasts, A - r B: the difference at r = 1, a non-inferiority margin m at r = 1 -+ m. The
always-valid test and interval of the lift are those of `lift_sequence.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, positive, quiet
from promotion_pipeline.statistics.clusters import combined_inverse_freedom


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


@quiet
def careful_margin_contrast(
    contrast: Contrast, margin: ArrayLike, higher_is_better: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """`margin_contrast` with a standard error that is never less than the log ratio's, by the delta method.

    Where control is the small arm and events are rare, the difference alone is too sure of being ahead: the control
    that is unlucky has the small variance too (`lift_sequence.py` has the other side of it).
    """
    ahead, error = margin_contrast(contrast, margin, higher_is_better)
    a, b = contrast.treatment, contrast.control
    (limit,) = floats(margin)
    good = np.where(np.asarray(higher_is_better, dtype=bool), 1.0, -1.0)
    factor = 1.0 - good * limit
    of_logarithm = contrast.treatment_variance / (a * a) + contrast.control_variance / (b * b)
    of_logarithm = of_logarithm - 2.0 * contrast.covariance / (a * b)
    z = good * np.log(a / (factor * b)) / np.sqrt(positive(of_logarithm))
    applies = (a > 0) & (b > 0) & (factor > 0) & (ahead > 0) & (z > 0)
    return ahead, np.where(applies, np.fmax(error, ahead / np.where(applies, z, 1.0)), error)
