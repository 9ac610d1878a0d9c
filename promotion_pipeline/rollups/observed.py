"""What the log and the experiments hold as a whole, at the price of an index: nothing here counts a large table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.engines.registry import engine_of
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


@dataclass(frozen=True)
class ObservedLog:
    """What the log holds."""

    newest: datetime | None
    """The time of its newest row; None: it has none."""
    rows_estimate: int | None
    """As the database's statistics have it; None: nothing keeps count."""


@dataclass(frozen=True)
class ObservedExperiments:
    """What the experiments' table holds."""

    rows: int
    running: int
    newest: datetime | None
    """The newest start; None: there is no experiment."""


def observed_log(store: Store) -> ObservedLog:
    """What the log says of itself. Of an engine that is slow to open, the newest request that was rolled up.

    Raises:
        ConfigError: the configuration of the log is wrong.
        InputError: the engine is not run here.
        DependencyError: the database or the log cannot be reached.
    """
    config = load_source(store.settings)
    if config is not None and engine_of(config).is_slow_to_open:
        (row,) = store.rows(_SQL["newest_rolled_up"], {})
        return ObservedLog(row["newest"], None)
    with open_log(store) as log:
        return ObservedLog(log.newest_request(), log.rows_estimate())


def observed_experiments(store: Store) -> ObservedExperiments:
    """What there is to decide on.

    Raises:
        DependencyError: the database cannot be reached.
    """
    (row,) = store.rows(_SQL["experiments"], {})
    return ObservedExperiments(**row)
