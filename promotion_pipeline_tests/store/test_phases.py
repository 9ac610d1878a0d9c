"""Phases open and close by themselves when an application writes only experiments and variants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection

START = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)


def _experiment(connection: Connection, start: datetime = START, name: str = "a") -> UUID:
    row = connection.execute(
        "INSERT INTO ab_experiments (name, start_date) VALUES (%s, %s) RETURNING id", (name, start)
    ).fetchone()
    assert row is not None
    return UUID(str(row["id"]))


def _variant(connection: Connection, experiment: UUID, name: str, traffic: float, is_control: bool = False) -> None:
    connection.execute(
        "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage) VALUES (%s, %s, %s, %s)",
        (experiment, name, is_control, traffic),
    )


def _phases(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute(
        """SELECT started_at, ended_at, is_running,
            (SELECT jsonb_object_agg(v.name, (traffic ->> v.id::text)::float) FROM ab_variants AS v
                WHERE traffic ? v.id::text) AS split
        FROM ab_experiment_phases ORDER BY started_at"""
    ).fetchall()


@pytest.mark.parametrize("in_one_transaction", [True, False])
def test_an_application_that_writes_its_tables_has_one_phase(connection: Connection, in_one_transaction: bool) -> None:
    def write() -> None:
        experiment = _experiment(connection)
        _variant(connection, experiment, "control", 50, is_control=True)
        _variant(connection, experiment, "b", 50)
        connection.execute(
            "INSERT INTO ai_requests (experiment_id, variant_id) SELECT experiment_id, id FROM ab_variants"
        )

    if in_one_transaction:
        with connection.transaction():
            write()
    else:
        write()
    assert _phases(connection) == [
        {"started_at": START, "ended_at": None, "is_running": True, "split": {"control": 50.0, "b": 50.0}}
    ]


def test_the_columns_of_the_application_all_have_defaults(connection: Connection) -> None:
    connection.execute("INSERT INTO ab_experiments (name) VALUES ('x')")
    row = connection.execute("SELECT * FROM ab_experiments").fetchone()
    assert row is not None
    assert (row["is_active"], row["promotion_config"], row["auto_promotion_hold"]) == (True, {}, None)
    assert _phases(connection) == []


def test_a_change_of_split_opens_the_next_phase(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 50, is_control=True)
    _variant(connection, experiment, "b", 50)
    before = database_now(connection)
    with connection.transaction():
        connection.execute("UPDATE ab_variants SET traffic_percentage = 90 WHERE is_control")
        connection.execute("UPDATE ab_variants SET traffic_percentage = 10 WHERE NOT is_control")
    first, second = _phases(connection)
    assert first["ended_at"] == second["started_at"] >= before
    assert (first["split"], second["split"]) == ({"control": 50.0, "b": 50.0}, {"control": 90.0, "b": 10.0})


def test_an_update_that_changes_nothing_keeps_the_phase(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 100, is_control=True)
    connection.execute("UPDATE ab_variants SET traffic_percentage = traffic_percentage")
    connection.execute("UPDATE ab_experiments SET promotion_config = '{\"minSampleSize\": 5}'")
    assert len(_phases(connection)) == 1


def test_a_split_that_does_not_sum_to_100_is_completed_in_place(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 50, is_control=True)
    _variant(connection, experiment, "b", 30)
    assert _phases(connection)[0]["split"] == {"control": 50.0, "b": 30.0}
    connection.execute("UPDATE ab_variants SET traffic_percentage = 50 WHERE name = 'b'")
    assert [phase["split"] for phase in _phases(connection)] == [{"control": 50.0, "b": 50.0}]


def test_a_phase_of_the_future_is_corrected_in_place(connection: Connection) -> None:
    start = database_now(connection) + timedelta(days=3)
    experiment = _experiment(connection, start)
    _variant(connection, experiment, "control", 50, is_control=True)
    _variant(connection, experiment, "b", 50)
    connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 20 ELSE 80 END")
    later = start + timedelta(days=1)
    connection.execute("UPDATE ab_experiments SET start_date = %s", (later,))
    assert [(p["started_at"], p["split"]) for p in _phases(connection)] == [(later, {"control": 20.0, "b": 80.0})]


def test_stopping_and_restarting_are_phases(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 100, is_control=True)
    connection.execute("UPDATE ab_experiments SET is_active = false")
    connection.execute("UPDATE ab_experiments SET is_active = true")
    assert [phase["is_running"] for phase in _phases(connection)] == [True, False, True]


def test_phases_cannot_overlap(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 100, is_control=True)
    with pytest.raises(psycopg.errors.ExclusionViolation, match="overlaps another phase"):
        connection.execute(
            "INSERT INTO ab_experiment_phases (experiment_id, started_at, ended_at, traffic, is_running)"
            " VALUES (%s, %s, %s, '{}', true)",
            (experiment, START - timedelta(days=1), START + timedelta(days=1)),
        )


@pytest.mark.parametrize("start", ["-infinity", "1970-01-01 00:00:00+00"])
def test_a_start_that_no_phase_can_have_opens_phases_like_any_other(connection: Connection, start: str) -> None:
    connection.execute("INSERT INTO ab_experiments (name, start_date, is_active) VALUES ('a', %s, false)", (start,))
    connection.execute(
        "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
        " SELECT e.id, arm, arm = 'control', 50 FROM ab_experiments AS e, unnest(ARRAY['control', 'b']) AS arm"
    )
    written = "SELECT ctid::text AS row FROM ab_experiment_phases"
    before = connection.execute(written).fetchall()
    connection.execute("UPDATE ab_experiments SET start_date = start_date")
    assert connection.execute(written).fetchall() == before
    connection.execute("UPDATE ab_experiments SET is_active = true")
    first, second = _phases(connection)
    assert [first["is_running"], second["is_running"]] == [False, True]
    assert first["ended_at"] == second["started_at"]


def _planned(connection: Connection, config: str) -> list[str | None]:
    """The stated size of every phase, oldest first, after the experiment has got these thresholds."""
    connection.execute("UPDATE ab_experiments SET promotion_config = %s", (config,))
    rows = connection.execute(
        "SELECT plan ->> 'planned_sample_size' AS size FROM ab_experiment_phases ORDER BY started_at"
    )
    return [row["size"] for row in rows]


def _look(connection: Connection) -> None:
    connection.execute(
        """INSERT INTO eligibility_decisions (hour, as_of, experiment_id, phase_id, verdict, is_eligible, is_promotable,
            min_sample_size, min_confidence, min_improvement, min_runtime, error_rate_acceptable,
            min_sample_size_threshold, min_confidence_threshold, min_improvement_threshold, min_runtime_threshold,
            error_rate_threshold, reasons, warnings)
        SELECT date_trunc('hour', now()), date_trunc('hour', now()) + interval '1 hour', experiment_id, id, 'not_yet',
            false, false, false, false, false, false, false, 1, 1, 1, 1, 1, '{}', '{}'
        FROM ab_experiment_phases WHERE ended_at IS NULL"""
    )


def test_a_plan_may_be_stated_anew_until_the_first_look_and_opens_a_phase_after_it(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 50, is_control=True)
    _variant(connection, experiment, "b", 50)
    assert _planned(connection, "{}") == [None]
    assert _planned(connection, '{"planned_sample_size": 1000}') == ["1000"]
    assert _planned(connection, '{"plannedSampleSize": "2000"}') == ["2000"]
    _look(connection)
    assert _planned(connection, '{"planned_sample_size": 2000, "minSampleSize": 5}') == ["2000"]
    assert _planned(connection, '{"planned_sample_size": 3000}') == ["2000", "3000"]
    first, second = _phases(connection)
    assert first["ended_at"] == second["started_at"]
    assert first["split"] == second["split"]
    assert _planned(connection, '{"planned_sample_size": 4000}') == ["2000", "4000"]


@pytest.mark.parametrize(
    "changed",
    [
        "{}",
        '{"planned_sample_size": 1000, "group_sequential_spending": "alpha_t_squared"}',
        '{"planned_sample_size": 1000, "evidence": "group_sequential"}',
    ],
    ids=["dropped", "spent otherwise", "decided by it"],
)
def test_every_choice_about_a_plan_that_was_looked_at_opens_a_phase(connection: Connection, changed: str) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 100, is_control=True)
    _planned(connection, '{"planned_sample_size": 1000}')
    _look(connection)
    assert len(_planned(connection, changed)) == 2


def test_an_hour_that_is_summed_up_was_looked_at_by_whoever_wanted_to(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 100, is_control=True)
    _planned(connection, '{"planned_sample_size": 1000}')
    connection.execute(
        "INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests,"
        " conversions, latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares)"
        " SELECT date_bin('1 hour', started_at, '2000-01-01 00:00:00+00'), phase.experiment_id, phase.id,"
        " variant.id, 10, 1, 0, 0, 0, 0, 0"
        " FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)"
    )
    assert _planned(connection, '{"planned_sample_size": 2000}') == ["1000", "2000"]


def test_a_new_split_keeps_the_plan(connection: Connection) -> None:
    experiment = _experiment(connection)
    _variant(connection, experiment, "control", 50, is_control=True)
    _variant(connection, experiment, "b", 50)
    _planned(connection, '{"planned_sample_size": 1000}')
    connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 20 ELSE 80 END")
    assert _planned(connection, '{"planned_sample_size": 1000}') == ["1000", "1000"]
