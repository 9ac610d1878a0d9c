"""Requests to rollups: every request counted once, in its hour and phase, whatever its columns hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.rollups.postgresql.rollup import aggregate_requests, rollup_window
from promotion_pipeline.rollups.rollup_columns import IDS, ROLLUP_COLUMNS
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, Seeded, VariantSpec, add_requests, seed_experiment

HOUR = timedelta(hours=1)
SUMS = ["requests", "conversions", "errors", "latency_samples", "latency_ms_sum", "value_sum"]


def _variants(requests: int = 600) -> list[VariantSpec]:
    return [
        VariantSpec("control", is_control=True, requests=requests, conversions=60, errors=6, value=2.5),
        VariantSpec("treatment", requests=requests, conversions=72, errors=3),
    ]


def _add(connection: Connection, seeded: Seeded, at: datetime, variant: str = "control", **columns: object) -> None:
    values = {"experiment_id": seeded.id, "variant_id": seeded.variant_ids[variant], "created_at": at, **columns}
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    connection.execute(f"INSERT INTO ai_requests ({names}) VALUES ({marks})", list(values.values()))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    texts = {name: frame[name].astype("str") for name in IDS}
    return frame.assign(**texts).sort_values(["hour", "variant_id", "phase_id"], ignore_index=True)


def _stored(store: Store, seeded: Seeded) -> pd.DataFrame:
    return _sorted(read_rollups(store, None, seeded.end))


def test_a_rollup_holds_the_sums_of_its_requests(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "Ça \"quoted\" '100 %' 実験", _variants())
    result = rollup_window(store, seeded.start, seeded.end)
    assert (result.requests, result.unassigned_requests) == (1200, 0)
    rollups = _stored(store, seeded)
    assert tuple(rollups.columns) == ROLLUP_COLUMNS
    assert len(rollups) == result.rows == result.changed_rows == 2 * 96
    assert str(rollups["hour"].dtype) == "datetime64[us, UTC]"
    assert str(read_rollups(store, None, seeded.end)["variant_id"].cat.categories.dtype) == "str"
    expected = connection.execute(
        """SELECT variant_id::text, count(*) AS requests, sum(converted::int) AS conversions,
            sum(is_error::int) AS errors, count(latency_ms) AS latency_samples, sum(latency_ms) AS latency_ms_sum,
            coalesce(sum(value), 0)::float8 AS value_sum, sum(latency_ms ^ 2) AS latency_ms_sum_squares,
            coalesce(sum(value ^ 2), 0)::float8 AS value_sum_squares
        FROM ai_requests GROUP BY 1"""
    ).fetchall()
    totals = rollups.groupby("variant_id")[[*SUMS, "latency_ms_sum_squares", "value_sum_squares"]].sum()
    for row in expected:
        found = totals.loc[row.pop("variant_id")]
        assert {name: pytest.approx(value) for name, value in row.items()} == found[list(row)].to_dict()


def test_a_request_on_a_phase_boundary_belongs_to_the_new_phase(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants(0), start=datetime(2026, 1, 1, tzinfo=UTC))
    boundary = datetime(2026, 1, 2, 10, 20, tzinfo=UTC)
    connection.execute("UPDATE ab_experiment_phases SET ended_at = %s", (boundary,))
    connection.execute(
        "INSERT INTO ab_experiment_phases (experiment_id, started_at, traffic, is_running)"
        " SELECT experiment_id, ended_at, traffic, true FROM ab_experiment_phases"
    )
    for minutes, converted in ((-1, False), (0, True), (5, True)):
        _add(connection, seeded, boundary + timedelta(minutes=minutes), converted=converted)
    hour = boundary.replace(minute=0)
    rollup_window(store, hour, hour + HOUR)
    rows = connection.execute(
        "SELECT requests, conversions FROM hourly_variant_rollups JOIN ab_experiment_phases ON id = phase_id"
        " ORDER BY started_at"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [(1, 0), (2, 2)]
    assert set(read_rollups(store, hour + HOUR, hour + 2 * HOUR)["requests"]) == {2}
    assert len(read_rollups(store, None, hour + HOUR)) == 2


def test_missing_and_unusable_latencies_and_values_are_left_out(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants(0))
    at = seeded.end - HOUR
    for latency in (None, "NaN", "Infinity", "-5", "30000000000"):
        _add(connection, seeded, at, latency_ms=latency, value="NaN" if latency == "NaN" else latency)
    rollup_window(store, at, seeded.end)
    row = _stored(store, seeded).iloc[0]
    assert (row["requests"], row["latency_samples"], row["latency_ms_sum"]) == (5, 1, 3e10)
    assert row["latency_ms_sum_squares"] == 9e20
    assert row["value_sum"] == pytest.approx(3e10 - 5)


def test_requests_of_nobody_are_counted_as_unassigned(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants(0), start=datetime(2026, 1, 1, 0, 30, tzinfo=UTC))
    other = seed_experiment(store, "b", _variants(0), start=datetime(2026, 1, 1, tzinfo=UTC))
    hour = datetime(2026, 1, 1, tzinfo=UTC)
    _add(connection, seeded, hour + timedelta(minutes=40))
    _add(connection, seeded, hour + timedelta(minutes=20))
    _add(connection, seeded, hour + timedelta(minutes=40), variant_id=other.variant_ids["control"])
    connection.execute(
        "INSERT INTO ai_requests (experiment_id, variant_id, created_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), %s)",
        (hour,),
    )
    result = rollup_window(store, hour, hour + HOUR)
    assert (result.requests, result.unassigned_requests, result.rows) == (4, 3, 1)
    marked = connection.execute("SELECT requests, unassigned_requests FROM rollup_hours").fetchall()
    assert [tuple(row.values()) for row in marked] == [(4, 3)]


def test_rolling_up_twice_changes_nothing(store: Store) -> None:
    seeded = seed_experiment(store, "a", _variants())
    rollup_window(store, seeded.start, seeded.end)
    before = _stored(store, seeded)
    again = rollup_window(store, seeded.start, seeded.end)
    assert (again.changed_rows, again.requests, again.rows) == (0, 1200, 192)
    pd.testing.assert_frame_equal(before, _stored(store, seeded))


def test_late_and_deleted_requests_change_only_their_rows(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants())
    rollup_window(store, seeded.start, seeded.end)
    _add(connection, seeded, seeded.start + timedelta(minutes=90), converted=True)
    connection.execute(
        "DELETE FROM ai_requests WHERE variant_id = %s AND created_at < %s",
        (seeded.variant_ids["treatment"], seeded.start + HOUR),
    )
    result = rollup_window(store, seeded.start, seeded.end)
    assert result.changed_rows == 2
    assert _stored(store, seeded)["requests"].sum() == result.requests == 1200 + 1 - 6


def test_the_frame_of_a_window_equals_what_is_stored(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants())
    seed_experiment(store, "b", _variants())
    over_adbc = aggregate_requests(store, seeded.start, seeded.end, [str(seeded.id)])
    over_psycopg = aggregate_requests(connection, seeded.start, seeded.end, [str(seeded.id)])
    rollup_window(store, seeded.start, seeded.end)
    stored = _sorted(read_rollups(store, None, seeded.end, [str(seeded.id)]))
    for frame in (over_adbc, over_psycopg):
        pd.testing.assert_frame_equal(_sorted(frame), stored)


def test_empty_tables_give_empty_frames_of_the_same_types(store: Store, connection: Connection) -> None:
    end = datetime(2026, 1, 1, tzinfo=UTC)
    frames = [
        read_rollups(store, None, end),
        aggregate_requests(store, end - HOUR, end),
        aggregate_requests(connection, end - HOUR, end),
        rollups_as_of(store, end),
        rollups_as_of(connection, end),
    ]
    for frame in frames:
        pd.testing.assert_frame_equal(frame, frames[0])
    assert rollup_window(store, end - HOUR, end).rows == 0


def test_live_rollups_do_not_need_the_hourly_run(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "a", _variants())
    nothing_rolled = rollups_as_of(store, seeded.end)
    rollup_window(store, seeded.start + 10 * HOUR, seeded.start + 20 * HOUR)
    with_a_hole = rollups_as_of(store, seeded.end)
    in_a_transaction = rollups_as_of(connection, seeded.end, [str(seeded.id)])
    rollup_window(store, seeded.start, seeded.end)
    all_rolled = rollups_as_of(store, seeded.end)
    expected = _stored(store, seeded)
    for frame in (nothing_rolled, with_a_hole, in_a_transaction, all_rolled):
        pd.testing.assert_frame_equal(_sorted(frame), expected)
    earlier = rollups_as_of(store, seeded.end - 5 * HOUR)
    assert earlier["hour"].max() == pd.Timestamp(seeded.end - 6 * HOUR)


def test_live_rollups_read_what_was_rolled_up_even_if_the_requests_are_gone(
    store: Store, connection: Connection
) -> None:
    seeded = seed_experiment(store, "a", _variants())
    rollup_window(store, seeded.start, seeded.end - HOUR)
    connection.execute("DELETE FROM ai_requests WHERE created_at < %s", (seeded.end - HOUR,))
    assert rollups_as_of(store, seeded.end)["requests"].sum() == 1200


def test_hours_from_before_the_product_was_switched_on_are_caught_up(store: Store) -> None:
    seeded = seed_experiment(store, "a", _variants())
    rollup_window(store, seeded.end - 3 * HOUR, seeded.end)
    caught_up = roll_up_missing(store, seeded.end)
    assert caught_up.rows == 2 * 93
    assert _stored(store, seeded)["requests"].sum() == 1200
    assert len(_stored(store, seeded)) == 192
    assert roll_up_missing(store, seeded.end).requests == 0


def test_an_incomplete_hour_is_not_rolled_up(store: Store) -> None:
    seeded = seed_experiment(store, "a", _variants(0))
    with pytest.raises(InputError, match="newest complete hour"):
        rollup_window(store, seeded.end, seeded.end + HOUR)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 2, tzinfo=UTC), "no time zone"),  # noqa: DTZ001
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2), "no time zone"),  # noqa: DTZ001
        (datetime(2026, 1, 1, 0, 30, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "not the start of an hour"),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC), "is empty"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(store: Store, start: datetime, end: datetime, words: str) -> None:
    for act in (rollup_window, aggregate_requests):
        with pytest.raises(InputError, match=words):
            act(store, start, end)


def test_an_id_that_is_no_uuid_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="Robert"):
        rollups_as_of(store, datetime(2026, 1, 1, tzinfo=UTC), ["Robert'); DROP TABLE ab_variants;--"])


def test_late_requests_of_several_variants_are_added_once(store: Store) -> None:
    seeded = seed_experiment(store, "a", _variants())
    rollup_window(store, seeded.start, seeded.end)
    late = VariantSpec("treatment", requests=96, conversions=96)
    add_requests(store, seeded, late, start=seeded.start, end=seeded.end)
    assert rollup_window(store, seeded.start, seeded.end).changed_rows == 96


def test_numbers_that_no_sum_can_hold_are_counted_and_named(store: Store) -> None:
    seeded = seed_experiment(store, "checkout", NO_DIFFERENCE)
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO ai_requests (experiment_id, variant_id, created_at, converted, is_error, latency_ms, value)"
            " SELECT %s, id, %s, false, false, 1e200, 1e200 FROM ab_variants WHERE experiment_id = %s AND is_control",
            (seeded.id, seeded.end - timedelta(minutes=30), seeded.id),
        )
    done = rollup_window(store, seeded.start, seeded.end)
    assert [unusable.sentence for unusable in done.unusable] == [
        "checkout: numbers that cannot be used are left out of the sums: 1 of latency_ms and 1 of value"
    ]
    assert rollup_window(store, seeded.start, seeded.end - timedelta(hours=1)).unusable == ()
