"""The hourly run of experiments that state metrics beside that of experiments that state none."""

from __future__ import annotations

import tempfile
from pathlib import Path

from psycopg.types.json import Jsonb

from promotion_pipeline.benchmark.hourly import Split, timed
from promotion_pipeline.benchmark.seed import seed_hours
from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.instance import open_instance
from promotion_pipeline.store.database import open_store
from promotion_pipeline.store.windows import HOUR

METRICS: list[dict[str, object]] = [
    {"name": "buyers", "kind": "user_proportion", "event": "purchase", "role": "goal"},
    {"name": "revenue", "kind": "user_mean", "event": "purchase", "role": "secondary", "cap": 500},
    {"name": "purchases", "kind": "user_count", "event": "purchase", "role": "secondary"},
    {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "purchases", "role": "secondary"},
    {"name": "latency", "kind": "request_mean", "column": "latency_ms", "role": "guardrail", "direction": "decrease"},
]
EVENTS_EACH = 10
"""One event for so many requests."""
_EVENTS = """
    INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)
    SELECT gen_random_uuid(), experiment_id, user_id, created_at + interval '1 second', 'purchase',
        round((random() * 100)::numeric, 2)
    FROM ai_requests WHERE random() < 1.0 / %(each)s"""


def report(experiments: int = 100, requests: int = 100_000) -> str:
    """Print-ready lines of the hourly run over `experiments` with `requests` in the hour, without and with metrics."""
    without, with_metrics = _run(experiments, requests, []), _run(experiments, requests, METRICS)
    lines = [
        f"hourly run of the graph in process, {experiments:,} experiments, {requests:,} requests and"
        f" {requests // EVENTS_EACH:,} events in the hour, the hour before it summed up already"
    ]
    for name, split in (("no metrics", without), (f"{len(METRICS)} metrics each", with_metrics)):
        lines.append(
            f"  {name:36} {split.total:6.2f} s = database {split.database:.2f} + evaluation {split.evaluation:.2f}"
            f" + Dagster and its checks {split.dagster:.2f}"
        )
    return "\n".join(lines)


def _run(experiments: int, requests: int, metrics: list[dict[str, object]]) -> Split:
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        with store.connect() as connection:
            end = seed_hours(connection, experiments, requests, 2)
            connection.execute("UPDATE ab_experiments SET promotion_config = %s", [Jsonb({"metrics": metrics})])
            connection.execute(_EVENTS, {"each": EVENTS_EACH})
            connection.execute("VACUUM (ANALYZE)")
        with open_instance(store) as instance:
            graph = InProcess(instance, store)
            graph.run_hours(end - 2 * HOUR, end - HOUR)
            return timed(graph, end)
