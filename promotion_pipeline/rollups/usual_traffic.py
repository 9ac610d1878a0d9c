"""Requests an hour against what is usual: an hour with far fewer says that logging or delivery is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from promotion_pipeline.evaluation.hours import HOUR_US
from promotion_pipeline.evaluation.tables import Ints, Words
from promotion_pipeline.store.arrays import coded, numbers, objects, times_us, us_of
from promotion_pipeline.store.bulk import ids_filter, read_table, time_literal
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)

DAYS = 7
"""Days before, whose same hour of the day says what is usual."""
FEWEST_DAYS = 3
USUAL_AT_LEAST = 50
"""Fewer requests an hour vary by themselves."""
QUIET_SHARE = 0.2


@dataclass(frozen=True)
class HourTraffic:
    """An experiment's requests in one hour."""

    requests: int
    usual: float | None
    """Median of the same hour of the day on the days before, in the phase; None: too few days or requests to say."""

    @property
    def is_quiet(self) -> bool:
        """Whether there are far fewer than usual."""
        return self.usual is not None and self.requests < QUIET_SHARE * self.usual

    @property
    def sentence(self) -> str:
        """Both numbers in words."""
        usual = 0.0 if self.usual is None else self.usual
        return (
            f"the newest hour has {self.requests:,} requests, usual at this hour of the day are {usual:,.0f}:"
            " some may be missing"
        )


def hour_traffic(
    ids: Words, hour_us: Ints, requests: NDArray[Any], started: Mapping[str, datetime], hour: datetime
) -> dict[str, HourTraffic]:
    """The traffic of experiments in an hour.

    Args:
        ids: experiment ids of rows; with `hour_us` (microseconds of UTC) and `requests`, of `hour` and the same hours
            of the days before at least.
        started: start of the phase by experiment id.
    """
    keys = list(started)
    days, rest = np.divmod(us_of(hour) - hour_us, 24 * HOUR_US)
    place = ids.places_in(objects(keys))
    mine = (rest == 0) & (days >= 0) & (days <= DAYS) & (place >= 0)
    cell = place[mine] * (DAYS + 1) + days[mine]
    counts = np.bincount(cell, weights=requests[mine], minlength=len(keys) * (DAYS + 1)).reshape(-1, DAYS + 1)
    begun_us = np.array([us_of(at) for at in started.values()], dtype=np.int64)
    hours_us = us_of(hour) - np.arange(1, DAYS + 1) * 24 * HOUR_US
    before = np.where(hours_us >= begun_us[:, None], counts[:, 1:], np.nan)
    found = {}
    for key, now, past in zip(keys, counts[:, 0], before, strict=True):
        # The newest day comes first. Zeros of the oldest days are left out: the experiment had no traffic yet.
        known = np.trim_zeros(past[~np.isnan(past)], "b")
        usual = float(np.median(known)) if len(known) >= FEWEST_DAYS else 0.0
        found[key] = HourTraffic(int(now), usual if usual >= USUAL_AT_LEAST else None)
    return found


def traffic_of(connection: Connection, started: Mapping[str, datetime], hour: datetime) -> dict[str, HourTraffic]:
    """The traffic of a few experiments in an hour, from the stored rollups.

    Args:
        started: start of the phase by experiment id.
    """
    query = sql.SQL(
        "SELECT experiment_id::text AS experiment_id, hour, sum(requests)::bigint AS requests"
        " FROM hourly_variant_rollups WHERE {wanted}"
        " AND hour = ANY(ARRAY(SELECT generate_series({first}, {hour}, '1 day'))) GROUP BY 1, 2"
    ).format(
        wanted=ids_filter(sql.SQL("experiment_id"), list(started)),
        first=time_literal(hour - timedelta(days=DAYS)),
        hour=time_literal(hour),
    )
    return _traffic(read_table(connection, query), started, hour)


def quiet_experiments(store: Store, at: datetime) -> dict[str, HourTraffic]:
    """The experiments running at `at` whose last hour before it has far fewer requests than usual, by name.

    Imported ones are left out.

    Raises:
        InputError: `at` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, at)
    hour = at - HOUR
    query = _SQL["quiet_suspects"].format(
        first=time_literal(hour - timedelta(days=DAYS)),
        hour=time_literal(hour),
        at=time_literal(at),
        share=sql.Literal(QUIET_SHARE),
    )
    with store.connect() as connection:
        # Read over the open connection: for few rows another one for bulk frames would cost more.
        rows = read_table(connection, query)
    started: dict[str, datetime] = {}
    for name, since in zip(rows["experiment_id"].to_pylist(), rows["started_at"].to_pylist(), strict=True):
        started.setdefault(name, since)
    return {name: traffic for name, traffic in _traffic(rows, started, hour).items() if traffic.is_quiet}


def _traffic(rows: pa.Table, started: Mapping[str, datetime], hour: datetime) -> dict[str, HourTraffic]:
    ids = Words(*coded(rows["experiment_id"]))
    return hour_traffic(ids, times_us(rows["hour"]), numbers(rows["requests"]), started, hour)
