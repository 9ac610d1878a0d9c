"""The columns of the metrics' sums; the table, its frame and their SQL name them alike."""

from __future__ import annotations

METRIC_KEYS = ("hour", "experiment_id", "phase_id", "variant_id", "metric")
METRIC_COUNTS = ("samples", "new_users", "requests")
METRIC_SUMS = (
    "value_sum",
    "value_sum_squares",
    "user_value_sum_squares",
    "denominator_sum",
    "user_denominator_sum_squares",
    "user_value_denominator_sum_products",
    "covariate_sum",
    "covariate_sum_squares",
    "user_value_covariate_sum_products",
)
METRIC_COLUMNS = (*METRIC_KEYS, *METRIC_COUNTS, *METRIC_SUMS, "unmatched", "unreadable")
"""Of the frame that the evaluation is given."""
