"""Past experiments as the frames of `evaluate`: out of the database, or straight from a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.rollups.imports.asos import asos_metric_sums, asos_sums
from promotion_pipeline.rollups.imports.sums import increments, read_table
from promotion_pipeline.rollups.metrics.stored import read_metric_rollups
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

FILE_START = pd.Timestamp("2026-01-01T00:00:00Z")
"""Experiments of a file that only knows days since the start begin here."""


def from_store(store: Store, names: Sequence[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rollups and experiments of every running phase, past and present, up to the newest complete hour.

    Reads what was rolled up; hours that never were are not aggregated here.

    Raises:
        NotFoundError: a name is unknown.
        DependencyError: the database cannot be reached.
    """
    end, ids = _asked(store, names)
    return read_rollups(store, None, end, ids), read_experiments(store, None, end, ids)


def metrics_from_store(store: Store, names: Sequence[str] | None = None) -> pd.DataFrame | None:
    """The sums of the metrics that these experiments state; None: they state none. As `from_store`."""
    end, ids = _asked(store, names)
    return read_metric_rollups(store, None, end, ids)


def _asked(store: Store, names: Sequence[str] | None) -> tuple[datetime, list[str] | None]:
    """Up to when, and the ids of the named experiments; None: all."""
    with store.connect() as connection:
        end = newest_complete_hour(connection)
        ids = None
        if names is not None:
            rows = connection.execute(
                "SELECT id::text, name FROM ab_experiments WHERE name = ANY(%s)", (list(names),)
            ).fetchall()
            missing = sorted(set(names) - {row["name"] for row in rows})
            if missing:
                raise NotFoundError(f"no experiment is called {', '.join(map(repr, missing))}; see ab_experiments")
            ids = [row["id"] for row in rows]
    return end, ids


def from_asos_file(path: Path | str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rollups and experiments of the ASOS Digital Experiments Dataset (arXiv 2111.10198, CC BY 4.0).

    The split is taken to be even. A look of day d lies in hour 24 d; negative increments are kept as measured.

    Raises:
        InputError: the file cannot be read, or is another one.
    """
    file = Path(path)
    sums, _ = asos_sums(read_table(file), str(file))
    sums["hour"] = (FILE_START + pd.to_timedelta(sums.pop("days"), unit="D")).dt.round("h").dt.as_unit("us")
    rollups = increments(sums)
    rollups = rollups.rename(columns={"experiment": "experiment_id"}).assign(
        variant_id=rollups["experiment"] + "/" + rollups["variant"], errors=0
    )
    arms = rollups.drop_duplicates("variant_id").reset_index(drop=True)
    experiments = pd.DataFrame(
        {
            "experiment_id": arms["experiment_id"],
            "name": arms["experiment_id"],
            "variant_id": arms["variant_id"],
            "variant_name": arms["variant"],
            "is_control": arms["is_control"],
            "traffic_percentage": 100.0 / arms.groupby("experiment_id")["variant_id"].transform("size"),
            "started_at": FILE_START,
            "allows_corrections": True,
        }
    )
    return rollups.drop(columns=["variant", "is_control"]), experiments


def metrics_from_asos_file(path: Path | str) -> pd.DataFrame:
    """The sums of the four metrics of that file, `metric-1` to `metric-4`, of the arms that `from_asos_file` gives.

    A look without a variance is left to the next one.

    Raises:
        InputError: the file cannot be read, or is another one.
    """
    file = Path(path)
    sums = asos_metric_sums(read_table(file), str(file))
    hour = (FILE_START + pd.to_timedelta(sums.pop("days"), unit="D")).dt.round("h").dt.as_unit("us")
    variant = sums["experiment"] + "/" + sums.pop("variant")
    return sums.rename(columns={"experiment": "experiment_id"}).assign(hour=hour, variant_id=variant)
