"""Frames are read over a connection that is kept, and over a new one where the kept one has died."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from promotion_pipeline.store.bulk import read_frame
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.pool import PooledStore, pooled

SERVER_PROCESS = sql.SQL("SELECT pg_backend_pid()::bigint AS number").format()


@pytest.fixture
def keeping(store: Store) -> Iterator[PooledStore]:
    kept = pooled(store)
    yield kept
    kept.close()


def _server_process(store: Store) -> int:
    return int(read_frame(store, SERVER_PROCESS)["number"].iloc[0])


def test_frames_are_read_over_one_connection(keeping: PooledStore) -> None:
    assert _server_process(keeping) == _server_process(keeping)


def test_a_store_that_keeps_none_opens_one_a_frame(store: Store) -> None:
    assert _server_process(store) != _server_process(store)


def test_a_kept_connection_that_died_is_replaced(keeping: PooledStore, connection: Connection) -> None:
    died = _server_process(keeping)
    connection.execute("SELECT pg_terminate_backend(%s, 5000)", (died,))
    assert _server_process(keeping) != died


def test_a_kept_connection_holds_no_transaction(keeping: PooledStore, connection: Connection) -> None:
    kept = _server_process(keeping)
    state = connection.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (kept,)).fetchone()
    assert state == {"state": "idle"}


def test_a_statement_that_fails_does_not_spoil_the_next(keeping: PooledStore) -> None:
    with pytest.raises(Exception, match="nothing_of_this_name"):
        read_frame(keeping, sql.SQL("SELECT * FROM nothing_of_this_name").format())
    assert _server_process(keeping) > 0
