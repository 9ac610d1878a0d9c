"""How the decisions of record turned out, hour by hour, and which hours a run has to take yet."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR, require_hours

_SQL = statements(__file__)
_FIRST_UNDECIDED_HOUR = _SQL["first_undecided_hour"].format(undecided=_SQL["undecided"])
_UNDECIDED_EXPERIMENTS = _SQL["undecided_experiments"].format(undecided=_SQL["undecided"])


def recorded_counts(store: Store, start: datetime, end: datetime) -> pd.DataFrame:
    """A row an hour of [start, end) with the columns of `WindowResult.hours`, about the decisions of record.

    Raises:
        DependencyError: the database cannot be reached.
    """
    verdicts = ", ".join(
        f"count(*) FILTER (WHERE verdict = '{verdict.value}') AS {verdict.value}" for verdict in Verdict
    )
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT hour, count(*) AS experiments, count(*) FILTER (WHERE is_promotable) AS promotable,"
            f" count(*) FILTER (WHERE is_eligible AND NOT is_promotable) AS waiting, {verdicts}"
            " FROM eligibility_decisions WHERE label = %s AND hour >= %s AND hour < %s GROUP BY hour",
            [record_label(store.settings), start, end],
        ).fetchall()
    hours = pd.date_range(start, end - HOUR, freq="h", tz="UTC")
    columns = ["experiments", "promotable", "waiting", *(verdict.value for verdict in Verdict)]
    found = {pd.Timestamp(row["hour"]).tz_convert("UTC"): row for row in rows}
    counts = [[int(found[hour][name]) if hour in found else 0 for name in columns] for hour in hours]
    return pd.DataFrame(counts, index=hours, columns=columns)


def first_unfinished_hour(store: Store, start: datetime, end: datetime) -> datetime | None:
    """The first hour in [start, end) that a run has to take: not decided, or decided by a sweep and not measured.

    A sweep keeps its decisions and nothing else: the run brings sums, metrics and checks.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        DependencyError: the database cannot be reached.
    """
    undecided = first_undecided_hour(store, start, end)
    with store.connect() as connection:
        row = connection.execute(
            "SELECT min(decided.hour) AS hour FROM eligibility_decisions AS decided"
            " WHERE decided.hour >= %s AND decided.hour < %s AND decided.label = %s AND decided.made_by = %s"
            " AND NOT EXISTS (SELECT 1 FROM variant_metrics AS measured WHERE measured.hour = decided.hour)",
            [start, end, record_label(store.settings), MadeBy.SWEEP.value],
        ).fetchone()
    assert row is not None
    found = [hour for hour in (undecided, row["hour"]) if hour is not None]
    return min(found, default=None)


def first_undecided_hour(store: Store, start: datetime, end: datetime) -> datetime | None:
    """The first hour in [start, end) at whose end an experiment was running that has no decision of record.

    None: every hour is decided. An experiment without variants is never decided, and nobody waits for it.

    Raises:
        InputError: the window is naive, empty or not of whole hours.
        DependencyError: the database cannot be reached.
    """
    require_hours(start, end)
    window = {"start": start, "last": end - HOUR, "label": record_label(store.settings)}
    with store.connect() as connection:
        row = connection.execute(_FIRST_UNDECIDED_HOUR, window).fetchone()
    return None if row is None else row["hour"]


def undecided_experiments(store: Store, hour: datetime) -> list[str]:
    """The experiments that were running at the end of an hour and have no decision of record about it, by name.

    Raises:
        DependencyError: the database cannot be reached.
    """
    asked = {"hour": hour, "label": record_label(store.settings)}
    with store.connect() as connection:
        return [row["name"] for row in connection.execute(_UNDECIDED_EXPERIMENTS, asked)]
