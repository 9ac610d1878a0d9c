"""Experiments as arrays, for those who judge a few at this moment: what `experiments.py` reads as frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.decisions.experiments import in_force_query, overriding, parsed_thresholds, present_query
from promotion_pipeline.evaluation.tables import ExperimentRows, Words
from promotion_pipeline.store.arrays import coded, numbers, objects, times_us
from promotion_pipeline.store.bulk import Source, read_table
from promotion_pipeline.store.usable import start_error


def experiment_rows(
    source: Source, start: datetime | None, end: datetime, experiment_ids: Sequence[str] | None = None
) -> ExperimentRows:
    """As `read_experiments`.

    Raises as that.
    """
    return _of_table(read_table(source, in_force_query(start, end, experiment_ids)))


def present_experiment_rows(source: Source, experiment_ids: Sequence[str] | None = None) -> ExperimentRows:
    """As `read_present_experiments`.

    Raises as that.
    """
    return _of_table(read_table(source, present_query(experiment_ids)))


def of_phases(rows: ExperimentRows, phase_ids: Collection[str]) -> ExperimentRows:
    """Those of some phases."""
    phases = rows.phase_id
    return rows if phases is None or set(phases.words) <= set(phase_ids) else rows.at(phases.is_in(phase_ids))


def with_request(
    rows: ExperimentRows, request: PromotionConfig | None, used: Mapping[str, PromotionConfig]
) -> ExperimentRows:
    """As `overridden`: the request is the strongest layer."""
    columns = overriding(rows.experiment_id.tolist(), request, used)
    settings = dict(rows.settings) | {name: objects(own) for name, own in columns.items()}
    return dataclasses.replace(rows, settings=settings)


def states_metrics(rows: ExperimentRows) -> bool:
    """Whether an experiment states metrics beside its primary one: else nothing is asked for them."""
    return any(value is not None for value in rows.settings.get("metrics", ()))


def _of_table(table: pa.Table) -> ExperimentRows:
    governs = None
    if "governs_from" in table.column_names:
        governs = times_us(table["governs_from"]), times_us(table["governs_until"])
    return ExperimentRows(
        experiment_id=Words(*coded(table["experiment_id"])),
        variant_id=Words(*coded(table["variant_id"])),
        variant_name=Words(*coded(table["variant_name"])),
        phase_id=Words(*coded(table["phase_id"])),
        is_control=numbers(table["is_control"].fill_null(False)),
        traffic_percentage=numbers(table["traffic_percentage"]).astype(float, copy=False),
        started_us=times_us(table["started_at"]),
        ended_us=times_us(table["ended_at"]),
        governs=governs,
        settings=_settings(table),
    )


def _settings(table: pa.Table) -> dict[str, NDArray[Any]]:
    """A column a threshold that some experiment sets for itself; each distinct text is parsed once."""
    texts, starts = table["promotion_config"].to_pylist(), table["bad_start"].to_pylist()
    parsed = {text: parsed_thresholds(text) for text in set(texts)}
    names = sorted({name for config, _ in parsed.values() for name in config})
    errors = [
        parsed[text][1] if start is None else start_error(start) for text, start in zip(texts, starts, strict=True)
    ]
    settings = {name: objects([parsed[text][0].get(name) for text in texts]) for name in names}
    return settings | {
        "config_error": objects(errors),
        "allows_corrections": objects(table["allows_corrections"].to_pylist()),
    }
