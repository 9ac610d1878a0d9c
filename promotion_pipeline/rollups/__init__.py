"""Requests to hourly sums and to sums since an instant, wherever the log of the requests is: one port for all who ask.

Not here: decisions made of the sums, and how a decision is stored.
"""

from promotion_pipeline.rollups.as_of import live_rollups
from promotion_pipeline.rollups.catching_up import catch_up
from promotion_pipeline.rollups.completeness import Completeness, completeness, incomplete_phases, repaired
from promotion_pipeline.rollups.landing import Landing, landed
from promotion_pipeline.rollups.log import SUMS_COLUMNS, RequestLog, Span
from promotion_pipeline.rollups.opening import log_name, open_log

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
