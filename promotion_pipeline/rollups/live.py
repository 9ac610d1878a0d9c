"""The rollups as of an hour, whether or not the hourly run has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from promotion_pipeline.rollups.as_of import rollups_afresh, rollups_as_of
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.bulk import Source
from promotion_pipeline.store.database import Store


def live_rollups(
    store: Store,
    source: Source,
    as_of: datetime,
    experiment_ids: Sequence[str] | None = None,
    *,
    afresh: bool = False,
) -> pd.DataFrame:
    """The rollups before `as_of` of every phase of its last hour; hours not rolled up yet are asked of the log.

    Args:
        afresh: ask the log for all hours, whatever was rolled up before.
        source: the store, or a connection whose transaction the stored rollups are read in.

    Raises:
        InputError: `as_of` is naive or not a whole hour, or an id is no UUID.
        ConfigError: the configuration of the log is wrong, or a column of it is missing.
        DependencyError: the database or the log cannot be reached.
    """
    read = rollups_afresh if afresh else rollups_as_of
    if load_source(store.settings) is None:
        return read(source, as_of, experiment_ids)

    def read_log(start: datetime, end: datetime, ids: Sequence[str] | None) -> pd.DataFrame:
        with open_log(store) as log:
            return log.rollups(start, end, ids)

    return read(source, as_of, experiment_ids, read_log)
