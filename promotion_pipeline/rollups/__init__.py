"""Requests to hourly sums and to sums since an instant, wherever the log of the requests is: one port for all who ask.

- `log` is the port, `opening` opens what the settings name: `table_log` is `ai_requests`, `engine_log` a log in one of
  the `engines`; both are asked in SQL, which `sql_log` has in common. `configuration` reads `source.toml`.
- `catching_up` brings the stored rollups up to date, `reconcile` writes them; `stored`, `as_of` and
  `live` read them.
- What may be wrong with them: `coverage` (which hours were read), `landing` (which have arrived), `log_gaps` (what the
  log lost), `completeness` (is a phase whole), `conservation` (do the sums add up), `freshness`, `usual_traffic`.

Not here: decisions made of the sums, and how a decision is stored.
"""

from promotion_pipeline.rollups.catching_up import catch_up
from promotion_pipeline.rollups.completeness import Completeness, completeness, incomplete_phases, repaired
from promotion_pipeline.rollups.landing import Landing, landed
from promotion_pipeline.rollups.live import LiveSums, live_sums
from promotion_pipeline.rollups.log import SUMS_COLUMNS, RequestLog, Span
from promotion_pipeline.rollups.opening import log_name, open_log

__all__ = [
    "SUMS_COLUMNS",
    "Completeness",
    "Landing",
    "LiveSums",
    "RequestLog",
    "Span",
    "catch_up",
    "completeness",
    "incomplete_phases",
    "landed",
    "live_sums",
    "log_name",
    "open_log",
    "repaired",
]
