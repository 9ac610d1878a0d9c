"""The hourly rollup pushed down to where the requests are; only sums come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.engines.registry import engine_of
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, ROLLUP_COLUMNS, SUMS
from promotion_pipeline.rollups.source_config import SourceConfig
from promotion_pipeline.rollups.sql.log_columns import assumed
from promotion_pipeline.rollups.sql.rollup_query import (
    USER_COUNTS,
    USER_SUMS,
    Log,
    requests_by_hour_sql,
    rollup_sql,
    user_hours_sql,
)
from promotion_pipeline.store.windows import require_hours

Runner: TypeAlias = Callable[[str], pa.Table | pd.DataFrame]
"""Runs a query and gives back its rows: a client of an engine that this package does not connect to."""


def compiled_log(config: SourceConfig) -> Log:
    """A log that is not looked at: for the SQL of an engine that is not run here.

    Every column that is not mapped to "" is taken to be there: ids as text, flags as booleans.

    Raises:
        ConfigError: a column that is needed is mapped to "", or requests are to be excluded.
        InputError: a name cannot be one of the engine's.
    """
    if config.exclude is not None:
        raise ConfigError("exclude asks for the log's columns, which are not looked at here: name a view without them")
    dialect = engine_of(config).dialect
    return Log(dialect, dialect.identifier(*config.table), assumed(config), config.users)


def read_source_rollups(
    source: RequestSource | Log,
    phases: pd.DataFrame,
    start: datetime,
    end: datetime,
    run: Runner | None = None,
) -> pd.DataFrame:
    """The sums of the log's requests in [start, end) by (hour, experiment, phase, variant), columns ROLLUP_COLUMNS.

    User-level sums are exact for the log as it is now. Requests of no known arm are left out. Nothing is written.

    Args:
        phases: the arms to look for, as `read_phases` gives them.
        run: a client of your own, needed where `source` is no more than a `Log`.

    Raises:
        InputError: the window is naive or not of whole hours, or there is no such table or file.
        ConfigError: a column is missing or of another type than it must be.
        DependencyError: the engine cannot be reached or refuses the query.
    """
    return _read(source, phases, start, end, run)[0]


def requests_by_hour(source: RequestSource, start: datetime, end: datetime) -> pd.Series[int]:
    """The number of the log's requests in each hour of [start, end) that has any, known arms or not.

    Raises as `read_source_rollups`.
    """
    require_hours(start, end)
    source.require_columns(start, end)
    rows = source.run(requests_by_hour_sql(source.log, start, end)).to_pandas()
    return pd.Series(_whole(rows["requests"]), index=_hours(rows["hour_number"]))


def read_hours(
    source: RequestSource, phases: pd.DataFrame, start: datetime, end: datetime, *, known_only: bool = False
) -> tuple[pd.DataFrame, pd.Series[int]]:
    """The sums of the window without user-level moments, and the requests of no known arm by hour; one scan.

    Args:
        known_only: leave the requests of no known arm out.

    Raises as `read_source_rollups`.
    """
    return _read(source, phases, start, end, with_moments=False, known_only=known_only)


def read_user_hours(
    source: RequestSource, phases: pd.DataFrame, spans: Sequence[tuple[datetime, datetime]]
) -> pd.DataFrame:
    """What each known user did in each hour of `spans`; columns of `hourly_user_rollups`, ids as in the log.

    Raises as `read_source_rollups`.
    """
    arms = phases.reset_index(drop=True).sort_values(["phase_id", "variant_id"], ignore_index=True)
    source.require_columns(min(span[0] for span in spans), max(span[1] for span in spans))
    rows = source.run(user_hours_sql(source.log, arms, spans)).to_pandas().rename(columns=str.lower)
    arm = _whole(rows["arm"])
    return pd.DataFrame(
        {
            "hour": _hours(rows["hour_number"]),
            "phase_id": arms["phase_id"].astype(str).to_numpy()[arm],
            # PostgreSQL keeps no text with a NUL: it becomes the character that stands for what cannot be shown.
            "user_id": rows["user_id"].astype(str).str.replace("\0", "\ufffd", regex=False),
            "variant_id": arms["variant_id"].astype(str).to_numpy()[arm],
            "requests": _whole(rows["requests"]),
            "conversions": _whole(rows["conversions"]),
            "value": _double(rows["value"]),
        }
    )


def _read(
    source: RequestSource | Log,
    phases: pd.DataFrame,
    start: datetime,
    end: datetime,
    run: Runner | None = None,
    *,
    with_moments: bool = True,
    known_only: bool = False,
) -> tuple[pd.DataFrame, pd.Series[int]]:
    """The rollups, and the requests of no known arm by hour."""
    require_hours(start, end)
    if isinstance(source, RequestSource):
        source.require_columns(start, end)
    log = source.log if isinstance(source, RequestSource) else source
    if run is None:
        if not isinstance(source, RequestSource):
            raise InputError("this engine is not run here: pass run, which takes the SQL and gives back its rows")
        run = source.run
    arms = phases.reset_index(drop=True).sort_values(["phase_id", "variant_id"], ignore_index=True)
    rows = run(rollup_sql(log, arms, start, end, with_moments=with_moments, known_only=known_only))
    frame, unassigned = _frame(rows, arms)
    if not log.columns.measures_errors:
        frame["errors"] = np.nan
    return frame, unassigned


def _frame(rows: pa.Table | pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[int]]:
    given: pd.DataFrame = rows.to_pandas() if isinstance(rows, pa.Table) else rows
    given = given.rename(columns=str.lower)
    arm = given["arm"].astype("float64").fillna(-1).to_numpy().astype(np.int64)
    hour = _hours(given["hour_number"])
    unassigned = pd.Series(_whole(given["requests"]), index=hour)[arm < 0].groupby(level=0).sum()
    known = np.flatnonzero(arm >= 0)
    known = known[np.lexsort((arm[known], hour.asi8[known]))]
    frame = pd.DataFrame({"hour": hour[known]})
    for name in IDS:
        codes, distinct = pd.factorize(arms[name].astype(str))
        frame[name] = pd.Categorical.from_codes(codes[arm[known]], pd.Index(distinct))
    for names, convert in (((*COUNTS, *USER_COUNTS), _whole), ((*SUMS, *USER_SUMS), _double)):
        for name in names:
            frame[name] = convert(given[name])[known] if name in given else convert(pd.Series(0, range(len(known))))
    newest = pd.to_datetime(_whole(given["newest_request_micros"])[known], unit="us", utc=True)
    frame["newest_request_at"] = newest.as_unit("us")
    return frame[list(ROLLUP_COLUMNS)], unassigned


def _hours(numbers: pd.Series[Any]) -> pd.DatetimeIndex:
    return pd.to_datetime(_whole(numbers) * 3600, unit="s", utc=True).as_unit("us")


def _whole(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return values.to_numpy().astype(np.int64)


def _double(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return values.to_numpy().astype(np.float64)
