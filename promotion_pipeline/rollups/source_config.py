"""What a team says about its request log: the values of `source.toml`, whatever the engine."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

OPTIONAL = ("is_error", "latency_ms", "user_id", "value")
"""Columns that a log may lack."""


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

    engine: str
    """A name of `engines.registry`."""
    url: SecretStr | None = None
    """Where the engine is, in a form of its own."""
    table: tuple[str, ...] = ("ai_requests",)
    """Name of the table, `schema.table` or a list of its parts, spelled as the engine stores it."""
    files: str | None = None
    """Path or glob of Parquet files, local or s3://; instead of a table."""
    columns: Columns = Columns()
    metric_columns: Mapping[str, str] = Field(default_factory=dict)
    """Names that metrics use -> the log's columns of numbers or flags, beside those of `columns`."""
    time: TimeKind = TimeKind.INSTANT
    exclude: str | None = None
    """Requests that are left out, such as those of bots: a predicate on the log's columns, see `sql/predicate.py`."""
    users: bool = True
    """False: no user-level sums, and no user's name leaves the log."""

    @property
    def place(self) -> str:
        """Where the log is, for messages."""
        return f"{self.files or '.'.join(self.table)} ({self.engine})"

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
