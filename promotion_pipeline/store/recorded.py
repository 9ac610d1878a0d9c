"""How the decisions of record turned out, hour by hour."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.store.bulk import HOUR
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.labels import record_label


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
