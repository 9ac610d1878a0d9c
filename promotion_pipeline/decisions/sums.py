"""The hourly sums brought up to date: what the hourly run and every backfill do before anything is decided."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from promotion_pipeline.decisions.beginning import steps, tell_of_large
from promotion_pipeline.decisions.blocks import Tell
from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.rollups.conservation import hour_counts
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.log import added_up
from promotion_pipeline.rollups.postgresql.days import drop_old_days, ensure_days_ahead
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.database import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SumsResult:
    """What `bring_sums_up_to_date` did and found."""

    hours: pd.DataFrame
    """What each hour holds now, by hour: as `hour_counts` counts them."""
    changed_rows: int
    """Rollup rows that were added, changed or removed."""
    requests: int
    """Requests that were read."""
    unusable_numbers: int
    """Latencies and values that no sum can hold."""
    seconds: float
    max_staleness_hours: float
    """Of the experiment whose newest request is the oldest; 0 where none is running."""


def bring_sums_up_to_date(store: Store, start: datetime, end: datetime, *, tell: Tell = log.warning) -> SumsResult:
    """Sum up the hours in [start, end) and whatever of the hours before them changed, and keep the tables fit for it.

    The hours of the look-back before `start` are read again whole; those before them where something came into one. A
    window of more than `LARGE_HOURS` goes in steps of so many, each in transactions of its own.

    Args:
        tell: called with a line about an experiment that is measured anew, and about numbers that cannot be used; first
            with the size of a large window.

    Raises:
        InputError: the window is naive, not of whole hours, or ends after the newest complete hour.
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database or the engine of the log cannot be reached.
    """
    started = time.perf_counter()
    reread_from = start - timedelta(hours=store.settings.lookback_hours)
    for name in note_unnoted(store):
        tell(f"{name}: changed past the database's triggers; measured anew from now on")
    tell_of_large(store, start, end, None, tell)
    done = added_up([roll_up(store, first, last) for first, last in steps(reread_from, end)])
    for unusable in done.unusable:
        tell(unusable.sentence)
    caught_up = catch_up(store, reread_from)
    for said in dict.fromkeys((*done.told, *caught_up.told)):
        tell(said)
    refresh_totals(store, end)
    ensure_days_ahead(store)
    if store.settings.keep_requests_days is not None:
        drop_old_days(store, store.settings.keep_requests_days)
    seconds = time.perf_counter() - started
    return SumsResult(
        hours=pd.DataFrame(hour_counts(store, start, end)).set_index("hour"),
        changed_rows=done.changed_rows + caught_up.changed_rows,
        requests=done.requests + caught_up.requests,
        unusable_numbers=sum(unusable.latencies + unusable.values for unusable in done.unusable),
        seconds=seconds,
        max_staleness_hours=max((row.staleness_hours for row in freshness(store, end)), default=0.0),
    )
