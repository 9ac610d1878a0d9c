"""A day's partition is made while others read and write."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from promotion_pipeline.rollups.postgresql.days import ensure_days
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

EMPTY = (VariantSpec("control", is_control=True), VariantSpec("treatment"))
INSERT = "INSERT INTO ai_requests (experiment_id, variant_id, created_at) VALUES (%s, %s, now())"
PLACES = "SELECT tableoid::regclass::text AS name FROM ai_requests"
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE 'ai_requests%%'"


@pytest.fixture
def seeded(store: Store) -> Seeded:
    """An experiment without requests."""
    return seed_experiment(store, "checkout", EMPTY)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for those who wait."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def insert(store: Store, seeded: Seeded) -> None:
    with store.connect() as connection:
        connection.execute(INSERT, [seeded.id, seeded.variant_ids["control"]])


def wait_for_waiting(store: Store, count: int = 1) -> None:
    deadline = time.monotonic() + 10
    while len(store.rows(WAITING, {})) < count:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)


def test_an_insert_that_waits_while_its_day_is_made_lands_in_it(
    store: Store, connection: Connection, seeded: Seeded, pool: ThreadPoolExecutor
) -> None:
    today = datetime.now(UTC).date()
    insert(store, seeded)
    with connection.transaction():
        connection.execute("SELECT ensure_request_days(%s, %s)", [today, today])
        waiting = [pool.submit(insert, store, seeded) for _ in range(3)]
        wait_for_waiting(store, 3)
    for one in waiting:
        one.result(10)
    assert [row["name"] for row in store.rows(PLACES, {})] == [f"ai_requests_{today:%Y%m%d}"] * 4


def test_a_reader_that_goes_on_to_insert_and_a_day_that_is_made_do_not_wait_for_each_other(
    store: Store, connection: Connection, seeded: Seeded, pool: ThreadPoolExecutor
) -> None:
    today = datetime.now(UTC).date()
    with connection.transaction():
        connection.execute("SELECT count(*) FROM ai_requests")
        made = pool.submit(ensure_days, store, today, today)
        wait_for_waiting(store)
        connection.execute(INSERT, [seeded.id, seeded.variant_ids["control"]])
    assert made.result(10) == 1
    assert [row["name"] for row in store.rows(PLACES, {})] == [f"ai_requests_{today:%Y%m%d}"]


def test_two_who_make_one_day_at_once_make_it_once(
    store: Store, connection: Connection, pool: ThreadPoolExecutor
) -> None:
    today = datetime.now(UTC).date()
    with connection.transaction():
        connection.execute("LOCK TABLE ai_requests IN ROW EXCLUSIVE MODE")
        both = [pool.submit(ensure_days, store, today, today) for _ in range(2)]
        wait_for_waiting(store, 2)
    assert sorted(one.result(10) for one in both) == [0, 1]
