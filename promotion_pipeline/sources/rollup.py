"""The hourly rollup pushed down to where the requests are; only sums come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.sources.arms import read_phases
from promotion_pipeline.sources.configuration import SourceConfig
from promotion_pipeline.sources.dialects import DIALECTS
from promotion_pipeline.sources.engines.base import RequestSource
from promotion_pipeline.sources.layout import assumed
from promotion_pipeline.sources.template import (
    COUNTS,
    SUMS,
    USER_COUNTS,
    USER_SUMS,
    Log,
    requests_by_hour_sql,
    rollup_sql,
)
from promotion_pipeline.store.bulk import HOUR, identifiers, ids_filter, read_frame, require_hours, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.coverage import SeenPhase, restate, seen_phases
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.frames import replace_rollups
from promotion_pipeline.store.rollup import IDS, ROLLUP_COLUMNS, RollupResult

Runner: TypeAlias = Callable[[str], pa.Table | pd.DataFrame]
"""Runs a query and gives back its rows: a client of an engine that this package does not connect to."""

KEYS = ["hour", "phase_id", "variant_id"]


def compiled_log(config: SourceConfig) -> Log:
    """A log that is not looked at: for the SQL of an engine that is not run here.

    Every column that is not mapped to "" is taken to be there: ids as text, flags as booleans.

    Raises:
        ConfigError: a column that is needed is mapped to "".
        InputError: a name cannot be one of the engine's.
    """
    dialect = DIALECTS[config.engine]
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
    rows = source.run(requests_by_hour_sql(source.log, start, end)).to_pandas()
    return pd.Series(_whole(rows["requests"]), index=_hours(rows["hour_number"]))


def _read(
    source: RequestSource | Log,
    phases: pd.DataFrame,
    start: datetime,
    end: datetime,
    run: Runner | None = None,
    *,
    known_only: bool = False,
) -> tuple[pd.DataFrame, pd.Series[int]]:
    """The rollups, and the requests of no known arm by hour."""
    require_hours(start, end)
    log = source.log if isinstance(source, RequestSource) else source
    if run is None:
        if not isinstance(source, RequestSource):
            raise InputError("this engine is not run here: pass run, which takes the SQL and gives back its rows")
        run = source.run
    arms = phases.reset_index(drop=True).sort_values(["phase_id", "variant_id"], ignore_index=True)
    rows = run(rollup_sql(log, arms, start, end, known_only=known_only))
    return _frame(rows, arms)


def _frame(rows: pa.Table | pd.DataFrame, arms: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[int]]:
    given: pd.DataFrame = rows.to_pandas() if isinstance(rows, pa.Table) else rows
    given = given.rename(columns=str.lower)
    arm = given["arm"].astype("float64").fillna(-1).to_numpy().astype(np.int64)
    hour = _hours(given["hour_number"])
    strangers = pd.Series(_whole(given["requests"]), index=hour)[arm < 0].groupby(level=0).sum()
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
    return frame[list(ROLLUP_COLUMNS)], strangers


def _hours(numbers: pd.Series[Any]) -> pd.DatetimeIndex:
    return pd.to_datetime(_whole(numbers) * 3600, unit="s", utc=True).as_unit("us")


def _whole(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return values.to_numpy().astype(np.int64)


def _double(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return values.to_numpy().astype(np.float64)


def rollup_from_source(
    store: Store,
    source: RequestSource,
    start: datetime,
    end: datetime,
    experiment_ids: Sequence[str] | None = None,
) -> RollupResult:
    """Bring the rollups of [start, end) in line with the log, and mark its hours as rolled up.

    Where requests came late into hours that were rolled up before, later hours of their phases are read again too: a
    late request changes its user's totals in each of them. Rows that came before `start` since their hours were
    rolled up are not counted until a window reaches them.

    Args:
        experiment_ids: bring the rollups of these alone in line; no hour is marked then.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
            UUID.
        ConfigError: a column of the log is missing or of another type than it must be.
        DependencyError: the database or the engine cannot be reached, or the engine refuses the query.
    """
    require_hours(start, end)
    with store.connect() as connection:
        newest = newest_complete_hour(connection)
    if end > newest:
        raise InputError(
            f"the window ends at {end.isoformat()}, after the newest complete hour, which ends at"
            f" {newest.isoformat()}: later requests would be lost"
        )
    if experiment_ids is not None:
        return _rollup_of(store, source, start, end, experiment_ids)
    seen = _seen(store, start, end)
    frame, strangers = _read(source, read_phases(store, start, end), start, end)
    changed = _changed(store, frame, start, end)
    if source.log.with_users and (last := _last_to_repair(store, changed, end)) > end:
        seen = _seen(store, start, last)
        frame, strangers = _read(source, read_phases(store, start, last), start, last)
        changed, end = _changed(store, frame, start, last), last
    rows = replace_rollups(store, frame, start, end, seen=seen)
    _note_strangers(store, strangers, start, end)
    unassigned = int(strangers.sum())
    return RollupResult(
        rows=rows,
        requests=int(frame["requests"].sum()) + unassigned,
        unassigned_requests=unassigned,
        changed_rows=len(changed),
    )


def _rollup_of(
    store: Store, source: RequestSource, start: datetime, end: datetime, experiment_ids: Sequence[str]
) -> RollupResult:
    """Some experiments' rollups from `start` to their newest stored hour: later user-level sums may change too."""
    end = max(end, _newest_stored(store, experiment_ids) or end)
    seen = _seen(store, start, end, experiment_ids)
    phases = read_phases(store, start, end, experiment_ids)
    frame, _ = _read(source, phases, start, end, known_only=True)
    changed = _changed(store, frame, start, end, experiment_ids)
    before = _requests_by_hour(store, start, end, experiment_ids)
    rows = replace_rollups(store, frame, start, end, experiment_ids=experiment_ids, seen=seen)
    delta = frame.groupby("hour")["requests"].sum().sub(before, fill_value=0).astype("int64")
    if len(delta := delta[delta != 0]):
        counted = requests_by_hour(source, delta.index.min().to_pydatetime(), delta.index.max().to_pydatetime() + HOUR)
        with store.connect() as connection:
            restate(connection, delta, counted.reindex(delta.index, fill_value=0))
    return RollupResult(rows, int(frame["requests"].sum()), 0, len(changed))


def _seen(
    store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> Sequence[SeenPhase]:
    with store.connect() as connection:
        return seen_phases(connection, start, end, experiment_ids)


def _newest_stored(store: Store, experiment_ids: Sequence[str]) -> datetime | None:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT max((SELECT max(hour) FROM hourly_variant_rollups WHERE experiment_id = wanted.id)) AS hour"
            " FROM unnest(%s::uuid[]) AS wanted(id)",
            (list(experiment_ids),),
        ).fetchone()
    assert row is not None
    return None if row["hour"] is None else row["hour"] + HOUR


def _requests_by_hour(store: Store, start: datetime, end: datetime, experiment_ids: Sequence[str]) -> pd.Series[int]:
    """The requests of the stored rollups of some experiments."""
    stored = read_frame(
        store,
        sql.SQL(
            "SELECT hour, sum(requests)::bigint AS requests FROM hourly_variant_rollups"
            " WHERE hour >= {} AND hour < {} AND {} GROUP BY hour"
        ).format(time_literal(start), time_literal(end), ids_filter(sql.SQL("experiment_id"), experiment_ids)),
    )
    return stored.set_index("hour")["requests"]


def _changed(
    store: Store, frame: pd.DataFrame, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """The KEYS of the rows of [start, end) that are not as stored, and whether their hour was rolled up before."""
    exact, close = (*COUNTS, *USER_COUNTS), (*SUMS, *USER_SUMS)
    stored = read_frame(
        store,
        sql.SQL(
            """
            SELECT rollup.hour, rollup.phase_id::text, rollup.variant_id::text, {columns}
            FROM hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment ON experiment.id = experiment_id
            WHERE experiment.rollup_source = 'requests' AND hour >= {start} AND hour < {end} AND {wanted}
            """
        ).format(
            columns=identifiers((*exact, *close), "rollup"),
            start=time_literal(start),
            end=time_literal(end),
            wanted=ids_filter(sql.SQL("experiment.id"), experiment_ids),
        ),
    ).set_index(KEYS)
    fresh = frame.astype({"phase_id": "str", "variant_id": "str"}).set_index(KEYS)
    before, after = stored.align(fresh[stored.columns], join="outer")
    moved = before.isna().any(axis=1) | after.isna().any(axis=1)
    moved |= (before[list(exact)] != after[list(exact)]).any(axis=1)
    # The order of an addition moves the last bits of a sum: that is no change.
    near = np.isclose(before[list(close)].to_numpy(), after[list(close)].to_numpy(), rtol=1e-9, atol=1e-9)
    moved |= pd.Series(~near.all(axis=1), index=moved.index)
    rolled = read_frame(
        store,
        sql.SQL("SELECT hour FROM rollup_hours WHERE hour >= {} AND hour < {}").format(
            time_literal(start), time_literal(end)
        ),
    )["hour"]
    keys = moved.index[moved].to_frame(index=False)
    return keys.assign(was_rolled_up=keys["hour"].isin(rolled))


def _last_to_repair(store: Store, changed: pd.DataFrame, end: datetime) -> datetime:
    """The end of the newest stored hour of the phases whose rolled-up hours have changed; `end` if none is later."""
    phases = [str(phase) for phase in changed.loc[changed["was_rolled_up"], "phase_id"].unique()]
    with store.connect() as connection:
        row = connection.execute(
            "SELECT max(hour) AS hour FROM hourly_variant_rollups WHERE hour >= %s AND phase_id = ANY(%s::uuid[])",
            (end, phases),
        ).fetchone()
    assert row is not None
    return end if row["hour"] is None else row["hour"] + HOUR


def _note_strangers(store: Store, strangers: pd.Series[int], start: datetime, end: datetime) -> None:
    """Add the requests of no known arm to what the hours were marked with."""
    with store.connect() as connection:
        connection.execute(
            """
            UPDATE rollup_hours SET requests = rollup_hours.requests + coalesce(strangers.requests, 0),
                unassigned_requests = coalesce(strangers.requests, 0)
            FROM rollup_hours AS marked
            LEFT JOIN unnest(%s::timestamptz[], %s::bigint[]) AS strangers (hour, requests)
                ON strangers.hour = marked.hour
            WHERE marked.hour = rollup_hours.hour AND marked.hour >= %s AND marked.hour < %s
            """,
            (list(strangers.index), [int(value) for value in strangers], start, end),
        )
