"""Small frames for the evaluation's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

START = pd.Timestamp("2026-01-01T00:00:00Z")


def experiment(
    name: str = "button",
    arms: Sequence[str] = ("control", "variant-a"),
    *,
    split: Sequence[float] | None = None,
    started_at: pd.Timestamp = START,
    **columns: Any,
) -> pd.DataFrame:
    """One experiment whose first arm is control; extra keywords are columns of every row."""
    shares = split or [100 / len(arms)] * len(arms)
    return pd.DataFrame(
        {
            "experiment_id": name,
            "name": name,
            "variant_id": [f"{name}/{arm}" for arm in arms],
            "variant_name": list(arms),
            "is_control": [position == 0 for position in range(len(arms))],
            "traffic_percentage": shares,
            "started_at": started_at,
            **columns,
        }
    )


def sums(
    counts: Mapping[str, tuple[float, float]],
    *,
    name: str = "button",
    errors: float = 0,
    latency_ms: Mapping[str, float] | None = None,
    start: pd.Timestamp = START,
    hours: int = 72,
    **columns: Any,
) -> pd.DataFrame:
    """Rollups of one experiment: (requests, conversions) of each arm, all in the first of `hours` hours.

    The other hours carry zeros, so that decisions exist for each of them.
    """
    rows = []
    for arm, (requests, conversions) in counts.items():
        for hour in range(hours):
            here = hour == 0
            rows.append(
                {
                    "experiment_id": name,
                    "variant_id": f"{name}/{arm}",
                    "hour": start + pd.Timedelta(hours=hour),
                    "requests": requests if here else 0,
                    "conversions": conversions if here else 0,
                    "errors": errors if here else 0,
                    "latency_ms_sum": (latency_ms or {}).get(arm, 100.0) * requests if here else 0.0,
                    **columns,
                }
            )
    return pd.DataFrame(rows)


def last(frame: pd.DataFrame, name: str = "button") -> pd.Series:
    """The decision (or first row) of an experiment at its newest hour."""
    own = frame[frame["experiment_id"] == name]
    row: pd.Series = own[own["hour"] == own["hour"].max()].iloc[0]
    return row
