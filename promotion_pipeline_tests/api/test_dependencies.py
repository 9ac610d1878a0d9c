"""Connections are kept and given back; a database that is down is a 503, and one that came back is used again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from promotion_pipeline.api.batching import CheckBatcher
from promotion_pipeline.api.guard import Door
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.pool import MOST_IDLE, PooledStore, pooled
from promotion_pipeline_tests.api.conftest import Api
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

HISTORY = "/api/monitoring/experiments/checkout/history"


@pytest.fixture
def kept(store: Store) -> PooledStore:
    """A store that keeps its connections."""
    return pooled(store)


def _backend(store: Store) -> int:
    with store.connect() as connection:
        return connection.info.backend_pid


def test_a_connection_that_was_given_back_is_lent_again(kept: PooledStore) -> None:
    assert len({_backend(kept) for _ in range(5)}) == 1
    kept.close()


def test_a_connection_is_given_back_after_an_error_and_is_clean(kept: PooledStore) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), kept.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '1s'")
        connection.execute("SELECT 1 / 0")

    with kept.connect() as again:
        assert again is connection
        row = again.execute("SHOW lock_timeout").fetchone()
        assert row is not None
        assert row["lock_timeout"] == "0"
    kept.close()


def test_a_connection_left_in_a_transaction_is_not_kept(kept: PooledStore) -> None:
    connection = kept.connect()
    connection.execute("BEGIN")
    connection.close()

    assert connection.closed
    kept.close()


def test_a_connection_that_the_server_cut_is_replaced(kept: PooledStore, store: Store) -> None:
    before = _backend(kept)
    with store.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [before])

    assert _backend(kept) != before
    kept.close()


def test_no_more_are_kept_than_the_limit(kept: PooledStore) -> None:
    connections = [kept.connect() for _ in range(MOST_IDLE + 5)]
    for connection in connections:
        connection.close()

    assert sum(not connection.closed for connection in connections) == MOST_IDLE
    kept.close()
    assert all(connection.closed for connection in connections)


def test_what_is_given_back_after_the_end_is_closed(kept: PooledStore) -> None:
    connection = kept.connect()
    kept.close()
    connection.close()

    assert connection.closed


def test_threads_never_share_a_connection(kept: PooledStore) -> None:
    def pid_stays(_: int) -> bool:
        with kept.connect() as connection, connection.transaction():
            mark = connection.execute("SELECT txid_current() AS id").fetchone()
            connection.execute("SELECT pg_sleep(0.002)")
            return connection.execute("SELECT txid_current() AS id").fetchone() == mark

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(pid_stays, range(200)))
    kept.close()


def test_the_product_works_on_a_store_that_keeps_its_connections(kept: PooledStore) -> None:
    with pytest.raises(NotFoundError):
        get_promotion_history("nothing", store=kept)
    kept.close()


def test_a_database_that_is_down_is_a_503_that_does_not_name_it(api: Api) -> None:
    reachable: Door = api.app.state.door
    unreachable = Store("postgresql://someone:hunter2hunter2@127.0.0.1:1/nowhere", api.store.settings)
    api.app.state.door = Door(unreachable, reachable.settings, CheckBatcher(unreachable))

    for client, method, path in (
        (api.nobody, "GET", "/health"),
        (api.viewer, "GET", HISTORY),
        (api.operator, "POST", "/api/monitoring/experiments/checkout/promote"),
        (api.operator, "POST", "/api/monitoring/auto-promotion/check"),
    ):
        answer = client.request(method, path, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["code"]) == (503, "dependency-down"), path
        assert int(answer.headers["retry-after"]) > 0
        assert not {"hunter2", "127.0.0.1:1", "someone", "nowhere"} & set(answer.text.replace('"', " ").split())
        assert "hunter2" not in answer.text

    api.app.state.door = reachable
    assert api.nobody.get("/health").status_code == 200


def test_requests_go_on_after_the_server_cut_every_connection(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    assert api.viewer.get(HISTORY).status_code == 200
    api.rows(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    assert [api.viewer.get(HISTORY).status_code for _ in range(5)] == [200] * 5


def test_a_connection_cut_in_the_middle_of_a_request_is_a_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: Store) -> None:
        raise psycopg.errors.AdminShutdown("terminating connection due to administrator command")

    monkeypatch.setattr("promotion_pipeline.api.system.experiment_overviews", cut)

    answer = api.viewer.get("/api/monitoring/experiments")

    assert (answer.status_code, answer.json()["code"]) == (503, "dependency-down")


def test_many_readers_at_once_are_served(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: api.viewer.get(HISTORY).status_code, range(300)))

    assert set(statuses) == {200}
