"""The environment of this process, changed for a while."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

STORAGE_URL_VARIABLE = "AUTO_PROMOTION_DAGSTER_DATABASE_URL"
"""Where Dagster keeps its runs. Here, so that a code location does without the driver of that storage."""


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for as long as the block lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
