"""The border of the evaluation: frames to the arrays that it works on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.hours import utc_us
from promotion_pipeline.evaluation.metric_sums import METRIC_SUMS, SAMPLES, UNMATCHED, UNREADABLE
from promotion_pipeline.evaluation.sums import OPTIONAL_SUMS, REQUIRED_SUMS
from promotion_pipeline.evaluation.tables import MISSING_US, SETTINGS, ExperimentRows, HourlySums, Words

REQUIRED = ("experiment_id", "name", "variant_id", "variant_name", "is_control", "traffic_percentage", "started_at")
GOVERNS_FROM, GOVERNS_UNTIL = "governs_from", "governs_until"
KEYS = ("experiment_id", "variant_id", "hour")


def experiment_rows(experiments: pd.DataFrame) -> ExperimentRows:
    """The experiments frame of `evaluate`; O(rows).

    Raises:
        InputError: a column is missing, or a time is naive.
    """
    missing = [name for name in REQUIRED if name not in experiments.columns]
    if missing:
        raise InputError(f"experiments lack the columns {missing}; needed are {list(REQUIRED)}")
    governs = None
    if GOVERNS_FROM in experiments.columns:
        governs = _times(experiments, GOVERNS_FROM), _times(experiments, GOVERNS_UNTIL)
    traffic = pd.to_numeric(experiments["traffic_percentage"], errors="coerce")
    return ExperimentRows(
        experiment_id=words_of(experiments["experiment_id"]),
        variant_id=words_of(experiments["variant_id"]),
        variant_name=words_of(experiments["variant_name"]),
        phase_id=words_of(experiments["phase_id"]) if "phase_id" in experiments.columns else None,
        is_control=experiments["is_control"].fillna(False).to_numpy(dtype=bool),
        traffic_percentage=traffic.to_numpy(dtype=np.float64, na_value=np.nan),
        started_us=_times(experiments, "started_at"),
        ended_us=_times(experiments, "ended_at") if "ended_at" in experiments.columns else None,
        governs=governs,
        settings={name: experiments[name].to_numpy(dtype=object) for name in SETTINGS if name in experiments.columns},
    )


def rollup_sums(rollups: pd.DataFrame) -> HourlySums:
    """The rollups frame of `evaluate`; O(rows), and the sums are not copied.

    Raises:
        InputError: a column is missing, or an hour is naive.
    """
    missing = [name for name in (*KEYS, *REQUIRED_SUMS) if name not in rollups.columns]
    if missing:
        raise InputError(f"rollups lack the columns {missing}")
    return _hourly(rollups, (*REQUIRED_SUMS, *OPTIONAL_SUMS))


def metric_sums(metrics: pd.DataFrame) -> HourlySums:
    """The metrics frame of `evaluate`; O(rows), and the sums are not copied.

    Raises:
        InputError: a column is missing, or an hour is naive.
    """
    needed = (*KEYS, "metric")
    missing = [name for name in needed if name not in metrics.columns]
    if missing:
        raise InputError(f"metrics lack the columns {missing}; needed are {list(needed)} and the sums of each kind")
    return _hourly(metrics, (*METRIC_SUMS, SAMPLES, UNMATCHED, UNREADABLE))


def _hourly(frame: pd.DataFrame, sums: tuple[str, ...]) -> HourlySums:
    return HourlySums(
        experiment_id=words_of(frame["experiment_id"]),
        variant_id=words_of(frame["variant_id"]),
        phase_id=words_of(frame["phase_id"]) if "phase_id" in frame.columns else None,
        hour_us=utc_us(frame["hour"], "hour"),
        sums={name: _numbers(frame[name]) for name in sums if name in frame.columns},
        metric=words_of(frame["metric"]) if "metric" in frame.columns else None,
    )


def words_of(values: pd.Series) -> Words:
    """A column of ids or names; a categorical is taken as it is."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return Words(values.cat.codes.to_numpy(), values.cat.categories.astype(object).to_numpy())
    codes, distinct = pd.factorize(values)
    return Words(codes, pd.Index(distinct).astype(object).to_numpy())


def _times(frame: pd.DataFrame, name: str) -> NDArray[np.int64]:
    at = utc_us(frame[name], name)
    return np.where(frame[name].isna().to_numpy(), MISSING_US, at)


def _numbers(values: pd.Series) -> NDArray[Any]:
    """A column of sums as an array; what is no number is NaN."""
    if values.dtype == object or pd.api.types.is_extension_array_dtype(values.dtype):
        values = pd.to_numeric(values, errors="coerce").astype("float64")
    return np.asarray(values)
