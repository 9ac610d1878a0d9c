"""The user-level moments that the rollups add up to are those of the raw requests, at every hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.frames import read_rollups
from promotion_pipeline.store.live import rollups_as_of
from promotion_pipeline.store.rollup import rollup_window
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
CLOSE = ["user_value_sum_squares", "user_value_requests_sum_products"]


def _seed(store: Store, name: str) -> Seeded:
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


def _insert(connection: Connection, seeded: Seeded, rng: np.random.Generator, count: int, users: int) -> None:
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


def _from_raw_rows(connection: Connection) -> pd.DataFrame:
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
            }
        )
        sums = moments.groupby(["phase_id", "variant_id"]).sum()
        found.append(sums.assign(hour=pd.Timestamp(START + number * HOUR)))
    return pd.concat(found).set_index("hour", append=True)


def _assert_same(rollups: pd.DataFrame, raw: pd.DataFrame) -> None:
    hours = pd.date_range(START, periods=HOURS, freq="h")
    for (phase_id, variant_id), own in raw.groupby(level=["phase_id", "variant_id"]):
        mine = rollups[(rollups["phase_id"] == phase_id) & (rollups["variant_id"] == variant_id)]
        by_hour = mine.groupby("hour")[[*EXACT, *CLOSE]].sum().reindex(hours, fill_value=0).cumsum()
        cumulative = by_hour.loc[own.index.get_level_values("hour")].set_axis(own.index)
        for name in EXACT:
            assert cumulative[name].tolist() == own[name].tolist(), name
        for name in CLOSE:
            np.testing.assert_allclose(cumulative[name], own[name], rtol=1e-9)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), batches=st.integers(1, 4), users=st.sampled_from([3, 40, 400]))
def test_late_rows_and_several_phases_keep_the_moments_exact(store: Store, seed: int, batches: int, users: int) -> None:
    rng = np.random.default_rng(seed)
    seeded = _seed(store, f"random {uuid4()}")
    with store.connect() as connection:
        connection.execute("DELETE FROM ai_requests")
        connection.execute("DELETE FROM rollup_hours")
        for _ in range(batches):
            _insert(connection, seeded, rng, 150, users)
            start = int(rng.integers(0, HOURS))
            stop = int(rng.integers(start, HOURS)) + 1
            rollup_window(store, START + start * HOUR, START + stop * HOUR)
        raw = _from_raw_rows(connection)
        own = [str(seeded.id)]
        rollup_window(store, START, END)
        _assert_same(read_rollups(store, START, END, own), raw)


def test_hours_that_were_not_rolled_up_yet_count_as_if_they_were(store: Store, connection: Connection) -> None:
    seeded = _seed(store, "live")
    _insert(connection, seeded, np.random.default_rng(1), 600, 25)
    raw = _from_raw_rows(connection)
    rollup_window(store, START + 3 * HOUR, START + 9 * HOUR)
    rollup_window(store, START + 18 * HOUR, START + 25 * HOUR)
    live = rollups_as_of(store, END, [str(seeded.id)])
    current = raw[raw.index.get_level_values("phase_id").isin(set(live["phase_id"]))]
    _assert_same(live, current)


def test_a_rollup_of_unchanged_requests_touches_no_user(store: Store, connection: Connection) -> None:
    seeded = _seed(store, "again")
    _insert(connection, seeded, np.random.default_rng(2), 300, 25)
    rollup_window(store, START, END)
    before = connection.execute("SELECT xmin::text, * FROM hourly_user_rollups ORDER BY 2, 3, 4, 5").fetchall()
    rollup_window(store, START, END)
    assert connection.execute("SELECT xmin::text, * FROM hourly_user_rollups ORDER BY 2, 3, 4, 5").fetchall() == before


def test_a_conversion_that_arrives_later_moves_the_moments(store: Store, connection: Connection) -> None:
    seeded = _seed(store, "converted later")
    _insert(connection, seeded, np.random.default_rng(3), 300, 25)
    rollup_window(store, START, END)
    connection.execute("UPDATE ai_requests SET converted = true WHERE created_at < %s", (START + 5 * HOUR,))
    rollup_window(store, START, START + 6 * HOUR)
    _assert_same(read_rollups(store, START, END), _from_raw_rows(connection))


@pytest.mark.parametrize("window", [(0, HOURS), (5, 6)])
def test_requests_that_are_deleted_leave_the_moments(
    store: Store, connection: Connection, window: tuple[int, int]
) -> None:
    seeded = _seed(store, "deleted")
    _insert(connection, seeded, np.random.default_rng(4), 300, 25)
    rollup_window(store, START, END)
    connection.execute(
        "DELETE FROM ai_requests WHERE created_at >= %s AND created_at < %s", (START + 5 * HOUR, START + 6 * HOUR)
    )
    rollup_window(store, START + window[0] * HOUR, START + window[1] * HOUR)
    _assert_same(read_rollups(store, START, END), _from_raw_rows(connection))
