"""Totals of earlier days: an hour is decided the same with them as without, in every last bit."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pytest

from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store

HOUR = timedelta(hours=1)
START = datetime.fromisoformat("2026-03-01T07:30+00:00")
DAYS = 6
END = datetime.fromisoformat("2026-03-08T09:00+00:00")

SEED = """
    INSERT INTO ab_experiments (name, start_date, promotion_config)
    VALUES ('plain', %(start)s, '{}'), ('by-value', %(start)s, '{"primary_metric": "value_mean"}'),
        ('matures', %(start)s, '{"attribution_window_hours": 30}');
    INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
    SELECT id, arm, arm = 'control', 50 FROM ab_experiments CROSS JOIN unnest(ARRAY['control', 'treatment']) AS arm;
    """
ROLLUPS = """
    INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
        latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares)
    SELECT hour, phase.experiment_id, phase.id, variant.id, 40 + mod(n, 7), 3 + mod(n, 3), mod(n, 2),
        40, 4000 + n / 7.0, 4e5 + n / 3.0, 100 + n / 11.0, 500 + n / 13.0
    FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
    CROSS JOIN LATERAL (
        SELECT hour, row_number() OVER (ORDER BY hour) * (1 + variant.is_control::integer) AS n
        FROM generate_series(date_trunc('hour', phase.started_at, 'UTC'), %(end)s - interval '1 hour', '1 hour') AS hour
    ) AS hours
    WHERE hour <> '2026-03-02 03:00+00'
    """


@pytest.fixture(autouse=True)
def seeded(connection: Connection) -> None:
    for statement in SEED.split(";"):
        connection.execute(statement, {"start": START})
    connection.execute(ROLLUPS, {"end": END})


def _assert_decided_alike(store: Store, hours: pd.DatetimeIndex, settled_before: datetime) -> None:
    start, end = hours[0].to_pydatetime(), hours[-1].to_pydatetime() + HOUR
    experiments = read_experiments(store, start, end)
    whole = evaluate(read_rollups(store, start, end), experiments, hours=hours)
    short = evaluate(read_rollups(store, start, end, settled_before=settled_before), experiments, hours=hours)
    for name in ("metrics", "significance", "decisions"):
        pd.testing.assert_frame_equal(
            getattr(whole, name), getattr(short, name), check_exact=True, check_categorical=False
        )
    assert len(whole.decisions) == 3 * len(hours)


def _hours(count: int = 1) -> pd.DatetimeIndex:
    return pd.date_range(end=END - HOUR, periods=count, freq="h")


def _rows_read(store: Store) -> int:
    return len(read_rollups(store, END - HOUR, END, settled_before=END - HOUR))


def test_a_total_takes_the_place_of_the_days_before_it(store: Store) -> None:
    whole = _rows_read(store)
    assert refresh_totals(store, END) == 6
    # Nine hours since midnight, and two rows for all before.
    assert _rows_read(store) == 6 * (9 + 2) < whole


def test_decisions_are_the_same_bit_for_bit(store: Store) -> None:
    refresh_totals(store, END)
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)
    _assert_decided_alike(store, _hours(9), END - 9 * HOUR - 30 * HOUR)


def test_totals_of_several_days_build_on_each_other(store: Store) -> None:
    for days in range(6, -1, -1):
        assert refresh_totals(store, END - timedelta(days=days)) == 6
        _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)


def test_a_total_that_reaches_into_the_first_two_days_keeps_them_apart(store: Store) -> None:
    refresh_totals(store, START + timedelta(days=1))
    refresh_totals(store, START + timedelta(days=3))
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)


def test_hours_that_mature_later_are_read_one_by_one(store: Store) -> None:
    refresh_totals(store, END)
    _assert_decided_alike(store, _hours(24), END - 24 * HOUR - 30 * HOUR)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hourly_variant_rollups SET conversions = conversions + 1 WHERE hour = '2026-03-03 05:00+00'",
        "DELETE FROM hourly_variant_rollups WHERE hour = '2026-03-03 05:00+00'",
        "UPDATE hourly_variant_rollups SET hour = '2026-02-20 05:00+00' WHERE hour = '2026-03-03 05:00+00'",
        "UPDATE ab_experiment_phases SET started_at = '2026-03-02 10:00+00'",
        """INSERT INTO hourly_variant_rollups SELECT late.* FROM hourly_variant_rollups AS rollup,
            json_populate_record(rollup, '{"hour": "2026-03-02T03:00Z"}') AS late
            WHERE rollup.hour = '2026-03-03 05:00+00'""",
    ],
)
def test_a_change_of_an_earlier_hour_is_seen(store: Store, connection: Connection, change: str) -> None:
    refresh_totals(store, END - timedelta(days=5, hours=9))
    refresh_totals(store, END)
    connection.execute(change)
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)
    refresh_totals(store, END)
    assert _rows_read(store) == 6 * (9 + 2)
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)


def test_a_change_of_today_leaves_the_totals_as_they_are(store: Store, connection: Connection) -> None:
    refresh_totals(store, END)
    connection.execute("UPDATE hourly_variant_rollups SET requests = requests + 1 WHERE hour = %s", [END - HOUR])
    assert refresh_totals(store, END) == 0


def test_a_count_that_fell_stays_known(store: Store, connection: Connection) -> None:
    connection.execute(
        "UPDATE hourly_variant_rollups SET conversions = -2 WHERE hour = '2026-03-03 05:00+00' AND variant_id IN"
        " (SELECT id FROM ab_variants WHERE name = 'treatment')"
    )
    refresh_totals(store, END)
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)
    experiments = read_experiments(store, END - HOUR, END)
    rollups = read_rollups(store, END - HOUR, END, settled_before=END - 31 * HOUR)
    assert set(evaluate(rollups, experiments, hours=_hours()).decisions["verdict"]) == {"error"}


def test_emptying_the_rollups_empties_the_totals(store: Store, connection: Connection) -> None:
    refresh_totals(store, END)
    connection.execute("TRUNCATE hourly_variant_rollups")
    assert _rows_read(store) == 0


def test_a_late_first_request_stays_known_in_a_total(store: Store, connection: Connection) -> None:
    """One experiment has its first requests 30 hours after its start, one long after the first 48 hours."""
    connection.execute(
        """
        DELETE FROM hourly_variant_rollups USING ab_experiments AS experiment
        WHERE experiment.id = experiment_id AND hour < CASE name WHEN 'plain' THEN '2026-03-02 14:00+00'::timestamptz
            WHEN 'by-value' THEN '2026-03-05 10:00+00' ELSE '-infinity' END
        """
    )
    refresh_totals(store, END)
    _assert_decided_alike(store, _hours(), END - HOUR - 30 * HOUR)
    decisions = evaluate(
        read_rollups(store, END - HOUR, END, settled_before=END - HOUR), read_experiments(store, END - HOUR, END)
    ).decisions.set_index("experiment_id")
    started = read_experiments(store, END - HOUR, END).drop_duplicates("name").set_index("name")["experiment_id"]
    last = decisions[decisions["as_of"] == END]["runtime_hours"]
    assert last[started["plain"]] == (END - datetime.fromisoformat("2026-03-02T14:00+00:00")) / HOUR
    assert last[started["by-value"]] == (END - datetime.fromisoformat("2026-03-05T10:00+00:00")) / HOUR
