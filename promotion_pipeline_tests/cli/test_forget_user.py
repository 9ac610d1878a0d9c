"""`db forget-user`."""

from __future__ import annotations

import numpy as np

from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.store.test_user_ids import stored_ids
from promotion_pipeline_tests.store.user_moments import END, START, insert, seed


def test_the_command_says_what_it_would_do_and_then_does_it(store: Store, connection: Connection, run: Run) -> None:
    seeded = seed(store, "by command")
    insert(connection, seeded, np.random.default_rng(3), 300, 25)
    rollup_window(store, START, END)
    shown = run("db", "forget-user", "user 3", "--dry-run", "--json")
    assert shown.code == 0
    assert shown.data["rows"]["ai_requests"] > 0
    assert "user 3" in stored_ids(connection)
    refused = run("db", "forget-user", "user 3")
    assert refused.code == 2
    assert "--yes" in refused.err
    done = run("db", "forget-user", "user 3", "--yes", "--json")
    assert done.data == {**shown.data, "dryRun": False}
    assert "user 3" not in stored_ids(connection)
    again = run("db", "forget-user", "user 3", "--yes", "--json")
    assert set(again.data["rows"].values()) == {0}
