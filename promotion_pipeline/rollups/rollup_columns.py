"""The columns of the rollups, in the order of the frames; a table, a frame and every log's SQL name them alike."""

from __future__ import annotations

from promotion_pipeline.evaluation.clusters import POWER_SUM

KEYS = ("hour", "experiment_id", "phase_id", "variant_id")
IDS = KEYS[1:]
COUNTS = ("requests", "conversions", "errors", "latency_samples", "user_requests", "user_conversions")
SUMS = ("latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares")
MOMENTS = {
    "new_users": "bigint",
    "user_conversions_sum_squares": "bigint",
    "user_requests_sum_squares": "bigint",
    "user_conversions_requests_sum_products": "bigint",
    "user_value_sum_squares": "float8",
    "user_value_requests_sum_products": "float8",
    "crossed_users": "bigint",
    "crossed_requests": "bigint",
    POWER_SUM: "float8",
}
"""Second moments over users, with their types in `hourly_variant_rollups`: see `postgresql/users.py`."""
ROLLUP_COLUMNS = (*KEYS, *COUNTS, *SUMS, *MOMENTS, "newest_request_at")
"""All columns of `hourly_variant_rollups`."""
