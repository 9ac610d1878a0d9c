"""What every engine offers: `Engine` is what it is, `RequestSource` a log of it that was opened."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.rollups.log_files import LogFiles, is_local
from promotion_pipeline.rollups.log_gaps import Unreadable
from promotion_pipeline.rollups.source_config import SourceConfig
from promotion_pipeline.rollups.sql.dialect import Dialect
from promotion_pipeline.rollups.sql.log_columns import resolve
from promotion_pipeline.rollups.sql.predicate import predicate_sql
from promotion_pipeline.rollups.sql.rollup_query import Log


class RequestSource(ABC):
    """A request log and the engine that reads it."""

    dialect: ClassVar[Dialect]
    """The engine's SQL."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @property
    def rowset(self) -> str:
        """The log as it is written after FROM."""
        return self.dialect.identifier(*self.config.table)

    @cached_property
    def log(self) -> Log:
        """The log, once its columns were looked at.

        Raises:
            ConfigError: a column is missing or of another type than it must be.
            InputError: there is no such table or file.
            DependencyError: the engine cannot be reached.
        """
        types = self.columns()
        return Log(self.dialect, self._kept(types), resolve(self.config, types, self.dialect), self.config.users)

    def _kept(self, types: Mapping[str, str]) -> str:
        """The log without what its mapping excludes, as it is written after FROM."""
        if self.config.exclude is None:
            return self.rowset
        kinds = {name: self.dialect.kind_of(type_name) for name, type_name in types.items()}
        excluded = predicate_sql(self.config.exclude, kinds, self.dialect, "logged")
        # Only what is certainly excluded: with a missing value the predicate is neither true nor false.
        return f"(SELECT * FROM {self.rowset} AS logged WHERE CASE WHEN {excluded} THEN 0 ELSE 1 END = 1)"

    @cached_property
    def files(self) -> LogFiles | None:
        """The Parquet files, looked at one by one; None: the log is a table, or files that this process cannot see."""
        return LogFiles(self.config) if is_local(self.config.files) and self.reads_local_files else None

    @property
    def reads_local_files(self) -> bool:
        """Whether a path means the same to the engine as to this process."""
        return True

    def require_columns(self, start: datetime, end: datetime) -> None:
        """Refuse files of [start, end) that lack a column which others have.

        Raises:
            ConfigError: names the file.
        """
        if self.files is not None:
            self.files.require_columns(start, end)

    def unreadable(self, start: datetime, end: datetime) -> Sequence[Unreadable]:
        """The parts of the log that cannot be read, are left out of every answer and may hold rows of [start, end)."""
        return self.files.unreadable(start, end) if self.files is not None else ()

    @abstractmethod
    def columns(self) -> dict[str, str]:
        """The log's columns and their types as the engine calls them.

        Raises:
            InputError: there is no such table or file.
            DependencyError: the engine cannot be reached.
        """

    @abstractmethod
    def run(self, query: str) -> pa.Table:
        """The rows of a query.

        Raises:
            DependencyError: the engine cannot be reached or refuses the query.
        """

    def close(self) -> None:  # noqa: B027
        """Give back what the engine holds."""


@dataclass(frozen=True)
class Engine:
    """A kind of log, named in `source.toml`; the one object that the file of an engine is read for."""

    name: str
    dialect: Dialect
    open: Callable[[SourceConfig, str], RequestSource] | None = None
    """Opens a log, given also the URL of the product's database; None: its SQL is run with a client of one's own."""
    reads_files: bool = False
    """Whether `files` may name Parquet files."""
    takes_url: bool = False
    refusal: Callable[[SourceConfig], str | None] = lambda _: None
    """What else is wrong with where a log is said to be, in words."""
    is_slow_to_open: bool = False
    """Whether opening takes longer than a tick of the schedule may: it is asked in a run only."""

    def misplaced(self, config: SourceConfig) -> str | None:
        """What is wrong with where a log is said to be, in words; None: nothing."""
        if config.files and not self.reads_files:
            return f"{self.name} reads a table: set table instead of files"
        if config.url and not self.takes_url:
            return f"{self.name} takes no url"
        return self.refusal(config)


def needed(module: str, extra: str) -> Any:
    """An optional module.

    Raises:
        DependencyError: it is not installed; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"this source needs {module.partition('.')[0]}, which is not installed ({error}):"
            f" pip install 'promotion-pipeline[{extra}]'"
        ) from None


def one_line(error: Exception, limit: int = 400) -> str:
    """An engine's message without line breaks, cut short."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[:limit] + " ..."
