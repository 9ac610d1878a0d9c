"""Everything that the ledger needs done from time to time, in one call for every door that does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from promotion_pipeline.decisions.past_lifts import count_newly_ended, keep_ended
from promotion_pipeline.promotion.ledger.measure import LOOK_EVERY, Realised, due_measurements, measure_realised
from promotion_pipeline.store.database import Store

AT_ONCE = timedelta(0)
"""Look also at what was looked at less than a day ago."""


@dataclass(frozen=True)
class LedgerWork:
    """What was done."""

    measured: tuple[Realised, ...]
    """The promotions that were looked at."""
    kept: int
    """Treatments of ended experiments whose lifts are known from the next hour on."""


def keep_ledger(store: Store, *, every: timedelta = LOOK_EVERY) -> LedgerWork:
    """Measure what is due, and keep the lifts of experiments that ended. Idempotent; changes no traffic.

    Raises:
        DependencyError: the database is down. (A log that is down leaves what it is needed for as it was.)
    """
    return LedgerWork(measure_realised(store, every=every), keep_ended(store))


def is_ledger_due(store: Store) -> bool:
    """Whether `keep_ledger` would do anything now. Writes nothing.

    Raises:
        DependencyError: the database is down.
    """
    return bool(due_measurements(store)) or count_newly_ended(store) > 0
