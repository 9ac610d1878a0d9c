"""An interval, and the one that is centred on an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from promotion_pipeline.statistics.arrays import FloatArray, finite, floats, quiet


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Lower and upper ends, of the broadcast shape of the inputs; both NaN where not computable.

    An open end of a one-sided interval is -inf or +inf.
    """

    lower: FloatArray
    upper: FloatArray


@quiet
def centred(estimate: ArrayLike, half_width: ArrayLike) -> Interval:
    """`estimate` -+ `half_width`; NaN where the estimate is not finite."""
    middle, (half,) = finite(estimate), floats(half_width)
    return Interval(np.asarray(middle - half), np.asarray(middle + half))
