"""Metrics of a log elsewhere have the sums that they have of the product's own table."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.rollups.metrics.conserved import unbalanced_metrics
from promotion_pipeline.rollups.metrics.live import live_metric_rollups
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.metric_oracle import SUMS, assert_same_sums, raw_metric_sums, stored_metric_sums
from promotion_pipeline_tests.rollups.metric_sums import END, HOUR, METRICS, START, add_events, add_requests, seed

pytest.importorskip("duckdb")


def _filled(connection: Connection, store: Store, metrics: list[dict[str, Any]] = METRICS) -> Any:
    seeded = seed(store, f"elsewhere {uuid4()}", metrics)
    rng = np.random.default_rng(5)
    add_requests(connection, seeded, rng, 300, 30)
    add_events(connection, [seeded.id] * 2, rng, 0, 300, 33)
    return seeded


@pytest.mark.parametrize("name", ["another PostgreSQL", "DuckDB", "chdb"])
def test_an_engine_gives_the_sums_of_the_raw_rows(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    seeded = _filled(connection, store)
    expected = raw_metric_sums(connection, seeded.id)
    place = make_place(name)
    place.move_requests()
    roll_up(place.store, START, START + 12 * HOUR)
    live = live_metric_rollups(place.store, place.store, END, [str(seeded.id)])
    roll_up(place.store, START, END)
    assert_same_sums(stored_metric_sums(connection, seeded.id), expected)
    assert unbalanced_metrics(place.store, START, END) == []
    assert live is not None
    newest = expected[expected.index.get_level_values("phase_id").isin(set(live["phase_id"]))]
    found = live.set_index(["hour", "phase_id", "variant_id", "metric"])[SUMS]
    assert_same_sums(_of_text(found[(found != 0).any(axis=1)]), newest)


def _of_text(frame: pd.DataFrame) -> pd.DataFrame:
    frame.index = pd.MultiIndex.from_tuples(
        [(row[0], *map(str, row[1:])) for row in frame.index], names=frame.index.names
    )
    return frame.sort_index()


def test_a_column_that_only_metrics_name_is_mapped(make_place: MakePlace, store: Store, connection: Connection) -> None:
    spent = {"name": "spent", "kind": "request_mean", "column": "spent", "role": "secondary"}
    gone = {"name": "gone", "kind": "request_mean", "column": "gone", "role": "secondary"}
    seeded = _filled(connection, store, [spent, gone])
    row = connection.execute(
        "SELECT sum(value)::float8 AS total FROM ai_requests WHERE created_at >= %s", [START]
    ).fetchone()
    place = make_place("DuckDB", metric_columns={"spent": "usd"})
    place.move_requests(add={"usd": lambda rows: rows["value"]})
    with open_log(place.store) as log:
        told = log.roll_up(START, END).told
    sums = stored_metric_sums(connection, seeded.id)
    assert row is not None
    assert sums["value_sum"].sum() == pytest.approx(row["total"], rel=1e-12)
    assert any("metric 'gone' cannot be measured" in said and "[metric_columns]" in said for said in told)


def test_a_log_without_users_says_which_metrics_it_cannot_answer(
    make_place: MakePlace, store: Store, connection: Connection
) -> None:
    seeded = _filled(connection, store)
    place = make_place("DuckDB", users=False)
    place.move_requests()
    with open_log(place.store) as log:
        told = log.roll_up(START, END).told
    assert sum("'buyers' cannot be measured: user_proportion is of users" in said for said in told) == 1
    sums = stored_metric_sums(connection, seeded.id)
    assert set(sums.index.get_level_values("metric")) == {"latency", "value"}
