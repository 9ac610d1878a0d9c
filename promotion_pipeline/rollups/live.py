"""The sums as of an hour as arrays, for those who judge a few experiments at this moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from promotion_pipeline.evaluation.from_frames import rollup_sums
from promotion_pipeline.evaluation.hours import utc_us
from promotion_pipeline.evaluation.tables import HourlySums, Words
from promotion_pipeline.rollups.as_of import rollups_afresh, rollups_as_of, stored_and_fresh
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.rollups.rollup_columns import COUNTS, MOMENTS, ROLLUP_COLUMNS, SUMS
from promotion_pipeline.store.arrays import coded, numbers, times_us
from promotion_pipeline.store.bulk import Source, read_table
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.wide import read_wide


@dataclass(frozen=True)
class LiveSums:
    """The rollups of phases before an as-of."""

    sums: HourlySums
    newest_request_us: NDArray[np.int64]
    """Of each row; the smallest integer where it is not known."""

    def of_phases(self, phase_ids: Collection[str]) -> LiveSums:
        """Those of some phases."""
        phases = self.sums.phase_id
        if phases is None or set(phases.words) <= set(phase_ids):
            return self
        mine = phases.is_in(phase_ids)
        return LiveSums(self.sums.at(mine), self.newest_request_us[mine])


def live_sums(
    store: Store,
    source: Source,
    as_of: datetime,
    experiment_ids: Sequence[str] | None = None,
    *,
    afresh: bool = False,
) -> LiveSums:
    """The rollups before `as_of` of every phase of its last hour; hours not rolled up yet are asked of the log.

    Args:
        afresh: ask the log for all hours, whatever was rolled up before.
        source: the store, or a connection whose transaction the stored rollups are read in.

    Raises:
        InputError: `as_of` is naive or not a whole hour, or an id is no UUID.
        ConfigError: the configuration of the log is wrong, or a column of it is missing.
        DependencyError: the database or the log cannot be reached.
    """
    if load_source(store.settings) is None:
        query = stored_and_fresh(source, as_of, experiment_ids, afresh=afresh)
        table = read_table(source, query) if isinstance(source, Store) else read_wide(source, query, ROLLUP_COLUMNS)
        return _of_table(table)

    def read_log(start: datetime, end: datetime, ids: Sequence[str] | None) -> pd.DataFrame:
        with open_log(store) as log:
            return log.rollups(start, end, ids)

    return _of_frame((rollups_afresh if afresh else rollups_as_of)(source, as_of, experiment_ids, read_log))


def _of_table(table: pa.Table) -> LiveSums:
    ids = {name: Words(*coded(table[name])) for name in ("experiment_id", "variant_id", "phase_id")}
    sums = {name: numbers(table[name]) for name in (*COUNTS, *SUMS, *MOMENTS)}
    return LiveSums(HourlySums(**ids, hour_us=times_us(table["hour"]), sums=sums), times_us(table["newest_request_at"]))


def _of_frame(rollups: pd.DataFrame) -> LiveSums:
    return LiveSums(rollup_sums(rollups), utc_us(rollups["newest_request_at"], "newest_request_at"))
