"""The user-level moments that the rollups add up to are those of the raw requests, at every hour."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import DictRow

from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.store.user_moments import (
    END,
    HOUR,
    HOURS,
    START,
    assert_same,
    from_raw_rows,
    insert,
    seed,
)


def _totals(connection: Connection) -> list[DictRow]:
    return connection.execute("SELECT * FROM user_totals ORDER BY phase_id, user_id, variant_id").fetchall()


def _sums_of_hours(connection: Connection) -> list[DictRow]:
    return connection.execute(
        """SELECT phase_id, user_id, variant_id, sum(requests)::bigint AS requests,
            sum(conversions)::bigint AS conversions, sum(value) AS value
        FROM hourly_user_rollups GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    ).fetchall()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 2**31), batches=st.integers(1, 4), users=st.sampled_from([3, 40, 400]))
def test_late_rows_and_several_phases_keep_the_moments_exact(
    store: Store, number: int, batches: int, users: int
) -> None:
    rng = np.random.default_rng(number)
    seeded = seed(store, f"random {uuid4()}")
    with store.connect() as connection:
        connection.execute("DELETE FROM ai_requests")
        connection.execute("DELETE FROM rollup_hours")
        for _ in range(batches):
            insert(connection, seeded, rng, 150, users)
            start = int(rng.integers(0, HOURS))
            stop = int(rng.integers(start, HOURS)) + 1
            rollup_window(store, START + start * HOUR, START + stop * HOUR)
        raw = from_raw_rows(connection)
        own = [str(seeded.id)]
        rollup_window(store, START, END)
        assert_same(read_rollups(store, START, END, own), raw)
        assert _totals(connection) == _sums_of_hours(connection)


def test_hours_that_were_not_rolled_up_yet_count_as_if_they_were(store: Store, connection: Connection) -> None:
    seeded = seed(store, "live")
    insert(connection, seeded, np.random.default_rng(1), 600, 25)
    raw = from_raw_rows(connection)
    rollup_window(store, START + 3 * HOUR, START + 9 * HOUR)
    rollup_window(store, START + 18 * HOUR, START + 25 * HOUR)
    live = rollups_as_of(store, END, [str(seeded.id)])
    current = raw[raw.index.get_level_values("phase_id").isin(set(live["phase_id"]))]
    assert_same(live, current)


def test_a_rollup_of_unchanged_requests_touches_no_user(store: Store, connection: Connection) -> None:
    seeded = seed(store, "again")
    insert(connection, seeded, np.random.default_rng(2), 300, 25)
    rollup_window(store, START, END)
    before = connection.execute("SELECT xmin::text, * FROM hourly_user_rollups ORDER BY 2, 3, 4, 5").fetchall()
    rollup_window(store, START, END)
    assert connection.execute("SELECT xmin::text, * FROM hourly_user_rollups ORDER BY 2, 3, 4, 5").fetchall() == before


def test_a_conversion_that_arrives_later_moves_the_moments(store: Store, connection: Connection) -> None:
    seeded = seed(store, "converted later")
    insert(connection, seeded, np.random.default_rng(3), 300, 25)
    rollup_window(store, START, END)
    connection.execute("UPDATE ai_requests SET converted = true WHERE created_at < %s", (START + 5 * HOUR,))
    rollup_window(store, START, START + 6 * HOUR)
    assert_same(read_rollups(store, START, END), from_raw_rows(connection))


@pytest.mark.parametrize("window", [(0, HOURS), (5, 6)])
def test_requests_that_are_deleted_leave_the_moments(
    store: Store, connection: Connection, window: tuple[int, int]
) -> None:
    seeded = seed(store, "deleted")
    insert(connection, seeded, np.random.default_rng(4), 300, 25)
    rollup_window(store, START, END)
    connection.execute(
        "DELETE FROM ai_requests WHERE NOT converted AND created_at >= %s AND created_at < %s",
        (START + 5 * HOUR, START + 6 * HOUR),
    )
    rollup_window(store, START + window[0] * HOUR, START + window[1] * HOUR)
    assert_same(read_rollups(store, START, END), from_raw_rows(connection))


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM hourly_user_rollups WHERE hour = (SELECT max(hour) FROM hourly_user_rollups)",
        "DELETE FROM hourly_user_rollups WHERE phase_id = (SELECT phase_id FROM hourly_user_rollups LIMIT 1)",
        "UPDATE hourly_user_rollups SET requests = requests + 1, user_id = 'user 1' WHERE user_id = 'nobody'",
        "UPDATE hourly_user_rollups SET requests = requests + 3, conversions = 0, value = value / 2",
        "INSERT INTO hourly_user_rollups SELECT phase_id, user_id, variant_id, hour + interval '9 days', 1, 1, 0.5"
        " FROM hourly_user_rollups",
        "TRUNCATE hourly_user_rollups",
    ],
)
def test_the_totals_of_users_follow_their_hours_whatever_changes_them(
    store: Store, connection: Connection, change: str
) -> None:
    seeded = seed(store, "totals")
    insert(connection, seeded, np.random.default_rng(5), 300, 25)
    rollup_window(store, START, END)
    before = _totals(connection)
    assert before
    connection.execute(change.encode())
    assert _totals(connection) == _sums_of_hours(connection)
    assert (_totals(connection) == before) == ("nobody" in change)


@pytest.mark.parametrize("blank", ["", "  ", "\t", "\r\n"])
def test_an_id_of_white_space_is_nobodys(store: Store, blank: str) -> None:
    seeded = seed(store, f"blank {uuid4()}")
    with store.connect() as connection:
        for user in (blank, blank, "somebody"):
            connection.execute(
                "INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, converted)"
                " VALUES (%s, %s, %s, %s, %s)",
                (seeded.id, seeded.variant_ids["control"], user, START + HOUR / 2, True),
            )
        as_of = rollups_as_of(store, START + HOUR, [str(seeded.id)])
        rollup_window(store, START, END)
        users = connection.execute(
            "SELECT user_id FROM hourly_user_rollups JOIN ab_experiment_phases AS phase ON phase.id = phase_id"
            " WHERE experiment_id = %s",
            (seeded.id,),
        ).fetchall()
    rollups = read_rollups(store, START, END, [str(seeded.id)])
    assert [row["user_id"] for row in users] == ["somebody"]
    for frame in (as_of, rollups):
        found = frame[["requests", "user_requests", "user_conversions", "new_users"]].sum()
        assert found.tolist() == [3, 1, 1, 1]
