"""The schema file is what the migrations make."""

from __future__ import annotations

from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES
from promotion_pipeline.store.adoption.ours import VERSION_TABLE
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.handbook.schema import FILE, schema_of


def test_the_schema_file_is_what_all_migrations_make(store: Store) -> None:
    again = "make it anew: python -m promotion_pipeline_tests.handbook.schema"
    assert FILE.read_text(encoding="utf-8") == schema_of(store.url), again


def test_the_schema_file_makes_the_same_database(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.execute("SET check_function_bodies = off")
        connection.execute(FILE.read_text(encoding="utf-8").encode())
    assert schema_of(empty_database) == FILE.read_text(encoding="utf-8")


def test_every_table_says_what_it_is_for_and_what_bounds_its_growth(store: Store) -> None:
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT relname, coalesce(obj_description(oid), '') AS said FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
            " AND relname <> ALL(%s)",
            [[*ADOPTED_TABLES, VERSION_TABLE]],
        ).fetchall()
    silent = [row["relname"] for row in rows if "Bound: " not in row["said"]]
    assert rows and silent == []
