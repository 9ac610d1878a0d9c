"""The rollup of a day of one experiment whose split changed often, as a bandit's does: does it cost more?

Measured twice: with the changes within the day, so that all its phases have requests, and with all but the last one in
the weeks before.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from promotion_pipeline.benchmark.measure import Timing
from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.rollups.postgresql.days import ensure_days
from promotion_pipeline.rollups.postgresql.rollup import aggregate_requests
from promotion_pipeline.store.database import Connection, Store, open_store

START = datetime(2026, 3, 31, tzinfo=UTC)
END = START + timedelta(days=1)
FIRST_START = START - timedelta(days=30)
PLACES = {"within the day": START, "in the month before": FIRST_START}
COUNTS = (1, 300, 1_000)
_SEED = (
    "INSERT INTO ab_experiments (name, start_date) VALUES ('bandit', %(first)s)",
    """
    INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
    SELECT id, 'variant-' || arm, arm = 0, CASE WHEN arm = 0 THEN 33.34 ELSE 33.33 END
    FROM ab_experiments CROSS JOIN generate_series(0, 2) AS arm""",
    """
    INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)
    SELECT experiment_id, id, 'user-' || (random() * 10000)::int, %(start)s + random() * interval '1 day',
        80 + random() * 80, random() < 0.01, random() < 0.05
    FROM ab_variants CROSS JOIN generate_series(1, %(requests)s / 3)""",
)
_PHASES = """
    INSERT INTO ab_experiment_phases (experiment_id, started_at, ended_at, traffic, is_running)
    SELECT id, %(from)s + (n - 1) * %(each)s,
        CASE WHEN n < %(phases)s THEN %(from)s + n * %(each)s END, '{}', true
    FROM ab_experiments CROSS JOIN generate_series(1, %(phases)s) AS n"""


def report(requests: int = 100_000, runs: int = 7) -> str:
    """Print-ready lines: medians by the number of phases, and their ratio to one phase."""
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder) / "home")) as store:
        ensure_days(store, START.date(), END.date())
        with store.connect() as connection, connection.transaction():
            for statement in _SEED:
                connection.execute(statement, {"first": FIRST_START, "start": START, "requests": requests})
        with store.connect() as connection:
            connection.execute("VACUUM (ANALYZE) ai_requests")
        found = _timings(store, runs)
    lines = [f"rollup of a day of one experiment, {requests:,} requests, medians of {runs} interleaved runs"]
    for where in PLACES:
        one = found[where, COUNTS[0]].median
        for phases in COUNTS:
            median = found[where, phases].median
            lines.append(f"  {phases:>5,} phases {where:<20} {median:7.3f} s   {median / one:5.2f} times one phase")
    return "\n".join(lines)


def _timings(store: Store, runs: int) -> dict[tuple[str, int], Timing]:
    seconds: dict[tuple[str, int], list[float]] = {(where, phases): [] for where in PLACES for phases in COUNTS}
    for run in range(1 + runs):
        for (where, phases), measured in seconds.items():
            with store.connect() as connection:
                _set_phases(connection, PLACES[where], phases)
            begin = time.perf_counter()
            rows = aggregate_requests(store, START, END)
            if run:
                measured.append(time.perf_counter() - begin)
            if rows.empty:
                raise DependencyError(f"no request was found in {phases} phases {where}")
    return {case: Timing(" ".join(map(str, case)), tuple(measured)) for case, measured in seconds.items()}


def _set_phases(connection: Connection, first: datetime, phases: int) -> None:
    each = (END - first) / phases if first == START else (START - first) / phases
    connection.execute("TRUNCATE ab_experiment_phases CASCADE")
    connection.execute(_PHASES, {"from": first, "each": each, "phases": phases})
