"""Pure statistics: arrays in, arrays out; no clock, no input or output.

Every function broadcasts like a numpy ufunc. Arm 0 is control, arm 1 the treatment. Rates, lifts and levels are
fractions. What the data cannot answer is NaN; only a parameter out of bounds raises `StatisticsError`.
"""

from promotion_pipeline.statistics.arrays import FloatArray
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.intervals import Interval
from promotion_pipeline.statistics.lift import (
    Lift,
    delta_interval,
    katz_interval,
    proportion_lift_interval,
    relative_lift,
)
from promotion_pipeline.statistics.multiplicity import benjamini_hochberg, bonferroni, holm
from promotion_pipeline.statistics.normal import critical_z, two_sided_p_value
from promotion_pipeline.statistics.proportions import (
    ZTest,
    proportion,
    proportion_variance_of_mean,
    two_proportion_z,
)
from promotion_pipeline.statistics.sequential import (
    always_valid_interval,
    always_valid_one_sided_interval,
    always_valid_one_sided_p_value,
    always_valid_p_value,
    mixture_rho,
)
from promotion_pipeline.statistics.srm import SrmTest, srm_chi_square
from promotion_pipeline.statistics.welch import (
    WelchTest,
    mean_variance_of_mean,
    t_test,
    welch,
    welch_degrees_of_freedom,
    welch_from_means,
)

__all__ = [
    "FloatArray",
    "Interval",
    "Lift",
    "SrmTest",
    "StatisticsError",
    "WelchTest",
    "ZTest",
    "always_valid_interval",
    "always_valid_one_sided_interval",
    "always_valid_one_sided_p_value",
    "always_valid_p_value",
    "benjamini_hochberg",
    "bonferroni",
    "critical_z",
    "delta_interval",
    "holm",
    "katz_interval",
    "mean_variance_of_mean",
    "mixture_rho",
    "proportion",
    "proportion_lift_interval",
    "proportion_variance_of_mean",
    "relative_lift",
    "srm_chi_square",
    "t_test",
    "two_proportion_z",
    "two_sided_p_value",
    "welch",
    "welch_degrees_of_freedom",
    "welch_from_means",
]
