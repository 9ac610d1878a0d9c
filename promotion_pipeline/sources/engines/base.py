"""What every engine offers."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import pyarrow as pa

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.sources.configuration import SourceConfig
from promotion_pipeline.sources.dialects import DIALECTS, Dialect
from promotion_pipeline.sources.layout import Layout, resolve
from promotion_pipeline.sources.template import Log


class RequestSource(ABC):
    """A request log and the engine that reads it."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @property
    def dialect(self) -> Dialect:
        """The engine's SQL."""
        return DIALECTS[self.config.engine]

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
        return Log(self.dialect, self.rowset, self.layout, self.config.users)

    @cached_property
    def layout(self) -> Layout:
        """The mapped columns; raises as `log`."""
        return resolve(self.config, self.columns())

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
