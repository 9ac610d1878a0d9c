"""A database as a team's that has run for two weeks, made inside PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.windows import HOUR

ARMS = 3
USERS_PER_ARM = 150
HISTORY_HOURS = 336

_EXPERIMENTS = (
    """
    INSERT INTO ab_experiments (name, start_date)
    SELECT 'bench-' || n, %(start)s FROM generate_series(1, %(experiments)s) AS n""",
    """
    INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
    SELECT id, 'variant-' || arm, arm = 0, CASE WHEN arm = 0 THEN 33.34 ELSE 33.33 END
    FROM ab_experiments CROSS JOIN generate_series(0, 2) AS arm""",
)
_HISTORY = """
    INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
        latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares)
    SELECT hour, phase.experiment_id, phase.id, variant.id, 100, 4 + (random() * 3)::int, 1,
        100, 12000, 1500000, 0, 0
    FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
    CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS hour"""
_ROLLED_UP = """
    INSERT INTO rollup_hours (hour, requests)
    SELECT hour, 0 FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour')
        AS hour"""
# There are no requests behind the history, as if their days had been dropped since.
_COVERED = """
    INSERT INTO phase_rollups (phase_id, covered)
    SELECT id, tstzmultirange(tstzrange(%(start)s, %(end)s)) FROM ab_experiment_phases"""
_DROPPED = "INSERT INTO dropped_requests (before) VALUES (%(end)s)"
_USERS = """
    INSERT INTO hourly_user_rollups (hour, phase_id, user_id, variant_id, requests, conversions, value)
    SELECT %(start)s, phase.id, 'user-' || number || '-' || reader, variant.id, 20, 1, 0
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM ab_variants) AS variant
    JOIN ab_experiment_phases AS phase USING (experiment_id)
    CROSS JOIN generate_series(0, %(users)s) AS reader"""
_REQUESTS = """
    INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)
    SELECT variant.experiment_id, variant.id, 'user-' || number || '-' || (random() * %(users)s)::int,
        %(end)s - interval '1 second'
            - random() * (%(end)s::timestamptz - %(start)s::timestamptz - interval '1 second'),
        80 + random() * 80, random() < 0.01, random() < 0.05
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM ab_variants) AS variant
    CROSS JOIN generate_series(1, %(each)s)"""


def seed_experiments(connection: Connection, experiments: int, start: datetime) -> None:
    """Experiments of three arms that began at `start`."""
    for statement in _EXPERIMENTS:
        connection.execute(statement, {"start": start, "experiments": experiments})


def seed_history(connection: Connection, start: datetime, end: datetime) -> None:
    """Stored rollups of every experiment for the hours in [start, end), without requests behind them."""
    connection.execute(_HISTORY, {"start": start, "end": end})


def seed_hours(
    connection: Connection, experiments: int, requests_per_hour: int, hours: int, *, lookback_hours: int = 48
) -> datetime:
    """Experiments with two weeks of rollups, and requests in each of the newest `hours`, not rolled up yet.

    Their users are known: each has been served before.

    The look-back before these hours has no requests, and no rollups that it would find to be wrong.

    Returns:
        The end of the newest complete hour.
    """
    end = newest_complete_hour(connection)
    start = end - HISTORY_HOURS * HOUR
    fresh = end - hours * HOUR
    seed_experiments(connection, experiments, start)
    seed_history(connection, start, fresh - (lookback_hours + 12) * HOUR)
    connection.execute(_ROLLED_UP, {"start": start, "end": fresh})
    connection.execute(_COVERED, {"start": start, "end": fresh})
    connection.execute(_DROPPED, {"end": fresh - (lookback_hours + 12) * HOUR})
    connection.execute(_USERS, {"start": start, "users": USERS_PER_ARM})
    each = requests_per_hour * hours // (experiments * ARMS)
    connection.execute(_REQUESTS, {"start": fresh, "end": end, "users": USERS_PER_ARM, "each": each})
    connection.execute("VACUUM (ANALYZE)")
    return end
