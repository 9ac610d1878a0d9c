"""The log in the product's own table, `ai_requests`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.rollups.log import TABLE, RollupResult, Span, require_distinct
from promotion_pipeline.rollups.postgresql.arms import REQUEST_HOUR
from promotion_pipeline.rollups.postgresql.own_log import OWN_LOG
from promotion_pipeline.rollups.postgresql.rollup import aggregate_requests, rollup_window
from promotion_pipeline.rollups.sql.dialect import EPOCH
from promotion_pipeline.rollups.sql.rollup_query import Log
from promotion_pipeline.rollups.sql_log import SqlLog
from promotion_pipeline.store.bulk import read_few, read_frame, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)


class TableLog(SqlLog):
    """`ai_requests` of the product's database."""

    name = TABLE

    def roll_up(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> RollupResult:
        """Bring the stored rollups in line, inside the database."""
        return rollup_window(self._store, start, end, experiment_ids)

    def rollups(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The sums of a window; user-level sums are 0."""
        return aggregate_requests(self._store, start, end, experiment_ids)

    def counts(self, spans: Sequence[Span]) -> dict[str, int]:
        """The requests of each span, each by the index of its experiment: no other experiment's are read."""
        require_distinct(spans)
        counted = {span.key: 0 for span in spans}
        if spans:
            wanted = sql.SQL(", ").join(
                sql.SQL("({}, {}::uuid, {}, {})").format(
                    sql.Literal(span.key),
                    sql.Literal(str(span.experiment_id)),
                    time_literal(span.since),
                    time_literal(span.until),
                )
                for span in spans
            )
            found = read_few(self._store, _SQL["counts"].format(wanted))
            counted |= dict(zip(found["key"].to_pylist(), found["requests"].to_pylist(), strict=True))
        return counted

    def requests_by_hour(self, start: datetime, end: datetime) -> pd.Series[int]:
        """The number of requests in each hour; one scan of the window."""
        require_hours(start, end)
        query = sql.SQL(
            "SELECT {hour} AS hour, count(*) AS requests FROM promotion_pipeline_requests AS request"
            " WHERE request.created_at >= {start} AND request.created_at < {end} GROUP BY 1"
        ).format(hour=REQUEST_HOUR, start=time_literal(start), end=time_literal(end))
        return read_frame(self._store, query).set_index("hour")["requests"]

    def newest_request(self) -> datetime | None:
        """The time of the newest row; of a plain table, which may have no index by time, of known experiments."""
        (at,) = read_few(self._store, _SQL["newest_request"].format())["newest"].to_pylist()
        return None if at is None or at < EPOCH else at

    def rows_estimate(self) -> int | None:
        """As `ANALYZE` left it, over all days; None: it was never analyzed, or is a view."""
        (row,) = self._store.rows(_SQL["rows_estimate"], {})
        return None if row["rows"] is None else int(row["rows"])

    def _log(self) -> Log:
        return OWN_LOG

    def _run(self, query: str) -> pd.DataFrame:
        # Safe as plain text: it is made of our template, ids and times, and of no text that somebody typed.
        return read_frame(self._store, sql.Composed([sql.SQL(query)]))
