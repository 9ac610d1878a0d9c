"""How much traffic an experiment gets at present: what forecasts are made with."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from promotion_pipeline.store.windows import HOUR

PRESENT = timedelta(hours=24)
"""A whole day, so that the hour of the day does not count."""


def present_traffic(rollups: pd.DataFrame, experiments: pd.DataFrame, as_of: datetime) -> dict[str, float]:
    """Requests an hour of each variant in the day before `as_of`, or since the phase's start where that is younger.

    Args:
        rollups: hourly, of one phase an experiment.
        experiments: as `evaluate` takes them. Variants of a phase that has not begun are left out.
    """
    # Arrays instead of a groupby: a check of one experiment is a matter of milliseconds.
    recent = np.asarray(rollups["hour"] >= as_of - PRESENT)
    seen, names = pd.factorize(rollups["variant_id"].array[recent])
    requests = np.bincount(seen, weights=rollups["requests"].to_numpy()[recent], minlength=len(names))
    by_variant = dict(zip(map(str, names), requests.tolist(), strict=True))
    traffic = {}
    for variant, started in zip(experiments["variant_id"], experiments["started_at"], strict=True):
        hours = min(as_of - started, PRESENT) / HOUR
        if hours > 0:
            traffic[str(variant)] = by_variant.get(str(variant), 0.0) / hours
    return traffic
