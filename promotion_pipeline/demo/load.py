"""Writes the demo's experiments and requests, and retires those of an earlier demo.

What the demo made is told by its ids, never by its names alone: other people's experiments are not touched.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg.types.json import Jsonb

from promotion_pipeline.demo.experiments import DEMO_EXPERIMENTS, DemoExperiment
from promotion_pipeline.demo.generate import Requests, generate, request_counts
from promotion_pipeline.errors import ConflictError
from promotion_pipeline.rollups.postgresql.days import ensure_days
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.database import Connection, Store

DEMO_ID = "de300000-0000-4000-8000-"
IS_DEMO = f"id::text LIKE '{DEMO_ID}%'"
ROWS_A_CHUNK = 50_000
COLUMNS = "experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted, value"


@dataclass(frozen=True)
class Seeded:
    """What was written."""

    experiment_ids: dict[str, UUID]
    """Experiment's name -> id."""
    requests: int
    start: datetime
    end: datetime
    """End of the newest complete hour."""


def foreign_experiments(connection: Connection) -> list[str]:
    """Names of the experiments that the demo did not make."""
    rows = connection.execute(f"SELECT name FROM ab_experiments WHERE NOT {IS_DEMO} ORDER BY name")
    return [row["name"] for row in rows]


def require_own_database(connection: Connection, *, force: bool) -> None:
    """Refuse a database with other people's experiments unless forced, and one that uses the demo's names always.

    Raises:
        ConflictError: it has some; says what to do.
    """
    foreign = foreign_experiments(connection)
    taken = sorted(set(foreign) & {experiment.name for experiment in DEMO_EXPERIMENTS})
    if taken:
        raise ConflictError(f"the experiment {taken[0]!r} in this database is not the demo's: rename it first")
    if foreign and not force:
        raise ConflictError(
            f"this database holds {len(foreign)} experiments that are not the demo's ({', '.join(foreign[:3])}"
            f"{', ...' if len(foreign) > 3 else ''}): use another database (AUTO_PROMOTION_HOME or"
            " AUTO_PROMOTION_DATABASE_URL), or --force to add the demo's beside them"
        )


RETIRE = (
    # As if they had never run: no later evaluation judges these hours again, and no promotion of theirs is watched.
    "UPDATE ab_experiment_phases SET is_running = false WHERE experiment_id = ANY(%(ids)s)",
    "UPDATE experiment_promotions SET state = 'rolled_back', rollback_at = now(), rolled_back_by = 'demo',"
    " rollback_reason = 'replaced by a new demo'"
    " WHERE experiment_id = ANY(%(ids)s) AND state IN ('ramping', 'promoted')",
    "UPDATE promotion_approvals SET state = 'superseded', answered_at = now(), answered_by = 'demo',"
    " reason = 'replaced by a new demo' WHERE experiment_id = ANY(%(ids)s) AND state = 'awaiting_approval'",
    "DELETE FROM ai_requests WHERE experiment_id = ANY(%(ids)s)",
    "DELETE FROM hourly_variant_rollups WHERE experiment_id = ANY(%(ids)s)",
)


def retire_earlier_demo(connection: Connection) -> int:
    """Rename and stop the experiments of an earlier demo and drop their requests; their history stays.

    Returns how many were retired.
    """
    with connection.transaction():
        rows = connection.execute(
            f"UPDATE ab_experiments SET name = name || ' (' || right(id::text, 12)::int / 100 || ')', is_active = false"
            f" WHERE {IS_DEMO} AND name NOT LIKE '%% (%%)' RETURNING id",
        ).fetchall()
        ids = [row["id"] for row in rows]
        for statement in RETIRE:
            connection.execute(statement, {"ids": ids})
    return len(ids)


def seed(store: Store, total: int, advance: Callable[[float], None]) -> Seeded:
    """Write the experiments and about `total` requests, up to this minute of the database's clock."""
    oldest = max(experiment.hours for experiment in DEMO_EXPERIMENTS)
    with store.connect() as connection:
        end, now = newest_complete_hour(connection), database_now(connection)
        ensure_days(store, (end - timedelta(hours=oldest)).astimezone(UTC).date(), now.astimezone(UTC).date())
        with connection.transaction():
            ids = _write_experiments(connection, end)
        counts = request_counts(total)
        written, whole = 0, sum(counts.values())
        for experiment in DEMO_EXPERIMENTS:
            start = end - timedelta(hours=experiment.hours)
            requests = generate(experiment, counts[experiment.name], (now - start).total_seconds())
            for table in _tables(requests, ids[experiment.name], start):
                _copy(connection, table)
                written += table.num_rows
                advance(written / whole)
        connection.execute("ANALYZE ai_requests")
    return Seeded({name: found[0] for name, found in ids.items()}, written, end - timedelta(hours=oldest), end)


def _write_experiments(connection: Connection, end: datetime) -> dict[str, list[UUID]]:
    """Experiment's name -> its id, then the ids of its variants."""
    row = connection.execute(
        f"SELECT coalesce(max(right(id::text, 12)::bigint / 100), 0) + 1 AS run FROM ab_experiments WHERE {IS_DEMO}"
    ).fetchone()
    assert row is not None
    ids: dict[str, list[UUID]] = {}
    for number, experiment in enumerate(DEMO_EXPERIMENTS):
        own = UUID(f"{DEMO_ID}{row['run'] * 100 + number:012d}")
        ids[experiment.name] = [own, *_write_experiment(connection, own, experiment, end)]
    return ids


def _write_experiment(connection: Connection, own: UUID, experiment: DemoExperiment, end: datetime) -> Iterator[UUID]:
    connection.execute(
        "INSERT INTO ab_experiments (id, name, is_active, start_date, promotion_config) VALUES (%s, %s, true, %s, %s)",
        [own, experiment.name, end - timedelta(hours=experiment.hours), Jsonb(experiment.config)],
    )
    for number, arm in enumerate(experiment.arms):
        row = connection.execute(
            "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
            " VALUES (%s, %s, %s, %s) RETURNING id",
            [own, arm.name, number == 0, arm.traffic],
        ).fetchone()
        assert row is not None
        yield row["id"]


def _tables(requests: Requests, ids: list[UUID], start: datetime) -> Iterator[pa.Table]:
    """The rows as Arrow tables in the order of time, a chunk at a time."""
    order = requests.second.argsort(kind="stable")
    epoch_us = int(start.timestamp() * 1_000_000)
    variants = pa.array([str(variant) for variant in ids[1:]])
    table = pa.table(
        {
            "experiment_id": pa.repeat(str(ids[0]), len(order)),
            "variant_id": variants.take(pa.array(requests.arm[order])),
            "user_id": pa.array(np.char.add("user-", requests.user[order].astype(str))),
            "created_at": pa.array(
                epoch_us + (requests.second[order] * 1_000_000).astype("int64"), pa.timestamp("us", tz="UTC")
            ),
            "latency_ms": requests.latency_ms[order],
            "is_error": requests.is_error[order],
            "converted": requests.converted[order],
            "value": pa.array(requests.value[order], from_pandas=True),
        }
    )
    for first in range(0, table.num_rows, ROWS_A_CHUNK):
        yield table.slice(first, ROWS_A_CHUNK)


def _copy(connection: Connection, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pa_csv.write_csv(table, buffer, pa_csv.WriteOptions(include_header=False))
    with connection.cursor().copy(f"COPY ai_requests ({COLUMNS}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(buffer.getvalue())
