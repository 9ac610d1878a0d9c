"""The log in an engine: what `AUTO_PROMOTION_SOURCE` names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from promotion_pipeline.rollups.engine_rollup import rollup_from_source
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.log import RollupResult
from promotion_pipeline.rollups.log_gaps import Unreadable
from promotion_pipeline.rollups.phases import read_phases
from promotion_pipeline.rollups.pushdown import read_source_rollups, requests_by_hour
from promotion_pipeline.rollups.sql.rollup_query import Log
from promotion_pipeline.rollups.sql.span_query import SpanArm
from promotion_pipeline.rollups.sql_log import SqlLog
from promotion_pipeline.store.database import Store


class EngineLog(SqlLog):
    """The log that a source of an engine reads."""

    def __init__(self, store: Store, source: RequestSource) -> None:
        super().__init__(store)
        self._source = source
        self.name = source.config.place

    def roll_up(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> RollupResult:
        """Bring the stored rollups in line; only sums leave the engine."""
        return rollup_from_source(self._store, self._source, start, end, experiment_ids)

    def rollups(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The sums of a window, with user-level sums where the log names users."""
        return read_source_rollups(self._source, read_phases(self._store, start, end, experiment_ids), start, end)

    def unreadable(self, start: datetime, end: datetime) -> Sequence[Unreadable]:
        """The broken files that may hold requests of a window."""
        return self._source.unreadable(start, end)

    def files_of(self, start: datetime, end: datetime) -> list[str] | None:
        """The files that may hold requests of a window, whether or not they can be read."""
        files = self._source.files
        return None if files is None else [file.path for file in files.all if file.may_hold(start, end)]

    def _prepare(self, arms: Sequence[SpanArm]) -> None:
        if arms:
            self._source.require_columns(min(arm.since for arm in arms), max(arm.until for arm in arms))

    def _prepare_window(self, start: datetime, end: datetime) -> None:
        self._source.require_columns(start, end)

    def requests_by_hour(self, start: datetime, end: datetime) -> pd.Series[int]:
        """The number of requests in each hour."""
        return requests_by_hour(self._source, start, end)

    def _log(self) -> Log:
        return self._source.log

    def _run(self, query: str) -> pd.DataFrame:
        frame: pd.DataFrame = self._source.run(query).to_pandas()
        return frame
