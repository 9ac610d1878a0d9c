"""What is served follows the database, and is read anew only where something was written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic.allocations import write_allocation
from promotion_pipeline.traffic.serving import ServedFlags, read_flags
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

EMPTY = (VariantSpec("control", is_control=True), VariantSpec("treatment"))


@pytest.fixture
def flagged(store: Store, connection: Connection) -> Seeded:
    """An experiment behind the flag `button`."""
    seeded = seed_experiment(store, "checkout", EMPTY)
    target = Jsonb({"kind": "ofrep", "flag": "button"})
    connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE id = %s", [target, seeded.id])
    return seeded


def test_nothing_written_is_the_same_flags(connection: Connection, flagged: Seeded) -> None:
    before = read_flags(connection)
    assert read_flags(connection, before) is before


@pytest.mark.parametrize(
    "written",
    [
        "UPDATE ab_experiments SET is_active = false",
        'UPDATE ab_experiments SET traffic_target = \'{"kind": "ofrep", "flag": "other"}\'',
        "UPDATE ab_variants SET name = 'blue' WHERE is_control",
        "UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 10 ELSE 90 END",
        "DELETE FROM ab_variants",
    ],
)
def test_whatever_is_written_by_whomever_is_served(connection: Connection, flagged: Seeded, written: str) -> None:
    before = read_flags(connection)
    connection.execute(written.encode())
    after = read_flags(connection, before)
    assert after.document != before.document


def test_a_list_of_buckets_is_served(connection: Connection, flagged: Seeded) -> None:
    before = read_flags(connection)
    split = {str(flagged.variant_ids["control"]): Decimal(30), str(flagged.variant_ids["treatment"]): Decimal(70)}
    with connection.transaction():
        write_allocation(connection, flagged.id, split)
        connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 30 ELSE 70 END")
    assert moved(before, read_flags(connection, before))


def test_a_write_that_changes_no_flag_leaves_them_and_is_not_read_twice(
    connection: Connection, flagged: Seeded
) -> None:
    before = read_flags(connection)
    connection.execute("UPDATE ab_experiments SET end_date = now()")
    after = read_flags(connection, before)
    assert (after.document, after.versions == before.versions) == (before.document, False)
    assert read_flags(connection, after) is after


def test_a_write_that_is_not_committed_is_served_once_it_is(
    store: Store, connection: Connection, flagged: Seeded
) -> None:
    before = read_flags(connection)
    with store.connect() as other:
        with other.transaction():
            other.execute("UPDATE ab_variants SET name = 'blue' WHERE is_control")
            assert read_flags(connection, before) is before
        assert read_flags(connection, before).document != before.document


def moved(before: ServedFlags, after: ServedFlags) -> int:
    users = [f"user-{number}" for number in range(200)]
    return sum(before.answer("button", user) != after.answer("button", user) for user in users)
