"""Requests to hourly sums and to sums since an instant, wherever the log of the requests is: one port for all who ask.

Not here: decisions made of the sums, and how a decision is stored.
"""

from promotion_pipeline.rollups.completeness import Completeness, catch_up, completeness, incomplete_phases, repaired
from promotion_pipeline.rollups.landing import Landing, landed
from promotion_pipeline.rollups.live import live_rollups
from promotion_pipeline.rollups.log import SUMS_COLUMNS, RequestLog, Span, log_name, open_log

__all__ = [
    "SUMS_COLUMNS",
    "Completeness",
    "Landing",
    "RequestLog",
    "Span",
    "catch_up",
    "completeness",
    "incomplete_phases",
    "landed",
    "live_rollups",
    "log_name",
    "open_log",
    "repaired",
]
