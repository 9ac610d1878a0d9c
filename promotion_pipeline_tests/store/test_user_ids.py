"""How users' ids are kept: long ones as digests, all of them as keyed hashes, and forgotten ones not at all."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.errors import ConfigError, ConflictError
from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.rollups.postgresql.forgetting import forget_user
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store, open_store
from promotion_pipeline_tests.handbook.schema import pg_dump
from promotion_pipeline_tests.hostile.drawing import random_text
from promotion_pipeline_tests.store.user_moments import END, HOUR, START, assert_same, from_raw_rows, insert, seed

KEY = "a key for tests, long enough"


def keyed(store: Store, key: str = KEY) -> Store:
    return replace(store, settings=store.settings.model_copy(update={"user_id_key": SecretStr(key)}))


def stored_ids(connection: Connection) -> set[str]:
    rows = connection.execute("SELECT user_id FROM hourly_user_rollups UNION SELECT user_id FROM user_totals")
    return {row["user_id"] for row in rows}


def dump_of(store: Store, *options: str) -> str:
    return subprocess.run([pg_dump(), *options, store.url], capture_output=True, text=True, check=True).stdout


def test_a_user_whose_id_no_index_takes_is_one_user(store: Store, connection: Connection) -> None:
    seeded = seed(store, "long ids")
    insert(connection, seeded, np.random.default_rng(1), 300, 25)
    connection.execute("UPDATE ai_requests SET user_id = %s WHERE user_id = 'user 3'", [random_text(3, 3_000)])
    connection.execute("UPDATE ai_requests SET user_id = %s WHERE user_id = 'user 4'", [random_text(4, 3_000)])
    rollup_window(store, START, END)
    assert_same(read_rollups(store, START, END), from_raw_rows(connection))


def test_with_a_key_only_hmacs_of_the_ids_are_kept(store: Store, connection: Connection) -> None:
    seeded = seed(store, "keyed")
    insert(connection, seeded, np.random.default_rng(1), 300, 25)
    hashing = keyed(store)
    rollup_window(hashing, START, START + 9 * HOUR)
    found = hmac.new(KEY.encode(), b"user 3", hashlib.sha256).hexdigest()
    assert f"hmac-sha256:{found}" in stored_ids(connection)
    assert all(kept.startswith("hmac-sha256:") for kept in stored_ids(connection))
    # Hours that are not rolled up yet meet the same users, over a connection of either kind.
    raw = from_raw_rows(connection)
    with hashing.connect() as own:
        for source in (hashing, own):
            live = rollups_as_of(source, END, [str(seeded.id)])
            assert_same(live, raw[raw.index.get_level_values("phase_id").isin(set(live["phase_id"]))])


def test_a_key_that_is_set_later_counts_nobody_twice(store: Store, connection: Connection) -> None:
    seeded = seed(store, "keyed later")
    insert(connection, seeded, np.random.default_rng(2), 300, 25)
    rollup_window(store, START, START + 20 * HOUR)
    assert "user 3" in stored_ids(connection)
    rollup_window(keyed(store), START + 10 * HOUR, END)
    assert all(kept.startswith("hmac-sha256:") for kept in stored_ids(connection))
    assert_same(read_rollups(store, START, END), from_raw_rows(connection))


@pytest.mark.parametrize(("key", "said"), [(None, "set AUTO_PROMOTION_USER_ID_KEY"), ("x" * 20, "is not the key")])
def test_another_key_or_none_is_refused_instead_of_counting_users_twice(
    store: Store, key: str | None, said: str
) -> None:
    seed(store, "lost key")
    rollup_window(keyed(store), START, START + HOUR)
    other = store if key is None else keyed(store, key)
    with pytest.raises(ConfigError, match=said):
        rollup_window(other, START, START + HOUR)
    with pytest.raises(ConfigError, match=said), open_store(other.settings):
        pass


def test_the_key_is_in_no_dump_and_no_representation(store: Store) -> None:
    hashing = keyed(store)
    seed(store, "secret")
    rollup_window(hashing, START, END)
    inner, outer = str(hashing.settings.user_id_keys).split(":")
    text = dump_of(store) + repr(hashing) + repr(hashing.settings)
    assert not any(secret in text for secret in (KEY, inner, outer))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="AUTO_PROMOTION_USER_ID_KEY: has 5 characters"):
        Settings.from_environment({"AUTO_PROMOTION_USER_ID_KEY": "short"})


@pytest.mark.parametrize("key", [None, KEY])
def test_a_forgotten_user_is_nowhere_in_a_dump_and_every_decision_stays(
    store: Store, connection: Connection, key: str | None
) -> None:
    used = store if key is None else keyed(store, key)
    seeded = seed(store, "forgetting")
    rng = np.random.default_rng(7)
    metrics = [{"name": "purchases", "kind": "user_proportion", "event": "purchase", "role": "secondary"}]
    connection.execute(
        "UPDATE ab_experiments SET promotion_config = %s WHERE id = %s", [Jsonb({"metrics": metrics}), seeded.id]
    )
    insert(connection, seeded, rng, 400, 25)
    connection.execute("UPDATE ai_requests SET user_id = 'maria@example.com' WHERE user_id = 'user 3'")
    connection.execute(
        "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name)"
        " VALUES (gen_random_uuid(), %s, 'maria@example.com', %s, 'purchase')",
        [seeded.id, END - HOUR],
    )
    rollup_window(used, START, END)
    evaluate_window(used, START, END)
    frames = ["--data-only", "--table=eligibility_decisions", "--table=hourly_variant_rollups", "--table=phase_totals"]
    before = dump_of(store, *frames)
    assert "maria@example.com" in dump_of(store)
    stored = hmac.new(KEY.encode(), b"maria@example.com", hashlib.sha256).hexdigest() if key else "maria@example.com"
    assert stored in dump_of(store)

    forgotten = forget_user(used, "maria@example.com")

    assert all(forgotten.rows.values())
    assert "maria@example.com" not in dump_of(store)
    assert stored not in dump_of(store)
    assert [line for line in dump_of(store, *frames).splitlines() if "restrict" not in line] == [
        line for line in before.splitlines() if "restrict" not in line
    ]
    # Rows that come late, and hours that are read again, meet the same sums.
    insert(connection, seeded, rng, 200, 25)
    rollup_window(used, START, END)
    assert_same(read_rollups(store, START, END), from_raw_rows(connection))


def test_forgetting_a_user_whose_requests_were_deleted_leaves_the_sums(store: Store, connection: Connection) -> None:
    seeded = seed(store, "deleted before")
    insert(connection, seeded, np.random.default_rng(3), 300, 25)
    rollup_window(store, START, END)
    connection.execute("DELETE FROM ai_requests WHERE user_id = 'user 3'")
    sums = "SELECT sum(requests) AS all, sum(user_requests) AS users FROM hourly_variant_rollups"
    before = connection.execute(sums).fetchone()
    assert forget_user(store, "user 3").rows["user_totals"] > 0
    assert "user 3" not in stored_ids(connection)
    assert connection.execute(sums).fetchone() == before


def test_a_request_table_that_cannot_be_changed_is_said_and_nothing_is_done(
    store: Store, connection: Connection
) -> None:
    seeded = seed(store, "refused")
    insert(connection, seeded, np.random.default_rng(3), 300, 25)
    rollup_window(store, START, END)
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append only'; END $$"
    )
    connection.execute("CREATE TRIGGER refuse BEFORE UPDATE ON ai_requests FOR EACH ROW EXECUTE FUNCTION refuse()")
    with pytest.raises(ConflictError, match=r"append only.*--keep-requests"):
        forget_user(store, "user 3")
    assert "user 3" in stored_ids(connection)
    kept = forget_user(store, "user 3", requests=False)
    assert kept.requests_left > 0
    assert "user 3" not in stored_ids(connection)
