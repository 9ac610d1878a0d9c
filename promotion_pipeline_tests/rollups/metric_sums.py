"""A random stream of requests and events that come late, repeated and in any order, and the sums of metrics made of it.

`python -m promotion_pipeline_tests.rollups.metric_sums --events 1000000` compares the stored sums with the raw rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from promotion_pipeline.config import Settings
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Connection, Store, open_store
from promotion_pipeline_tests.rollups.metric_oracle import assert_same_sums, raw_metric_sums, stored_metric_sums
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 30
END = START + HOURS * HOUR
BOUNDARY = START + timedelta(hours=17, minutes=20)
BATCHES = 10
METRICS: list[dict[str, Any]] = [
    {
        "name": "buyers",
        "kind": "user_proportion",
        "event": "purchase",
        "role": "goal",
        "covariate": "same_metric_before",
        "covariateDays": 2,
    },
    {
        "name": "revenue",
        "kind": "user_mean",
        "event": "purchase",
        "role": "goal",
        "cap": 200,
        "covariate": "same_metric_before",
        "covariateDays": 1,
    },
    {"name": "purchases", "kind": "user_count", "event": "purchase", "role": "secondary"},
    {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "purchases", "role": "secondary"},
    {"name": "latency", "kind": "request_mean", "column": "latency_ms", "role": "guardrail", "direction": "decrease"},
    {"name": "value", "kind": "request_mean", "column": "value", "role": "secondary", "cap": 20},
    {"name": "value per user", "kind": "user_mean", "column": "value", "role": "secondary"},
    {"name": "failed", "kind": "user_proportion", "column": "is_error", "role": "guardrail", "direction": "decrease"},
]


def seed(store: Store, name: str, metrics: list[dict[str, Any]] = METRICS) -> Seeded:
    """Two arms without requests, whose split changes in the middle of hour 17."""
    arms = [VariantSpec("control", is_control=True), VariantSpec("treatment")]
    seeded = seed_experiment(store, name, arms, start=START, end=END, promotion_config={"metrics": metrics})
    with store.connect() as connection:
        connection.execute(
            "UPDATE ab_experiment_phases SET ended_at = %s WHERE experiment_id = %s", (BOUNDARY, seeded.id)
        )
        connection.execute(
            "INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running, fixed)"
            " SELECT experiment_id, ended_at, traffic, true, fixed FROM ab_experiment_phases WHERE experiment_id = %s",
            (seeded.id,),
        )
    return seeded


def add_requests(connection: Connection, seeded: Seeded, rng: np.random.Generator, count: int, users: int) -> None:
    """Requests at random times; a tenth without a user, users mostly in one arm, values in whole cents."""
    user = rng.integers(0, users, count)
    arm = np.where(rng.random(count) < 0.05, 1 - user % 2, user % 2)
    variants = [str(seeded.variant_ids[name]) for name in ("control", "treatment")]
    connection.execute(
        """
        INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, converted, is_error, latency_ms, value)
        SELECT %s, v, nullif(u, ''), %s + s * interval '1 second', m %% 3 = 0, m %% 50 = 0,
            CASE WHEN m %% 7 <> 0 THEN m / 8.0 END, CASE WHEN m %% 4 <> 0 THEN m / 100.0 END
        FROM unnest(%s::uuid[], %s::text[], %s::float8[], %s::integer[]) AS t(v, u, s, m)
        """,
        (
            seeded.id,
            START,
            [variants[a] for a in arm],
            ["" if nobody else f"user {u}" for u, nobody in zip(user, rng.random(count) < 0.1, strict=True)],
            rng.uniform(0, HOURS * 3600, count).tolist(),
            rng.integers(1, 5000, count).tolist(),
        ),
    )


def add_events(
    connection: Connection, experiments: list[UUID], rng: np.random.Generator, first: int, count: int, users: int
) -> None:
    """Events, numbered from `first` on: of anybody at any time, before exposure too, a twentieth refunds.

    Those numbered before are sent once more with it, a tenth of them with this batch.
    """
    again = rng.integers(0, first, count // 10) if first else np.empty(0, int)
    number = np.concatenate([np.arange(first, first + count), again])
    rng.shuffle(number)
    connection.execute(
        """
        INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)
        SELECT md5('event ' || n)::uuid, (%s::uuid[])[1 + (hashint4(n) %% 20 = 0)::integer],
            'user ' || abs(hashint4(n + 1)::bigint) %% %s,
            %s + (abs(hashint4(n + 2)::bigint) %% %s) * interval '1 second',
            CASE WHEN hashint4(n + 3) %% 5 = 0 THEN 'other' ELSE 'purchase' END,
            CASE WHEN hashint4(n + 4) %% 20 = 0 THEN -1 ELSE 1 END * (abs(hashint4(n + 5)::bigint) %% 10000) / 100.0
        FROM unnest(%s::integer[]) AS n ON CONFLICT (id) DO NOTHING
        """,
        (
            [str(key) for key in experiments],
            users,
            START - 40 * HOUR,
            (HOURS + 40) * 3600,
            number.tolist(),
        ),
    )


def remove_requests(connection: Connection, seeded: Seeded) -> None:
    """Delete all requests of a fifth of the users and a tenth of the others, but no hour whole: its sums would stay."""
    connection.execute(
        """
        WITH marked AS (
            SELECT id, date_bin('1 hour', created_at, '2000-01-01 00:00:00+00') AS hour, created_at < %s AS is_first,
                coalesce(hashtext(user_id) %% 5 = 0, false) OR hashtext(id::text) %% 10 = 0 AS goes
            FROM ai_requests WHERE experiment_id = %s
        )
        DELETE FROM ai_requests AS request USING marked
        WHERE request.id = marked.id AND marked.goes AND EXISTS (SELECT 1 FROM marked AS stays
            WHERE NOT stays.goes AND (stays.hour, stays.is_first) = (marked.hour, marked.is_first))
        """,
        (BOUNDARY, seeded.id),
    )


def compare(
    store: Store, seeded: Seeded, other: UUID, rng: np.random.Generator, requests: int, events: int, users: int
) -> int:
    """Send everything in batches, each followed by a rollup of a random window, and delete some.

    Returns the rows that were compared.
    """
    with store.connect() as connection:
        for batch in range(BATCHES):
            add_requests(connection, seeded, rng, requests // BATCHES, users)
            add_events(
                connection, [seeded.id, other], rng, batch * (events // BATCHES), events // BATCHES, users * 11 // 10
            )
            start = int(rng.integers(0, HOURS))
            rollup_window(store, START + start * HOUR, START + (int(rng.integers(start, HOURS)) + 1) * HOUR)
        remove_requests(connection, seeded)
        rollup_window(store, START, END)
        expected = raw_metric_sums(connection, seeded.id)
        assert_same_sums(stored_metric_sums(connection, seeded.id), expected)
        return len(expected)


def main(arguments: list[str] | None = None) -> int:
    """Compare `--events` events and as many requests."""
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline_tests.rollups.metric_sums", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        seeded, other = seed(store, "campaign"), seed(store, "another", [])
        rng = np.random.default_rng(chosen.seed)
        rows = compare(store, seeded, other.id, rng, chosen.requests, chosen.events, chosen.users)
    sys.stdout.write(
        f"{chosen.events:,} events and {chosen.requests:,} requests of {chosen.users:,} users in {BATCHES} batches,"
        f" late and in any order, a tenth of the events sent again: {len(METRICS)} metrics have the raw rows' sums"
        f" at each of {rows:,} (hour, phase, arm, metric), counts exactly, the others within 1e-9;"
        f" {time.perf_counter() - begin:.0f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
