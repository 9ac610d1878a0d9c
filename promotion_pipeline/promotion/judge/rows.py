"""What the evaluation found as plain rows."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation.found import Column, Columns, Times
from promotion_pipeline.evaluation.tables import MISSING_US, Words
from promotion_pipeline.store.arrays import instant


def records(columns: Columns) -> list[dict[str, Any]]:
    """Rows as plain Python values: no numpy scalars, None for what is missing."""
    values = [_values(column) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _values(column: Column) -> list[Any]:
    match column:
        case Words():
            return column.tolist()
        case Times():
            return [None if us == MISSING_US else instant(us) for us in column.us.tolist()]
        case _ if column.dtype.kind == "f":
            return [value if math.isfinite(value) else None for value in column.tolist()]
        case _ if column.dtype.kind in "biu":
            return list(column.tolist())
        case _:
            return [plain(value) for value in column.tolist()]


def by_experiment(columns: Columns) -> dict[UUID, list[dict[str, Any]]]:
    """The rows of each experiment."""
    rows: dict[UUID, list[dict[str, Any]]] = {}
    for row in records(columns):
        rows.setdefault(UUID(row["experiment_id"]), []).append(row)
    return rows


def plain(value: Any) -> Any:
    """A cell of a frame as a plain Python value; NaN and NaT are None."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
