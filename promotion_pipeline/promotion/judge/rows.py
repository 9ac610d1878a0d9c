"""Frames of the evaluation as plain rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values: no numpy scalars, None for what is missing."""
    # By columns, because `DataFrame.to_dict("records")` on a few rows takes as long as evaluating them.
    columns = {str(name): [plain(value) for value in column.tolist()] for name, column in frame.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def by_experiment(frame: pd.DataFrame) -> dict[UUID, list[dict[str, Any]]]:
    """The rows of each experiment."""
    rows: dict[UUID, list[dict[str, Any]]] = {}
    for row in records(frame):
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
