"""A random stream of requests and its user-level moments, computed from the raw rows.

`python -m promotion_pipeline_tests.store.user_moments` compares them with the rollups on 1,000,000 requests that arrive
late, in several phases, and with windows rolled up in random order.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from promotion_pipeline.config import Settings
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store, open_store
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 30
END = START + HOURS * HOUR
BOUNDARY = START + timedelta(hours=17, minutes=20)
EXACT = [
    "new_users",
    "user_requests",
    "user_conversions",
    "user_conversions_sum_squares",
    "user_requests_sum_squares",
    "user_conversions_requests_sum_products",
    "crossed_users",
]
CLOSE = ["user_value_sum_squares", "user_value_requests_sum_products", "user_requests_sum_sixteenth_powers"]
OF_PHASE = "crossed_requests"
"""Exact as the sum over the variants: with a crossing, earlier requests to one variant count beside another."""


def seed(store: Store, name: str) -> Seeded:
    """Two arms without requests, whose split changes in the middle of hour 17."""
    arms = [VariantSpec("control", is_control=True), VariantSpec("treatment")]
    seeded = seed_experiment(store, name, arms, start=START, end=END)
    with store.connect() as connection:
        connection.execute(
            "UPDATE ab_experiment_phases SET ended_at = %s WHERE experiment_id = %s", (BOUNDARY, seeded.id)
        )
        connection.execute(
            "INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)"
            " SELECT experiment_id, ended_at, traffic, true FROM ab_experiment_phases WHERE experiment_id = %s",
            (seeded.id,),
        )
    return seeded


def insert(connection: Connection, seeded: Seeded, rng: np.random.Generator, count: int, users: int) -> None:
    """Requests at random times; a tenth without a user, users mostly in one arm, values in whole cents."""
    user = rng.integers(0, users, count)
    arm = np.where(rng.random(count) < 0.05, 1 - user % 2, user % 2)
    variants = [str(seeded.variant_ids[name]) for name in ("control", "treatment")]
    connection.execute(
        """
        INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, converted, value)
        SELECT %s, v, nullif(u, ''), %s + s * interval '1 second', c, m / 100.0
        FROM unnest(%s::uuid[], %s::text[], %s::float8[], %s::boolean[], %s::integer[]) AS t(v, u, s, c, m)
        """,
        (
            seeded.id,
            START,
            [variants[a] for a in arm],
            ["" if anonymous else f"user {u}" for u, anonymous in zip(user, rng.random(count) < 0.1, strict=True)],
            rng.uniform(0, HOURS * 3600, count).tolist(),
            (rng.random(count) < 0.3).tolist(),
            rng.integers(0, 5000, count).tolist(),
        ),
    )


def from_raw_rows(connection: Connection) -> pd.DataFrame:
    """Cumulative moments by (phase, variant, hour), each computed from all requests up to the end of the hour."""
    rows = connection.execute(
        """SELECT phase.id::text AS phase_id, variant_id::text, user_id, created_at, converted, value
        FROM ai_requests JOIN ab_experiment_phases AS phase USING (experiment_id)
        WHERE user_id IS NOT NULL AND created_at >= started_at AND created_at < coalesce(ended_at, 'infinity')"""
    ).fetchall()
    raw = pd.DataFrame(rows).astype({"value": float})
    found = []
    for number in range(HOURS):
        seen = raw[raw["created_at"] < START + (number + 1) * HOUR]
        users = seen.groupby(["phase_id", "variant_id", "user_id"]).agg(
            d=("converted", "size"), y=("converted", "sum"), v=("value", "sum"), first=("created_at", "min")
        )
        users["first"] = users["first"].dt.floor("h")
        order = users.reset_index().sort_values(["first", "variant_id"]).groupby(["phase_id", "user_id"]).cumcount()
        users["crossed"] = order.reindex(np.arange(len(users))).to_numpy() > 0
        moments = pd.DataFrame(
            {
                "new_users": 1,
                "user_requests": users["d"],
                "user_conversions": users["y"],
                "user_conversions_sum_squares": users["y"] ** 2,
                "user_requests_sum_squares": users["d"] ** 2,
                "user_conversions_requests_sum_products": users["y"] * users["d"],
                "crossed_users": users["crossed"].astype(int),
                "user_value_sum_squares": users["v"] ** 2,
                "user_value_requests_sum_products": users["v"] * users["d"],
                "user_requests_sum_sixteenth_powers": users["d"].astype(float) ** 16,
            }
        )
        sums = moments.groupby(["phase_id", "variant_id"]).sum()
        people = users.groupby(level=["phase_id", "user_id"])["d"].agg(["sum", "size"])
        of_phase = people.loc[people["size"] > 1, "sum"].groupby(level="phase_id").sum()
        phases = sums.index.get_level_values("phase_id")
        sums[OF_PHASE] = of_phase.reindex(phases).fillna(0).astype(int).to_numpy()
        found.append(sums.assign(hour=pd.Timestamp(START + number * HOUR)))
    return pd.concat(found).set_index("hour", append=True)


def assert_same(rollups: pd.DataFrame, raw: pd.DataFrame) -> None:
    hours = pd.date_range(START, periods=HOURS, freq="h")
    for (phase_id, variant_id), own in raw.groupby(level=["phase_id", "variant_id"]):
        mine = rollups[(rollups["phase_id"] == phase_id) & (rollups["variant_id"] == variant_id)]
        by_hour = mine.groupby("hour")[[*EXACT, *CLOSE]].sum().reindex(hours, fill_value=0).cumsum()
        cumulative = by_hour.loc[own.index.get_level_values("hour")].set_axis(own.index)
        for name in EXACT:
            assert cumulative[name].tolist() == own[name].tolist(), name
        all_arms = rollups[rollups["phase_id"] == phase_id].groupby("hour")[OF_PHASE].sum().reindex(hours, fill_value=0)
        of_phase = all_arms.cumsum().loc[own.index.get_level_values("hour")]
        assert of_phase.tolist() == own[OF_PHASE].tolist()
        for name in CLOSE:
            np.testing.assert_allclose(cumulative[name], own[name], rtol=1e-9)


def main(arguments: list[str] | None = None) -> int:
    """Compare on `--requests` rows, in ten batches each followed by a rollup of a random window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(chosen.seed)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, open_store(Settings(home=Path(folder))) as store:
        seeded = seed(store, "campaign")
        with store.connect() as connection:
            for _ in range(10):
                insert(connection, seeded, rng, chosen.requests // 10, chosen.users)
                start = int(rng.integers(0, HOURS))
                rollup_window(store, START + start * HOUR, START + (int(rng.integers(start, HOURS)) + 1) * HOUR)
            rollup_window(store, START, END)
            raw = from_raw_rows(connection)
            assert_same(read_rollups(store, START, END), raw)
    sys.stdout.write(
        f"{chosen.requests:,} requests of {chosen.users:,} users in 10 late batches: {len(EXACT)} moments equal"
        f" those of the raw rows exactly, {len(CLOSE)} moments of values within 1e-9,"
        f" at each of {len(raw)} (phase, arm, hour);"
        f" {time.perf_counter() - begin:.0f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
