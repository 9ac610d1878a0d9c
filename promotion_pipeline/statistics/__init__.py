"""Pure statistics: arrays in, arrays out; no clock, no input or output.

Not here: names of experiments, thresholds of the product, frames.

Every function broadcasts like a numpy ufunc. Arm 0 is control, arm 1 the treatment. Rates, lifts and levels are
fractions. What the data cannot answer is NaN; only a parameter out of bounds raises `StatisticsError`.
"""

from promotion_pipeline.statistics.arrays import FloatArray
from promotion_pipeline.statistics.calibration import Calibration, calibration, exact_share, holds
from promotion_pipeline.statistics.clusters import (
    combined_inverse_freedom,
    largest_share_bound,
    leverage_inflation,
    normal_equivalent,
    student_inflation,
)
from promotion_pipeline.statistics.contrasts import (
    Contrast,
    careful_margin_contrast,
    independent,
    lift_of,
    margin_contrast,
)
from promotion_pipeline.statistics.crossing import crossing_probabilities
from promotion_pipeline.statistics.cuped import Adjusted, UserSums, cuped_arms
from promotion_pipeline.statistics.decision_power import power_of_each_test, sample_size_noninferiority
from promotion_pipeline.statistics.design_effect import design_effect
from promotion_pipeline.statistics.errors import StatisticsError
from promotion_pipeline.statistics.group_sequential import Spending, alpha_spending, continuous_boundary
from promotion_pipeline.statistics.intervals import Interval
from promotion_pipeline.statistics.james_stein import FEWEST_ESTIMATES, learned_prior_sd, usable
from promotion_pipeline.statistics.lift import (
    Lift,
    delta_interval,
    katz_interval,
    proportion_lift_interval,
    put_katz_on_small_counts,
    relative_lift,
)
from promotion_pipeline.statistics.lift_sequence import LiftSequence, always_valid_lift
from promotion_pipeline.statistics.multiplicity import benjamini_hochberg, bonferroni, holm
from promotion_pipeline.statistics.noninferiority import (
    MeanNoninferiority,
    always_valid_harm_p_value,
    noninferiority_means,
)
from promotion_pipeline.statistics.normal import critical_z, two_sided_p_value
from promotion_pipeline.statistics.power import (
    minimum_detectable_lift,
    power_two_proportions,
    sample_size_two_proportions,
)
from promotion_pipeline.statistics.proportions import ZTest, proportion, proportion_variance_of_mean, two_proportion_z
from promotion_pipeline.statistics.rare_counts import more_often_z
from promotion_pipeline.statistics.ratios import Ratio, ratio_of_sums
from promotion_pipeline.statistics.reference.cuped import CupedTest, cuped
from promotion_pipeline.statistics.reference.differences import (
    miettinen_nurminen_interval,
    newcombe_interval,
    score_z,
    wald_difference_interval,
    wilson_interval,
)
from promotion_pipeline.statistics.reference.dunnett import dunnett_critical_z, dunnett_p_value
from promotion_pipeline.statistics.reference.group_sequential import Boundaries, group_sequential_boundaries
from promotion_pipeline.statistics.reference.msprt import msprt_likelihood_ratio
from promotion_pipeline.statistics.reference.noninferiority import noninferiority_z
from promotion_pipeline.statistics.sequential import (
    always_valid_critical_z,
    always_valid_interval,
    always_valid_one_sided_interval,
    always_valid_one_sided_p_value,
    always_valid_p_value,
    mixture_rho,
)
from promotion_pipeline.statistics.sequential_srm import SequentialSrm, sequential_srm, sequential_srm_p_value
from promotion_pipeline.statistics.shrinkage import ShrunkenLift, shrunken_lift, shrunken_mean
from promotion_pipeline.statistics.srm import SrmTest, srm_chi_square
from promotion_pipeline.statistics.student import student_critical, student_two_sided_p_value
from promotion_pipeline.statistics.welch import (
    Scale,
    WelchTest,
    mean_variance_of_mean,
    t_test,
    welch,
    welch_degrees_of_freedom,
    welch_from_means,
)

__all__ = [
    "FEWEST_ESTIMATES",
    "Adjusted",
    "Boundaries",
    "Calibration",
    "Contrast",
    "CupedTest",
    "FloatArray",
    "Interval",
    "Lift",
    "LiftSequence",
    "MeanNoninferiority",
    "Ratio",
    "Scale",
    "SequentialSrm",
    "ShrunkenLift",
    "Spending",
    "SrmTest",
    "StatisticsError",
    "UserSums",
    "WelchTest",
    "ZTest",
    "alpha_spending",
    "always_valid_critical_z",
    "always_valid_harm_p_value",
    "always_valid_interval",
    "always_valid_lift",
    "always_valid_one_sided_interval",
    "always_valid_one_sided_p_value",
    "always_valid_p_value",
    "benjamini_hochberg",
    "bonferroni",
    "calibration",
    "careful_margin_contrast",
    "combined_inverse_freedom",
    "continuous_boundary",
    "critical_z",
    "crossing_probabilities",
    "cuped",
    "cuped_arms",
    "delta_interval",
    "design_effect",
    "dunnett_critical_z",
    "dunnett_p_value",
    "exact_share",
    "group_sequential_boundaries",
    "holds",
    "holm",
    "independent",
    "katz_interval",
    "largest_share_bound",
    "learned_prior_sd",
    "leverage_inflation",
    "lift_of",
    "margin_contrast",
    "mean_variance_of_mean",
    "miettinen_nurminen_interval",
    "minimum_detectable_lift",
    "mixture_rho",
    "more_often_z",
    "msprt_likelihood_ratio",
    "newcombe_interval",
    "noninferiority_means",
    "noninferiority_z",
    "normal_equivalent",
    "power_of_each_test",
    "power_two_proportions",
    "proportion",
    "proportion_lift_interval",
    "proportion_variance_of_mean",
    "put_katz_on_small_counts",
    "ratio_of_sums",
    "relative_lift",
    "sample_size_noninferiority",
    "sample_size_two_proportions",
    "score_z",
    "sequential_srm",
    "sequential_srm_p_value",
    "shrunken_lift",
    "shrunken_mean",
    "srm_chi_square",
    "student_critical",
    "student_inflation",
    "student_two_sided_p_value",
    "t_test",
    "two_proportion_z",
    "two_sided_p_value",
    "usable",
    "wald_difference_interval",
    "welch",
    "welch_degrees_of_freedom",
    "welch_from_means",
    "wilson_interval",
]
