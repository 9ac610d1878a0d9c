"""Requests an hour against what is usual: an hour with far fewer says that logging or delivery is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from psycopg import sql

from promotion_pipeline.store.bulk import ids_filter, read_frame, time_literal
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


def hour_traffic(rollups: pd.DataFrame, started: Mapping[str, datetime], hour: datetime) -> dict[str, HourTraffic]:
    """The traffic of experiments in an hour.

    Args:
        rollups: rows of experiment_id, hour and requests, of `hour` and the same hours of the days before at least.
        started: start of the phase by experiment id.
    """
    hours = pd.DatetimeIndex([hour - timedelta(days=day) for day in range(DAYS + 1)]).as_unit("us")
    ids = list(started)
    own = rollups.loc[rollups["hour"].isin(hours), ["experiment_id", "hour", "requests"]]
    own = own.assign(experiment_id=own["experiment_id"].astype(str))
    counts = own.groupby(["experiment_id", "hour"])["requests"].sum().unstack()
    counts = counts.reindex(index=ids, columns=hours).fillna(0.0)
    begun = pd.DatetimeIndex([started[key] for key in ids]).as_unit("us")
    in_phase = hours[1:].to_numpy()[None, :] >= begun.to_numpy()[:, None]
    before = np.where(in_phase, counts.to_numpy()[:, 1:], np.nan)
    found = {}
    for key, now, days in zip(ids, counts[hours[0]], before, strict=True):
        # The newest day comes first. Zeros of the oldest days are left out: the experiment had no traffic yet.
        known = np.trim_zeros(days[~np.isnan(days)], "b")
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
    return hour_traffic(read_frame(connection, query), started, hour)


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
        rows = read_frame(connection, query)
    first = rows.drop_duplicates("experiment_id")
    started = dict(zip(first["experiment_id"], first["started_at"], strict=True))
    return {name: traffic for name, traffic in hour_traffic(rows, started, hour).items() if traffic.is_quiet}
