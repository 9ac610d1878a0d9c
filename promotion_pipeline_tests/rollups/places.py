"""The places where a request log can be, each holding the same requests: what the port's tests run over."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import pandas as pd
import pyarrow as pa
import pytest
from psycopg import sql

from promotion_pipeline.store.bulk import copy_typed, identifiers, read_frame
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.engines.logs import POSTGRESQL_TYPES

PLACES = ("own table", "another PostgreSQL", "DuckDB", "Spark", "chdb")


def each(*names: str) -> list[Any]:
    """These places; Spark, which takes seconds for each test, only by `pytest -m every_engine`.

    For tests whose behaviour is the port's and not an engine's.
    """
    return [pytest.param(name, marks=pytest.mark.every_engine) if name == "Spark" else name for name in names]


ENGINES = {"another PostgreSQL": "postgresql", "DuckDB": "duckdb", "Spark": "spark", "chdb": "clickhouse"}
parquet: Any = importlib.import_module("pyarrow.parquet")
_COLUMNS = sql.SQL(
    "experiment_id::text, variant_id::text, user_id, created_at, latency_ms::float8, is_error, converted, value::float8"
)
_TYPES = {"bool": "boolean", "int64": "bigint", "str": "text", "object": "text"}
_SCHEMA = pa.schema(
    [
        ("experiment_id", pa.string()),
        ("variant_id", pa.string()),
        ("user_id", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("latency_ms", pa.float64()),
        ("is_error", pa.bool_()),
        ("converted", pa.bool_()),
        ("value", pa.float64()),
    ]
)


@dataclass
class Place:
    """A log that a test fills and spoils."""

    name: str
    store: Store
    """The product's store, configured for this log."""
    folder: Path
    log_url: str
    table: str
    spoiled: list[Path] = field(default_factory=list)

    @property
    def is_files(self) -> bool:
        """Whether the log is Parquet files."""
        return self.name in {"DuckDB", "Spark", "chdb"}

    @property
    def shown(self) -> str:
        """What every message about this log must name."""
        if self.name == "own table":
            return "ai_requests"
        return str(self.folder) if self.is_files else self.table

    def move_requests(
        self, drop: Sequence[str] = (), add: Mapping[str, Callable[[pd.DataFrame], Any]] | None = None
    ) -> None:
        """Take what is in `ai_requests` and put it where this log is, beside what is there.

        `add` makes columns of the rows, before those of `drop` go.
        """
        if self.name == "own table":
            return
        rows = read_frame(self.store, sql.SQL("SELECT {} FROM ai_requests ORDER BY created_at, id").format(_COLUMNS))
        with self.store.connect() as connection:
            connection.execute("TRUNCATE ai_requests")
        self.put(rows.assign(**(add or {})).drop(columns=list(drop)))

    def put(self, rows: pd.DataFrame) -> None:
        """Add requests; of files, one for every hour."""
        if self.is_files:
            for hour, of_hour in rows.groupby(rows["created_at"].dt.floor("h")):
                known = [field for field in _SCHEMA if field.name in rows.columns]
                new = [
                    field
                    for field in pa.Schema.from_pandas(of_hour, preserve_index=False)
                    if field.name not in _SCHEMA.names
                ]
                table = pa.Table.from_pandas(of_hour, schema=pa.schema([*known, *new]), preserve_index=False)
                parquet.write_table(table, self.file_of(pd.Timestamp(hour).to_pydatetime()))
            return
        table = sql.Identifier(self.table)
        types = {name: POSTGRESQL_TYPES.get(name) or _TYPES[str(rows[name].dtype)] for name in rows.columns}
        names = identifiers(types)
        with connect(self.log_url) as connection, connection.transaction():
            copy_typed(connection, rows, "incoming", types, "the log")
            if self.name != "own table":
                connection.execute(
                    sql.SQL("CREATE TABLE IF NOT EXISTS {} AS TABLE incoming WITH NO DATA").format(table)
                )
            connection.execute(sql.SQL("INSERT INTO {} ({}) SELECT {} FROM incoming").format(table, names, names))

    def file_of(self, hour: datetime) -> Path:
        """The next file for an hour."""
        stem = hour.astimezone(UTC).strftime("%Y-%m-%dT%H")
        return self.folder / f"{stem}-{len(list(self.folder.glob(f'{stem}-*')))}.parquet"

    def execute(self, statement: LiteralString) -> None:
        """Run SQL on the log's table, which is {}."""
        with connect(self.log_url) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.table)))

    def lose(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Remove all requests of [start, end); returns them."""
        if self.is_files:
            found = []
            for path in sorted(self.folder.glob("*.parquet")):
                hour = datetime.strptime(path.name[:13], "%Y-%m-%dT%H").replace(tzinfo=UTC)
                if start <= hour < end:
                    found.append(parquet.read_table(path).to_pandas())
                    path.unlink()
            together: pd.DataFrame = pd.concat(found, ignore_index=True)
            return together
        condition = sql.SQL("{} WHERE created_at >= {} AND created_at < {}").format(
            sql.Identifier(self.table), sql.Literal(start), sql.Literal(end)
        )
        with connect(self.log_url) as connection:
            rows = read_frame(connection, sql.SQL("SELECT {} FROM {}").format(_COLUMNS, condition))
            connection.execute(sql.SQL("DELETE FROM {}").format(condition))
        return rows


def place(name: str, store: Store, folder: Path, log_url: str, **more: object) -> Place:
    """A place called `name`, empty; `more` goes into the mapping file."""
    if name == "own table":
        return Place(name, store, folder, store.url, "ai_requests")
    table = f"log_{store.url.rpartition('/')[2].partition('?')[0]}"
    files = folder / "requests"
    files.mkdir(exist_ok=True)
    values: dict[str, object] = {"engine": ENGINES[name], **more}
    if name == "another PostgreSQL":
        values |= {"table": [table], "url": log_url}
    else:
        values["files"] = "requests/*.parquet"
    source = folder / "source.json"
    source.write_text(json.dumps(values))
    configured = Store(store.url, store.settings.model_copy(update={"source": source}))
    return Place(name, configured, files, log_url, table)


def with_mapping(where: Place, **more: object) -> Place:
    """The same log, mapped otherwise."""
    source = where.store.settings.source
    assert source is not None
    source.write_text(json.dumps(json.loads(source.read_text()) | more))
    return replace(where)
