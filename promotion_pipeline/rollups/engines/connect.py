"""From the configuration to a source that can be asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import assert_never

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.configuration import Engine, SourceConfig
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.store.database import Store


@contextlib.contextmanager
def open_source(config: SourceConfig, store: Store) -> Iterator[RequestSource]:
    """The log of `config`, closed afterwards; a PostgreSQL source without a url is in the database of `store`.

    Raises:
        ConfigError: the url is malformed.
        InputError: the engine is not run here; use `rollup_sql` and a client of your own.
        DependencyError: the engine is not installed (says which extra brings it) or cannot be reached.
    """
    source = _source(config, store)
    try:
        yield source
    finally:
        source.close()


def _source(config: SourceConfig, store: Store) -> RequestSource:
    match config.engine:
        case Engine.POSTGRESQL:
            from promotion_pipeline.rollups.engines.postgresql import PostgresqlSource

            return PostgresqlSource(config, store.url)
        case Engine.DUCKDB:
            from promotion_pipeline.rollups.engines.duckdb import DuckdbSource

            return DuckdbSource(config)
        case Engine.SPARK:
            from promotion_pipeline.rollups.engines.spark import SparkSource

            return SparkSource(config)
        case Engine.CLICKHOUSE:
            from promotion_pipeline.rollups.engines.clickhouse import ChdbSource, ClickhouseServer

            return ClickhouseServer(config) if config.url else ChdbSource(config)
        case Engine.BIGQUERY | Engine.SNOWFLAKE | Engine.TRINO | Engine.REDSHIFT:
            raise InputError(
                f"{config.engine} is not run here: take the SQL of compiled_log and rollup_sql, run it with a client"
                " of your own and give read_source_rollups its rows"
            )
    assert_never(config.engine)
