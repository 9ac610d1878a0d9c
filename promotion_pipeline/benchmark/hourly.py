"""One hourly run of the graph in this process, split into Dagster, database and evaluation; against an empty run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

from promotion_pipeline import names
from promotion_pipeline.config import Settings
from promotion_pipeline.dagster_instance import open_instance
from promotion_pipeline.in_process import InProcess
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection, open_store

HOUR = timedelta(hours=1)
HISTORY_HOURS = 336
ARMS = 3
USERS_PER_ARM = 150

SEED = {
    "experiments": """
        INSERT INTO ab_experiments (name, start_date)
        SELECT 'bench-' || n, %(start)s FROM generate_series(1, %(experiments)s) AS n""",
    "variants": """
        INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
        SELECT id, 'variant-' || arm, arm = 0, CASE WHEN arm = 0 THEN 33.34 ELSE 33.33 END
        FROM ab_experiments CROSS JOIN generate_series(0, 2) AS arm""",
    # Older than the look-back, so that the run does not look for their requests.
    "history": """
        INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
            latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares)
        SELECT hour, phase.experiment_id, phase.id, variant.id, 100, 4 + (random() * 3)::int, 1,
            100, 12000, 1500000, 0, 0
        FROM ab_experiment_phases AS phase JOIN ab_variants AS variant USING (experiment_id)
        CROSS JOIN generate_series(%(start)s, %(end)s - interval '60 hours', '1 hour') AS hour""",
    "hours": """
        INSERT INTO rollup_hours (hour, requests)
        SELECT hour, 0 FROM generate_series(%(start)s, %(end)s - interval '2 hours', '1 hour') AS hour""",
    "requests": """
        INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)
        SELECT variant.experiment_id, variant.id, 'user-' || number || '-' || (random() * %(users)s)::int,
            %(end)s - random() * interval '3599 seconds' - interval '1 second', 80 + random() * 80,
            random() < 0.01, random() < 0.05
        FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM ab_variants) AS variant
        CROSS JOIN generate_series(1, %(each)s)""",
}


QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dataclass(frozen=True)
class Split:
    """Seconds of one hourly run."""

    total: float
    database: float
    evaluation: float

    @property
    def dagster(self) -> float:
        """What is neither rollup, evaluation nor the reading and writing of frames: steps, events, asset checks."""
        return self.total - self.database - self.evaluation


@dg.op(name="nothing")
def _nothing() -> None:
    """An op that does nothing: what Dagster itself costs."""


@dg.job(executor_def=dg.in_process_executor)
def empty_run() -> None:
    """A run of one empty op."""
    _nothing()


def report(experiments: int = 1000, requests: int = 1_000_000) -> str:
    """Print-ready lines of one hourly run over `experiments` with `requests` in the hour."""
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        with store.connect() as connection:
            end = _seed(connection, experiments, requests)
        with open_instance(store) as instance:
            graph = InProcess(instance, store)
            empty = _empty_seconds(instance)
            first = _timed(graph, end)
            again = _timed(graph, end)
    lines = [f"hourly run of the graph in process, {experiments:,} experiments, {requests:,} requests in the hour"]
    for name, split in (("first run of the hour", first), ("the same hour again, nothing new", again)):
        lines.append(
            f"  {name:36} {split.total:6.2f} s = database {split.database:.2f} + evaluation {split.evaluation:.2f}"
            f" + Dagster and its checks {split.dagster:.2f}; {split.total / empty:.1f} times an empty run"
        )
    lines.append(f"  {'an empty Dagster run (one op)':36} {empty:6.2f} s, same executor and storage")
    return "\n".join(lines)


def _seed(connection: Connection, experiments: int, requests: int) -> datetime:
    end = newest_complete_hour(connection)
    values = {
        "start": end - HISTORY_HOURS * HOUR,
        "end": end,
        "experiments": experiments,
        "users": USERS_PER_ARM,
        "each": requests // (experiments * ARMS),
    }
    for statement in SEED.values():
        connection.execute(statement, values)
    connection.execute("VACUUM (ANALYZE)")
    return end


def _empty_seconds(instance: dg.DagsterInstance) -> float:
    """The second of two runs: the first one also imports."""
    for _ in range(2):
        begin = time.perf_counter()
        empty_run.execute_in_process(run_config=QUIET, instance=instance)
        seconds = time.perf_counter() - begin
    return seconds


def _timed(graph: InProcess, end: datetime) -> Split:
    begin = time.perf_counter()
    result = graph.run_hours(end - HOUR, end)
    total = time.perf_counter() - begin
    spent: dict[str, float] = {}
    for key in (names.ROLLUPS, names.DECISIONS):
        for event in result.all_events:
            if not event.is_step_materialization or event.asset_key != dg.AssetKey(key):
                continue
            for name, value in event.step_materialization_data.materialization.metadata.items():
                if name.startswith("seconds") and isinstance(value.value, (int, float)):
                    spent[f"{key}/{name}"] = float(value.value)
    evaluation = spent.get(f"{names.DECISIONS}/seconds_evaluate", 0.0)
    return Split(total, sum(spent.values()) - evaluation, evaluation)
