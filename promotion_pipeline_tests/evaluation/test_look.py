"""A look through arrays says what the frames say, bit for bit; and how arrays stand for columns of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.evaluation.engine import look
from promotion_pipeline.evaluation.found import FoundColumns
from promotion_pipeline.evaluation.tables import MISSING_US, SETTINGS, ExperimentRows, HourlySums, Words
from promotion_pipeline.promotion.judge.rows import records
from promotion_pipeline_tests.evaluation.builders import START, experiment, sums
from promotion_pipeline_tests.evaluation.hostile import Trial, trial

FRAMES = ("metrics", "significance", "decisions", "metric_results")


def us(values: pd.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Times as microseconds, value by value."""
    epoch = pd.Timestamp(0, tz="UTC")
    return np.array([MISSING_US if pd.isna(at) else (at - epoch) // pd.Timedelta(microseconds=1) for at in values])


def words(frame: pd.DataFrame, name: str) -> Words | None:
    return Words.of(frame[name].tolist()) if name in frame.columns else None


def hourly(frame: pd.DataFrame) -> HourlySums:
    experiment_id, variant_id = words(frame, "experiment_id"), words(frame, "variant_id")
    assert experiment_id is not None and variant_id is not None
    numbers = frame.select_dtypes("number")
    return HourlySums(
        experiment_id=experiment_id,
        variant_id=variant_id,
        phase_id=words(frame, "phase_id"),
        hour_us=us(frame["hour"]),
        sums={str(name): numbers[name].to_numpy() for name in numbers.columns},
        metric=words(frame, "metric"),
    )


def rows_of(frame: pd.DataFrame) -> ExperimentRows:
    experiment_id, variant_id, names = (words(frame, key) for key in ("experiment_id", "variant_id", "variant_name"))
    assert experiment_id is not None and variant_id is not None and names is not None
    columns = frame.columns
    return ExperimentRows(
        experiment_id=experiment_id,
        variant_id=variant_id,
        variant_name=names,
        phase_id=words(frame, "phase_id"),
        is_control=np.array(frame["is_control"].tolist()),
        traffic_percentage=np.array(frame["traffic_percentage"].tolist()),
        started_us=us(frame["started_at"]),
        ended_us=us(frame["ended_at"]) if "ended_at" in columns else None,
        governs=(us(frame["governs_from"]), us(frame["governs_until"])) if "governs_from" in columns else None,
        settings={name: np.array([*frame[name], None], dtype=object)[:-1] for name in SETTINGS if name in columns},
    )


def looked(given: Trial) -> FoundColumns:
    return look(
        hourly(given.rollups),
        rows_of(given.experiments),
        hours_us=us(pd.Series(given.hours)),
        metrics=None if given.metrics is None else hourly(given.metrics),
    )


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain values, cell by cell."""
    return [{str(name): cell(value) for name, value in row.items()} for row in frame.to_dict("records")]


def cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if value is None or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_look_through_arrays_says_what_the_frames_say_bit_for_bit(seed: int) -> None:
    given_rows = trial(seed)
    frames = evaluate(given_rows.rollups, given_rows.experiments, hours=given_rows.hours, metrics=given_rows.metrics)
    found = looked(given_rows)
    for name in FRAMES:
        assert records(getattr(found, name)) == plain_rows(getattr(frames, name)), name


def test_the_trials_hold_what_the_comparison_is_about() -> None:
    seen = [
        evaluate(one.rollups, one.experiments, hours=one.hours, metrics=one.metrics) for one in map(trial, range(30))
    ]
    decisions = pd.concat([one.decisions.astype({"verdict": object}) for one in seen])
    results = pd.concat([one.metric_results.astype(object) for one in seen])
    assert set(decisions["verdict"]) == {"eligible", "not_yet", "rejected", "inconclusive", "error"}
    assert decisions["group_sequential_boundary_z"].notna().any()
    assert results["is_adjusted"].any()
    assert {"kept", "not_kept"} <= set(results["guardrail"].dropna())
    assert any("guardrail" in codes for codes in decisions["warnings"])


def test_words_are_numbered_as_they_come_and_only_those_that_a_row_has() -> None:
    kept = Words.of(["b", "a", None, "b", "c"]).at([1, 2, 0, 1]).in_order()
    assert (kept.tolist(), list(kept.words), kept.codes.tolist()) == (["a", None, "b", "a"], ["a", "b"], [0, -1, 1, 0])


def test_words_are_found_among_others_and_a_missing_one_nowhere() -> None:
    column = Words.of(["x", None, "y", "z"])
    assert column.places_in(np.array(["z", "x"], dtype=object)).tolist() == [1, -1, -1, 0]
    assert column.is_in({"x", "q"}).tolist() == [True, False, False, False]


def test_a_look_refuses_what_the_frames_refuse() -> None:
    rows, own = hourly(sums({"control": (10, 1), "variant-a": (10, 2)})), rows_of(experiment())
    hour = us(pd.Series([START]))
    with pytest.raises(InputError, match="twice"):
        look(rows, own.at([0, 1, 1]), hours_us=hour)
    askew = HourlySums(rows.experiment_id, rows.variant_id, None, rows.hour_us + 1, rows.sums)
    with pytest.raises(InputError, match="not the start of an hour"):
        look(askew, own, hours_us=hour)


def test_a_look_at_nothing_finds_nothing() -> None:
    nothing = hourly(sums({"control": (10, 1)})).at(slice(0))
    found = look(nothing, rows_of(experiment()).at(slice(0)), hours_us=us(pd.Series([START])))
    assert [records(getattr(found, name)) for name in FRAMES] == [[], [], [], []]
