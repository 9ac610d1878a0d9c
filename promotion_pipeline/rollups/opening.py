"""From the settings to the log of the requests, whichever it is: the one place that knows them all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from promotion_pipeline.config import Settings
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.engine_log import EngineLog
from promotion_pipeline.rollups.engines.registry import open_source
from promotion_pipeline.rollups.log import TABLE, RequestLog
from promotion_pipeline.rollups.table_log import TableLog
from promotion_pipeline.store.database import Store


@contextlib.contextmanager
def open_log(store: Store) -> Iterator[RequestLog]:
    """The log of `store`: its table `ai_requests`, or what `AUTO_PROMOTION_SOURCE` names; closed afterwards.

    Raises:
        ConfigError: the configuration of the log is wrong.
        InputError: the engine is not run here.
        DependencyError: the engine is not installed or cannot be reached.
    """
    config = load_source(store.settings)
    if config is None:
        yield TableLog(store)
        return
    with open_source(config, store) as source:
        yield EngineLog(store, source)


def log_name(settings: Settings) -> str:
    """What messages call the log; nothing is asked.

    Raises:
        ConfigError: the configuration of the log is wrong.
    """
    config = load_source(settings)
    return TABLE if config is None else config.place
