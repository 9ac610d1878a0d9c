"""Every engine that a log may be in, by its name in `source.toml`, and how a log is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.engines import (
    bigquery,
    clickhouse,
    duckdb,
    postgresql,
    redshift,
    snowflake,
    spark,
    trino,
)
from promotion_pipeline.rollups.engines.base import Engine, RequestSource
from promotion_pipeline.rollups.source_config import SourceConfig
from promotion_pipeline.store.database import Store

ENGINES: Mapping[str, Engine] = {
    module.ENGINE.name: module.ENGINE
    for module in (postgresql, duckdb, spark, clickhouse, bigquery, snowflake, trino, redshift)
}


def engine_of(config: SourceConfig) -> Engine:
    """The engine of a log whose configuration was checked."""
    return ENGINES[config.engine]


@contextlib.contextmanager
def open_source(config: SourceConfig, store: Store) -> Iterator[RequestSource]:
    """The log of `config`, closed afterwards; a PostgreSQL source without a url is in the database of `store`.

    Raises:
        ConfigError: the url is malformed.
        InputError: the engine is not run here; use `rollup_sql` and a client of your own.
        DependencyError: the engine is not installed (says which extra brings it) or cannot be reached.
    """
    engine = engine_of(config)
    if engine.open is None:
        raise InputError(
            f"{engine.name} is not run here: take the SQL of compiled_log and rollup_sql, run it with a client of your"
            " own and give read_source_rollups its rows"
        )
    with contextlib.closing(engine.open(config, store.url)) as source:
        yield source
