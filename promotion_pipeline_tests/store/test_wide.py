"""A query's rows as one row of arrays are what they are as rows."""

from __future__ import annotations

from typing import LiteralString

import pyarrow as pa
import pytest
from psycopg import sql

from promotion_pipeline.rollups.as_of import stored_and_fresh
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.rollup_columns import ROLLUP_COLUMNS
from promotion_pipeline.store.arrays import coded, numbers, times_us
from promotion_pipeline.store.bulk import read_few, read_table
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.wide import read_wide
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

COLUMNS = ("whole", "real", "at", "word")
ROWS: dict[str, LiteralString] = {
    "several": "(1::bigint, 0.1::float8, '2026-03-01 00:00Z'::timestamptz, 'abc'::text),"
    " (-9007199254740993, 'NaN', '1999-12-31 23:59:59.999999Z', 'abd')",
    "words of any length": "(1::bigint, 1::float8, '2026-03-01Z'::timestamptz, 'l''été'::text),"
    " (2, 2, '2026-03-02Z', '')",
    "one is missing": "(1::bigint, NULL::float8, NULL::timestamptz, 'abc'::text), (NULL, 2.5, '2026-03-02Z', NULL)",
    "all are missing": "(NULL::bigint, NULL::float8, NULL::timestamptz, NULL::text)",
}


def values(columns: LiteralString) -> sql.Composed:
    return sql.SQL("SELECT * FROM (VALUES {}) AS given (whole, real, at, word)").format(sql.SQL(columns))


def plain(table: pa.Table) -> list[list[object]]:
    return [[str(value) for value in column.to_pylist()] for column in table.columns]


@pytest.mark.parametrize("name", ROWS)
def test_arrays_hold_what_the_rows_hold(connection: Connection, name: str) -> None:
    query = values(ROWS[name])
    assert plain(read_wide(connection, query, COLUMNS)) == plain(read_table(connection, query))


def test_no_rows_are_empty_columns_of_their_types(connection: Connection) -> None:
    query = sql.SQL("{} WHERE false").format(values(ROWS["several"]))
    table = read_wide(connection, query, COLUMNS)
    assert [numbers(table[name]).dtype.name for name in ("whole", "real")] == ["int64", "float64"]
    assert times_us(table["at"]).tolist() == coded(table["word"])[0].tolist() == []


def test_a_time_without_end_is_missing_in_arrays_and_the_nearest_one_in_rows(connection: Connection) -> None:
    endless: LiteralString = "(1::bigint, 1::float8, 'infinity'::timestamptz, 'a'::text), (2, 2, '-infinity', 'b')"
    query = values(endless)
    assert read_wide(connection, query, COLUMNS)["at"].to_pylist() == [None, None]
    assert [at.year for at in read_table(connection, query)["at"].to_pylist()] == [9000, 1000]


def test_live_sums_are_the_same_over_every_way_to_read_them(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout", WINNER, users=400)
    # What is stored: of requests, two statements may add floats in two orders.
    rollup_window(store, seeded.start, seeded.end)
    query = sql.SQL("SELECT * FROM ({}) AS found ORDER BY hour, phase_id, variant_id, requests").format(
        stored_and_fresh(store, seeded.end)
    )
    ways = read_wide(connection, query, ROLLUP_COLUMNS), read_table(store, query), read_few(store, query)
    wide, over_arrow, few = (plain(way.select(ROLLUP_COLUMNS)) for way in ways)
    assert wide == over_arrow == few
    assert len(wide[0]) > 100
