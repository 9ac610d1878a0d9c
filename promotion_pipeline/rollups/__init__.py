"""Requests to hourly sums and to sums since an instant, wherever the log of the requests is: one port for all who ask.

What does not belong here: decisions made of the sums, and the stored frames themselves.
"""

from promotion_pipeline.rollups.log import SUMS_COLUMNS, RequestLog, Span, open_log

__all__ = ["SUMS_COLUMNS", "RequestLog", "Span", "open_log"]
