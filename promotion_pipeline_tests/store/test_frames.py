"""Frames in the form of the evaluation, and back: types, windows, labels, bad rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.decisions.frames import WriteResult, replace_metrics, replace_significance, write_decisions
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

HOUR = timedelta(hours=1)


def _evaluated(store: Store, seeded: Seeded, hours: int) -> tuple[Evaluation, datetime, datetime]:
    start = seeded.end - hours * HOUR
    rollup_window(store, seeded.start, seeded.end)
    experiments = read_experiments(store, start, seeded.end)
    rollups = read_rollups(store, start, seeded.end)
    return evaluate(rollups, experiments, hours=pd.date_range(start, periods=hours, freq="h")), start, seeded.end


def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query).fetchall()


def test_experiments_come_in_the_form_of_the_evaluation(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(
        store, "Ünïcode 'quoted'", promotion_config={"minSampleSize": 500, "evidence": "fixed_horizon"}
    )
    plain = seed_experiment(store, "plain")
    connection.execute("UPDATE ab_experiments SET promotion_config = NULL WHERE id = %s", (plain.id,))
    frame = read_experiments(store, seeded.start, seeded.end)
    assert list(frame["name"]) == ["plain"] * 2 + ["Ünïcode 'quoted'"] * 2
    assert str(frame["started_at"].dtype) == "datetime64[us, UTC]"
    assert frame["ended_at"].isna().all()
    assert frame["config_error"].isna().all()
    assert list(frame["traffic_percentage"]) == [50.0] * 4
    own = frame[frame["name"] != "plain"].iloc[0]
    assert (own["min_sample_size"], own["evidence"]) == (500, "fixed_horizon")
    assert frame[frame["name"] == "plain"]["min_sample_size"].isna().all()
    assert "max_error_rate" not in frame.columns


@pytest.mark.parametrize(
    ("config", "words"),
    [({"maxErrorRate": 5}, "0.05"), ({"minSampelSize": 5}, "minSampleSize"), ([1], "must be an object")],
)
def test_a_bad_config_of_one_experiment_spares_the_others(
    store: Store, connection: Connection, config: object, words: str
) -> None:
    bad, good = seed_experiment(store, "bad"), seed_experiment(store, "good")
    connection.execute("UPDATE ab_experiments SET promotion_config = %s WHERE id = %s", (Jsonb(config), bad.id))
    frame = read_experiments(store, good.start, good.end).set_index("name")
    assert words in frame["config_error"].loc["bad"].iloc[0]
    assert frame["config_error"].loc["good"].isna().all()
    decisions = _evaluated(store, good, 1)[0].decisions
    verdicts = dict(zip(decisions["experiment_id"], decisions["verdict"], strict=True))
    assert verdicts == {str(bad.id): "error", str(good.id): "eligible"}


def test_only_phases_of_the_window_are_read(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a")
    connection.execute("UPDATE ab_variants SET traffic_percentage = 100 - traffic_percentage * 1.5 WHERE is_control")
    connection.execute("UPDATE ab_variants SET traffic_percentage = 75 WHERE NOT is_control")
    past = read_experiments(store, seeded.start, seeded.start + HOUR)
    assert list(past["traffic_percentage"]) == [50.0, 50.0]
    assert past["ended_at"].notna().all()
    assert read_experiments(store, seeded.start - 2 * HOUR, seeded.start - HOUR).empty


def test_stopped_experiments_are_read_only_when_asked_for(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", is_active=False)
    assert read_experiments(store, seeded.start, seeded.end).empty
    assert len(read_experiments(store, seeded.start, seeded.end, running_only=False)) == 2
    assert len(read_experiments(connection, seeded.start, seeded.end, running_only=False)) == 2


def test_an_experiment_of_the_future_is_not_started(store: Store) -> None:
    end = seed_experiment(store, "now").end
    seed_experiment(store, "later", [VariantSpec("control", True), VariantSpec("b")], start=end + 100 * HOUR)
    frame = read_experiments(store, end - HOUR, end)
    assert set(frame["name"]) == {"now", "later"}
    decisions = evaluate(read_rollups(store, end - HOUR, end), frame, hours=[end - HOUR]).decisions
    assert ("not_started",) in set(decisions["reasons"])


def test_an_evaluation_is_stored_and_read_back(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a")
    evaluation, start, end = _evaluated(store, seeded, 5)
    assert replace_metrics(store, evaluation.metrics, start, end) == 10
    assert replace_significance(store, evaluation.significance, evaluation.metric_results, start, end) == (5, 0)
    assert write_decisions(store, evaluation.decisions) == WriteResult(recorded=5, relabelled=0)
    last = evaluation.decisions.iloc[-1]
    stored = connection.execute("SELECT * FROM eligibility_decisions ORDER BY hour DESC LIMIT 1").fetchone()
    assert stored is not None
    for name in ("z", "p_value", "lift_lower", "sample_size", "verdict", "is_promotable", "hour", "analysis_unit"):
        assert stored[name] == last[name]
    assert tuple(stored["reasons"]) == last["reasons"] == ("all_checks_passed",)
    assert stored["warnings"] == list(last["warnings"])
    assert str(stored["candidate_variant_id"]) == last["candidate_variant_id"]
    assert stored["label"] == "record"


def test_replacing_a_window_leaves_the_hours_beside_it(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a")
    evaluation, start, end = _evaluated(store, seeded, 4)
    replace_metrics(store, evaluation.metrics, start, end)
    inner = evaluation.metrics[evaluation.metrics["hour"] == start + HOUR].assign(requests=7)
    assert replace_metrics(store, inner, start + HOUR, start + 2 * HOUR) == 2
    assert replace_metrics(store, inner.iloc[:0], start + 2 * HOUR, start + 3 * HOUR) == 0
    counts = _rows(connection, "SELECT count(*), count(*) FILTER (WHERE requests = 7) FROM variant_metrics")
    assert counts == [(6, 2)]


def test_a_decision_of_record_is_written_once(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a")
    decisions = _evaluated(store, seeded, 4)[0].decisions
    assert write_decisions(store, decisions.iloc[:2]) == WriteResult(recorded=2, relabelled=0)
    other = decisions.assign(z=1.0)
    assert write_decisions(store, other) == WriteResult(recorded=2, relabelled=2)
    assert write_decisions(store, decisions.assign(z=2.0), "stricter") == WriteResult(recorded=0, relabelled=4)
    assert write_decisions(store, decisions.assign(z=3.0)) == WriteResult(recorded=0, relabelled=4)
    labels = _rows(
        connection,
        "SELECT label, count(*), count(DISTINCT z), max(z)::float8 FROM eligibility_decisions GROUP BY 1 ORDER BY 1",
    )
    assert [(label, number) for label, number, _, _ in labels] == [("latest", 4), ("record", 4), ("stricter", 4)]
    assert labels[0][3] == 3.0
    kept = _rows(connection, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record' AND z = 1.0")
    assert kept == [(2,)]


@pytest.mark.parametrize("label", ["record", "", "  "])
def test_a_reserved_label_is_refused(store: Store, label: str) -> None:
    seeded = seed_experiment(store, "a")
    with pytest.raises(InputError, match="cannot be used"):
        write_decisions(store, _evaluated(store, seeded, 1)[0].decisions, label)


def test_experiments_that_cannot_be_judged_are_recorded_too(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "good")
    seed_experiment(store, "empty", [VariantSpec("control", True), VariantSpec("b")])
    seed_experiment(store, "alone", [VariantSpec("control", True, traffic=100)])
    seed_experiment(store, "no control", [VariantSpec("x"), VariantSpec("y")])
    evaluation, start, end = _evaluated(store, seeded, 2)
    replace_metrics(store, evaluation.metrics, start, end)
    replace_significance(store, evaluation.significance, evaluation.metric_results, start, end)
    assert write_decisions(store, evaluation.decisions).recorded == 8
    verdicts = _rows(connection, "SELECT verdict, count(*) FROM eligibility_decisions GROUP BY 1 ORDER BY 1")
    assert verdicts == [("eligible", 2), ("inconclusive", 6)]


def test_a_frame_that_does_not_fit_is_refused(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a")
    evaluation, start, end = _evaluated(store, seeded, 2)
    metrics = evaluation.metrics
    with pytest.raises(InputError, match="lie outside"):
        replace_metrics(store, metrics, start, end - HOUR)
    with pytest.raises(InputError, match="lacks the columns"):
        replace_metrics(store, metrics.drop(columns=["is_control"]), start, end)
    with pytest.raises(InputError, match="time zone"):
        replace_metrics(store, metrics.assign(hour=metrics["hour"].dt.tz_localize(None)), start, end)
    with pytest.raises(InputError, match="column requests"):
        replace_metrics(store, metrics.assign(requests=1.5), start, end)
    with pytest.raises(InputError, match="uuid"):
        replace_metrics(store, metrics.assign(variant_id="x"), start, end)
    assert _rows(connection, "SELECT count(*) FROM variant_metrics") == [(0,)]


def test_naive_times_are_refused_at_the_door(store: Store) -> None:
    naive, end = datetime(2026, 1, 1), datetime(2026, 1, 2, tzinfo=UTC)  # noqa: DTZ001
    for read in (read_rollups, read_experiments):
        with pytest.raises(InputError, match="no time zone"):
            read(store, naive, end)
        with pytest.raises(InputError, match="no time zone"):
            read(store, None, naive)
