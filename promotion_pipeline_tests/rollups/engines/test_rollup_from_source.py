"""The rollup of a log elsewhere is the rollup of the same requests at home, also when they come late."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.catching_up import roll_up, roll_up_missing
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.conservation import unbalanced_hours
from promotion_pipeline.rollups.engine_rollup import rollup_from_source
from promotion_pipeline.rollups.engines.base import RequestSource
from promotion_pipeline.rollups.engines.duckdb import DuckdbSource
from promotion_pipeline.rollups.engines.postgresql import PostgresqlSource
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.source_config import Columns, SourceConfig
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.engines.reference import CLOSE, EXACT
from promotion_pipeline_tests.seeding import Seeded, count
from promotion_pipeline_tests.store.user_moments import END, HOUR, HOURS, START, insert, seed

LOG = parse_source({"engine": "postgresql", "table": "request_log"})


@pytest.fixture
def seeded(store: Store, connection: Connection) -> Seeded:
    """Two phases of an experiment whose requests are not in the product's table but in `request_log`."""
    made = seed(store, "elsewhere")
    insert(connection, made, np.random.default_rng(1), 800, 30)
    connection.execute("CREATE TABLE request_log AS TABLE ai_requests")
    connection.execute("UPDATE request_log SET variant_id = gen_random_uuid() WHERE user_id IS NULL AND converted")
    connection.execute("TRUNCATE ai_requests")
    return made


@pytest.fixture
def source(store: Store) -> RequestSource:
    return PostgresqlSource(LOG, store.url)


def at_home(store: Store, connection: Connection) -> pd.DataFrame:
    """The rollups that the product makes of the log as it is now, if it is in its own table."""
    connection.execute("INSERT INTO ai_requests SELECT * FROM request_log")
    before = read_rollups(store, START, END)
    connection.execute("TRUNCATE hourly_variant_rollups, hourly_user_rollups")
    rollup_window(store, START, END)
    wanted = read_rollups(store, START, END)
    connection.execute("TRUNCATE ai_requests, hourly_user_rollups")
    assert len(before) == len(wanted)
    return wanted


def assert_equal(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    keys = ["hour", "phase_id", "variant_id"]
    ordered = [
        frame.astype({"phase_id": "str", "variant_id": "str"}).sort_values(keys, ignore_index=True)
        for frame in (found, wanted)
    ]
    pd.testing.assert_frame_equal(
        ordered[0][[*keys, *EXACT, "newest_request_at"]], ordered[1][[*keys, *EXACT, "newest_request_at"]]
    )
    for name in CLOSE:
        np.testing.assert_allclose(ordered[0][name], ordered[1][name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("step", [7, HOURS])
def test_windows_of_any_length_add_up_to_the_rollup_at_home(
    store: Store, connection: Connection, seeded: Seeded, source: RequestSource, step: int
) -> None:
    done = [
        rollup_from_source(store, source, START + k * HOUR, min(START + (k + step) * HOUR, END))
        for k in range(0, HOURS, step)
    ]
    found = read_rollups(store, START, END)
    unassigned = count(store, "SELECT count(*) FROM request_log WHERE user_id IS NULL AND converted")
    assert sum(one.requests for one in done) == 800
    assert sum(one.unassigned_requests for one in done) == unassigned > 0
    assert sum(one.rows for one in done) == sum(one.changed_rows for one in done) == len(found)
    assert count(store, "SELECT sum(requests)::bigint FROM rollup_hours") == 800
    assert count(store, "SELECT sum(unassigned_requests)::bigint FROM rollup_hours") == unassigned
    assert_equal(found, at_home(store, connection))


def test_an_unchanged_log_changes_nothing(store: Store, seeded: Seeded, source: RequestSource) -> None:
    rollup_from_source(store, source, START, END)
    assert rollup_from_source(store, source, START, END).changed_rows == 0


def test_late_requests_reach_every_later_hour_of_their_users(
    store: Store, connection: Connection, seeded: Seeded, source: RequestSource
) -> None:
    rollup_from_source(store, source, START, END)
    insert(connection, seeded, np.random.default_rng(2), 200, 30)
    connection.execute("DELETE FROM ai_requests WHERE created_at < %s", (START + 5 * HOUR,))
    connection.execute("DELETE FROM ai_requests WHERE created_at >= %s", (START + 9 * HOUR,))
    connection.execute("INSERT INTO request_log SELECT * FROM ai_requests")
    connection.execute("TRUNCATE ai_requests")
    rollup_from_source(store, source, START + 5 * HOUR, START + 9 * HOUR)
    found = read_rollups(store, START, END)
    assert_equal(found, at_home(store, connection))


def test_users_that_were_not_kept_before_are_taken_over_once(
    store: Store, connection: Connection, seeded: Seeded, source: RequestSource
) -> None:
    rollup_from_source(store, source, START, START + 20 * HOUR)
    # As an earlier version left it: the moments are there, the users they were made of are not.
    connection.execute("TRUNCATE hourly_user_rollups")
    rollup_from_source(store, source, START + 15 * HOUR, END)
    assert_equal(read_rollups(store, START, END), at_home(store, connection))


def test_a_user_whose_name_is_endless_or_holds_nul_is_one_user(
    store: Store, connection: Connection, seeded: Seeded, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    names = ["x" * 5000, "x" * 5000, "x" * 4999 + "y", "nul \0", "nul \0"]
    rows = pd.DataFrame(
        {
            "experiment_id": str(seeded.id),
            "variant_id": str(seeded.variant_ids["control"]),
            "user_id": names,
            "created_at": pd.Timestamp(START),
            "converted": True,
        }
    )
    connection_of_duckdb = duckdb.connect()
    connection_of_duckdb.register("rows", rows)
    connection_of_duckdb.sql(f"COPY (SELECT * FROM rows) TO '{tmp_path / 'x.parquet'}' (FORMAT parquet)")
    rollup_from_source(
        store, DuckdbSource(SourceConfig(engine="duckdb", files=str(tmp_path / "x.parquet"))), START, START + HOUR
    )
    assert count(store, "SELECT new_users FROM hourly_variant_rollups") == 3


def test_ids_of_a_log_elsewhere_are_kept_as_those_of_our_own(
    store: Store, connection: Connection, seeded: Seeded, source: RequestSource
) -> None:
    hashing = dataclasses.replace(
        store, settings=store.settings.model_copy(update={"user_id_key": SecretStr("0123456789abcdef")})
    )
    connection.execute("UPDATE request_log SET user_id = user_id || repeat('x', 3000) WHERE user_id < '2'")
    rollup_from_source(hashing, source, START, END)
    kept = "SELECT DISTINCT phase_id, user_id FROM hourly_user_rollups ORDER BY 1, 2"
    elsewhere = connection.execute(kept).fetchall()
    assert elsewhere
    assert all(row["user_id"].startswith("hmac-sha256:") for row in elsewhere)
    connection.execute("INSERT INTO ai_requests SELECT * FROM request_log")
    connection.execute("TRUNCATE hourly_variant_rollups, hourly_user_rollups")
    rollup_window(hashing, START, END)
    assert connection.execute(kept).fetchall() == elsewhere


def test_the_configuration_decides_where_requests_are_read(
    store: Store, connection: Connection, seeded: Seeded, tmp_path: Path
) -> None:
    assert roll_up(store, START, END).requests == 0
    file = tmp_path / "source.toml"
    file.write_text('engine = "postgresql"\ntable = "request_log"\n')
    there = dataclasses.replace(store, settings=store.settings.model_copy(update={"source": file}))
    connection.execute("DELETE FROM rollup_hours WHERE hour >= %s", (START + 20 * HOUR,))
    assert roll_up(there, START, START + 20 * HOUR).requests < 800
    roll_up_missing(there, END)
    assert count(store, "SELECT sum(requests)::bigint FROM rollup_hours") == 800
    assert unbalanced_hours(there, START, END) == []
    connection.execute("DELETE FROM request_log WHERE created_at < %s", (START + HOUR,))
    lost = unbalanced_hours(there, START, END)
    assert [(hour.hour, hour.source_requests) for hour in lost] == [(START, 0)]
    assert lost[0].counted_requests == lost[0].assigned_requests > 0


def test_an_hour_that_is_not_complete_is_refused(store: Store, source: RequestSource) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with pytest.raises(InputError, match="after the newest complete hour"):
        rollup_from_source(store, source, now, now + timedelta(hours=1))


def test_a_store_without_experiments_counts_strangers_only(
    store: Store, connection: Connection, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    files = tmp_path / "x.parquet"
    duckdb.sql(
        f"COPY (SELECT 'a' AS experiment_id, 'b' AS variant_id, TIMESTAMPTZ '{START}' AS created_at,"
        f" true AS converted) TO '{files}' (FORMAT parquet)"
    )
    config = SourceConfig(engine="duckdb", files=str(files), columns=Columns())
    done = rollup_from_source(store, DuckdbSource(config), START, START + HOUR)
    assert (done.rows, done.requests, done.unassigned_requests) == (0, 1, 1)
