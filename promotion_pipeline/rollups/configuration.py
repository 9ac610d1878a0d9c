"""Where a team's request log is and how its columns are called: a small file, checked as it is read.

    # source.toml, named by AUTO_PROMOTION_SOURCE
    engine = "duckdb"
    files = "s3://logs/requests/*/*.parquet"
    time = "epoch_milliseconds"

    [columns]
    created_at = "ts"
    experiment_name = "experiment"
    variant_name = "arm"
    latency_ms = ""            # the log has none

A column that is not listed is looked for under our own name.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator, model_validator

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError

OPTIONAL = ("is_error", "latency_ms", "user_id", "value")
"""Columns that a log may lack."""


class Engine(StrEnum):
    """What holds the requests; named by the SQL that it is asked in."""

    POSTGRESQL = "postgresql"
    """The product's own server, or another with `url`."""
    DUCKDB = "duckdb"
    """Parquet files, local or in S3, read by DuckDB in this process."""
    SPARK = "spark"
    """A table or Parquet files, by a Spark session or a Spark Connect server (`url`)."""
    CLICKHOUSE = "clickhouse"
    """A server over HTTP (`url`), or Parquet files read by chdb in this process."""
    BIGQUERY = "bigquery"
    """SQL only: run it with a client of your own."""
    SNOWFLAKE = "snowflake"
    """SQL only: run it with a client of your own."""
    TRINO = "trino"
    """SQL only: run it with a client of your own."""
    REDSHIFT = "redshift"
    """SQL only: run it with a client of your own."""


COMPILED_ONLY = frozenset({Engine.BIGQUERY, Engine.SNOWFLAKE, Engine.TRINO, Engine.REDSHIFT})


class TimeKind(StrEnum):
    """What `created_at` is in the log."""

    INSTANT = "instant"
    """A timestamp with a time zone, or one that the engine keeps as an instant."""
    UTC = "utc"
    """A timestamp without a time zone whose clock is UTC."""
    EPOCH_SECONDS = "epoch_seconds"
    """A whole number of seconds since 1970."""
    EPOCH_MILLISECONDS = "epoch_milliseconds"
    """A whole number of milliseconds since 1970."""
    EPOCH_MICROSECONDS = "epoch_microseconds"
    """A whole number of microseconds since 1970."""


class Columns(BaseModel):
    """Our names -> the log's names, as the engine stores them; empty: the log has no such column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    created_at: str = "created_at"
    experiment_id: str | None = None
    experiment_name: str | None = None
    """Instead of `experiment_id`, where the log names experiments."""
    variant_id: str | None = None
    variant_name: str | None = None
    """Instead of `variant_id`, where the log names variants."""
    converted: str = "converted"
    is_error: str | None = None
    """A flag: see `flags`; "never" says that there are no errors to see, none that they cannot be measured."""
    latency_ms: str | None = None
    user_id: str | None = None
    value: str | None = None

    @field_validator("*")
    @classmethod
    def _printable(cls, name: str | None) -> str | None:
        if name and not name.isprintable():
            raise ValueError("holds a character that no name can have")
        return name

    @model_validator(mode="after")
    def _one_key_each(self) -> Self:
        for thing in ("experiment", "variant"):
            if getattr(self, f"{thing}_id") and getattr(self, f"{thing}_name"):
                raise ValueError(f"{thing}_id and {thing}_name are both given: the log is joined by one of them")
        for needed in ("created_at", "converted"):
            if not getattr(self, needed):
                raise ValueError(f"{needed} cannot be missing: without it nothing can be decided")
        return self


class SourceConfig(BaseModel):
    """One request log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Engine
    url: SecretStr | None = None
    """PostgreSQL: postgresql://...; Spark: a master or sc://host; ClickHouse: http(s)://user:password@host:8123/database."""
    table: tuple[str, ...] = ("ai_requests",)
    """Name of the table, `schema.table` or a list of its parts, spelled as the engine stores it."""
    files: str | None = None
    """Path or glob of Parquet files, local or s3://; instead of a table."""
    columns: Columns = Columns()
    time: TimeKind = TimeKind.INSTANT
    users: bool = True
    """False: no user-level sums, and no user's name leaves the log."""

    @field_validator("table", mode="before")
    @classmethod
    def _parts(cls, table: object) -> object:
        return tuple(table.split(".")) if isinstance(table, str) else table

    @field_validator("table")
    @classmethod
    def _named(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        if not parts or not all(part and part.isprintable() for part in parts):
            raise ValueError(f"{'.'.join(parts)!r} is no table: write schema.table, or a list of the parts")
        return parts

    @model_validator(mode="after")
    def _place(self) -> Self:
        if self.engine is Engine.DUCKDB and not self.files:
            raise ValueError("duckdb reads Parquet files: set files to a path or glob")
        if self.engine is Engine.CLICKHOUSE and (self.files is None) == (self.url is None):
            raise ValueError("clickhouse needs either url (a server, http://host:8123) or files (Parquet)")
        if self.files and self.engine not in {Engine.DUCKDB, Engine.SPARK, Engine.CLICKHOUSE}:
            raise ValueError(f"{self.engine} reads a table: set table instead of files")
        if self.url and self.engine in COMPILED_ONLY | {Engine.DUCKDB}:
            raise ValueError(f"{self.engine} takes no url")
        return self


def load_source(settings: Settings) -> SourceConfig | None:
    """The log of `AUTO_PROMOTION_SOURCE`; None: requests are in `ai_requests` of the product's database.

    `AUTO_PROMOTION_SOURCE_URL` is the file's `url`, kept out of it for its password.

    Raises:
        ConfigError: the file is missing or malformed, or a name or value in it is wrong.
    """
    if settings.source is None:
        if settings.source_url is not None:
            raise ConfigError("AUTO_PROMOTION_SOURCE_URL is set but AUTO_PROMOTION_SOURCE names no file")
        return None
    values = read_file(settings.source)
    if settings.source_url is not None:
        values["url"] = settings.source_url
    files = values.get("files")
    if isinstance(files, str) and "://" not in files:
        values["files"] = str(settings.source.expanduser().absolute().parent / Path(files).expanduser())
    return parse_source(values, str(settings.source))


def read_file(path: Path) -> dict[str, Any]:
    """The values of a TOML file, or of a JSON file by its suffix.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        text = path.expanduser().read_text()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path} is malformed: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path} must hold an object, not {type(values).__name__}")
    return values


def parse_source(values: Mapping[str, Any], where: str = "source") -> SourceConfig:
    """Check the values of a source.

    Raises:
        ConfigError: a name is unknown (with a suggestion) or a value wrong; never quotes the url.
    """
    _require_known(values, SourceConfig, where)
    if isinstance(values.get("columns"), Mapping):
        _require_known(values["columns"], Columns, f"{where}: columns")
    try:
        return SourceConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(item, where) for item in error.errors())) from None


def _require_known(values: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    for name in values:
        if name not in model.model_fields:
            close = difflib.get_close_matches(str(name), model.model_fields, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(model.model_fields)}"
            raise ConfigError(f"{where}: unknown name {name!r}; {hint}")


def _sentence(item: Any, where: str) -> str:
    name = ".".join(str(part) for part in item["loc"])
    quoted = f"={item['input']!r}" if name and name != "url" and not isinstance(item["input"], Mapping) else ""
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {name}{quoted}: {text}" if name else f"{where}: {text}"
