"""Sums of metrics are those of the raw requests and events, in whatever order these come."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.rollups.metrics.live import live_metric_rollups
from promotion_pipeline.rollups.metrics.stored import read_metric_rollups
from promotion_pipeline.rollups.postgresql.forgetting import forget_user
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.metric_oracle import assert_same_sums, raw_metric_sums, stored_metric_sums
from promotion_pipeline_tests.rollups.metric_sums import (
    BOUNDARY,
    END,
    HOUR,
    METRICS,
    START,
    add_events,
    add_requests,
    compare,
    seed,
)
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

ARMS = [VariantSpec("control", is_control=True), VariantSpec("treatment")]
REVENUE = {"name": "revenue", "kind": "user_mean", "event": "purchase", "role": "goal"}


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 2**31), users=st.sampled_from([4, 60]))
def test_late_repeated_and_shuffled_events_have_the_sums_of_the_raw_rows(store: Store, number: int, users: int) -> None:
    seeded, other = seed(store, f"random {uuid4()}"), seed(store, f"other {uuid4()}", [])
    with store.connect() as connection:
        connection.execute("DELETE FROM ai_requests")
        connection.execute("DELETE FROM ai_events")
    rows = compare(store, seeded, other.id, np.random.default_rng(number), 400, 500, users)
    assert rows > 100


def _simple(store: Store, metrics: list[dict[str, Any]], name: str = "shop") -> Seeded:
    return seed_experiment(store, name, ARMS, start=START, end=END, promotion_config={"metrics": metrics})


def _request(connection: Connection, seeded: Seeded, user: str | None, hours: float, **columns: Any) -> None:
    names = ", ".join(["", *columns])
    connection.execute(
        f"INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at{names})"
        f" VALUES (%s, %s, %s, %s{', %s' * len(columns)})",
        [seeded.id, seeded.variant_ids["treatment"], user, START + hours * HOUR, *columns.values()],
    )


def _event(
    connection: Connection, seeded: Seeded, user: str, hours: float, value: Any = None, name: str = "purchase"
) -> None:
    connection.execute(
        "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value) VALUES (%s, %s, %s, %s, %s, %s)",
        [uuid4(), seeded.id, user, START + hours * HOUR, name, value],
    )


def _total(store: Store, seeded: Seeded, metric: str, column: str = "value_sum") -> float:
    frame = read_metric_rollups(store, START, END, [str(seeded.id)])
    assert frame is not None
    return float(frame.loc[frame["metric"] == metric, column].sum())


def test_a_refund_takes_back_and_what_came_before_the_first_exposure_does_not_count(
    store: Store, connection: Connection
) -> None:
    seeded = _simple(store, [REVENUE])
    _event(connection, seeded, "ann", 0.5, 1000)
    _request(connection, seeded, "ann", 1.5)
    _event(connection, seeded, "ann", 1.4, 500)
    _event(connection, seeded, "ann", 1.6, 30)
    _event(connection, seeded, "ann", 3, -10)
    rollup_window(store, START, END)
    assert _total(store, seeded, "revenue") == 20
    assert _total(store, seeded, "revenue", "user_value_sum_squares") == 400
    assert _total(store, seeded, "revenue", "new_users") == 1


def test_events_of_nobody_who_was_served_count_nowhere_and_are_told(store: Store, connection: Connection) -> None:
    seeded, other = _simple(store, [REVENUE]), _simple(store, [REVENUE], "another")
    _request(connection, other, "bob", 1)
    _request(connection, seeded, "ann", 1)
    _event(connection, seeded, "bob", 2, 70)
    _event(connection, seeded, "nobody", 2, 70)
    told = rollup_window(store, START, END).told
    assert [said for said in told if said.startswith("shop: 2 events 'purchase' of 2 users count nowhere")]
    assert _total(store, seeded, "revenue") == 0


@pytest.mark.parametrize("value", ["1e200", "NaN", "Infinity"])
def test_a_value_that_no_sum_can_hold_is_left_out_and_named(store: Store, connection: Connection, value: str) -> None:
    seeded = _simple(store, [REVENUE])
    _request(connection, seeded, "ann", 1)
    _event(connection, seeded, "ann", 2, value)
    _event(connection, seeded, "ann", 2, 5)
    told = rollup_window(store, START, END).told
    assert "shop: 1 values of events 'purchase' cannot be used and are left out of the sums" in told
    assert _total(store, seeded, "revenue") == 5


@pytest.mark.parametrize("value", ["1e200", "NaN", "-1e200"])
def test_a_request_whose_value_no_sum_can_hold_is_no_observation_of_a_metric(
    store: Store, connection: Connection, value: str
) -> None:
    spent = {"name": "spent", "kind": "user_mean", "column": "value", "role": "goal"}
    seeded = _simple(store, [spent, spent | {"name": "each", "kind": "request_mean"}])
    _request(connection, seeded, "ann", 1, value=value)
    _request(connection, seeded, "ann", 2, value=5)
    rollup_window(store, START, END)
    for metric in ("spent", "each"):
        assert (_total(store, seeded, metric), _total(store, seeded, metric, "samples")) == (5, 1)


def test_a_metric_that_no_event_matches_is_marked_and_its_users_are_there(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE, REVENUE | {"name": "typo", "event": "purchsae"}])
    _request(connection, seeded, "ann", 1)
    _event(connection, seeded, "ann", 2, 5)
    rollup_window(store, START, END)
    assert _total(store, seeded, "typo", "unmatched") == len(ARMS)
    assert _total(store, seeded, "typo", "new_users") == 1
    assert _total(store, seeded, "revenue", "unmatched") == 0


def test_a_cap_is_put_on_the_users_running_total(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE | {"cap": 100}])
    _request(connection, seeded, "ann", 1)
    for hours, value in ((2, 80), (3, 50), (4, -40)):
        _event(connection, seeded, "ann", hours, value)
    rollup_window(store, START, END)
    frame = read_metric_rollups(store, START, END, [str(seeded.id)])
    assert frame is not None
    assert frame.set_index("hour")["value_sum"].iloc[1:].tolist() == [80.0, 20.0, -10.0]


def test_another_cap_opens_a_phase_and_another_role_does_not(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE | {"cap": 100}])
    _request(connection, seeded, "someone", 0.5)
    rollup_window(store, START, START + HOUR)

    def phases_after(metrics: list[dict[str, Any]]) -> int:
        connection.execute(
            "UPDATE ab_experiments SET promotion_config = %s WHERE id = %s", [Jsonb({"metrics": metrics}), seeded.id]
        )
        row = connection.execute(
            "SELECT count(*) AS n FROM ab_experiment_phases WHERE experiment_id = %s", [seeded.id]
        ).fetchone()
        assert row is not None
        return int(row["n"])

    assert phases_after([REVENUE | {"cap": 100.0, "role": "secondary"}]) == 1
    assert phases_after([REVENUE | {"cap": 100}, REVENUE | {"name": "more", "event": "visit"}]) == 1
    # One that was never summed up may be corrected: a kind that there is not, or a name that nobody sends.
    assert phases_after([REVENUE | {"cap": 100}, REVENUE | {"name": "more", "kind": "mean"}]) == 1
    assert phases_after([REVENUE | {"cap": 100}, REVENUE | {"name": "more", "event": "visits"}]) == 1
    rollup_window(store, START, START + HOUR)
    assert _total(store, seeded, "more", "new_users") == _total(store, seeded, "revenue", "new_users") == 1
    assert phases_after([REVENUE | {"cap": 200}]) == 2


def test_a_metric_that_joins_a_phase_has_the_sums_of_all_of_it(store: Store, connection: Connection) -> None:
    seeded = seed(store, "joined", METRICS[:1])
    rng = np.random.default_rng(3)
    add_requests(connection, seeded, rng, 300, 30)
    add_events(connection, [seeded.id] * 2, rng, 0, 400, 30)
    rollup_window(store, START, END)
    connection.execute(
        "UPDATE ab_experiments SET promotion_config = %s WHERE id = %s", [Jsonb({"metrics": METRICS}), seeded.id]
    )
    connection.execute(
        "UPDATE ab_experiment_phases AS p SET fixed = ab_fixed_in_phase(promotion_config) FROM ab_experiments AS e"
        " WHERE e.id = p.experiment_id AND e.id = %s",
        [seeded.id],
    )
    rollup_window(store, START, END)
    assert_same_sums(stored_metric_sums(connection, seeded.id), raw_metric_sums(connection, seeded.id))


def test_hours_that_were_not_rolled_up_yet_count_as_if_they_were_and_nothing_is_written(
    store: Store, connection: Connection
) -> None:
    seeded = seed(store, "live")
    rng = np.random.default_rng(1)
    add_requests(connection, seeded, rng, 300, 25)
    add_events(connection, [seeded.id] * 2, rng, 0, 400, 25)
    rollup_window(store, START, START + 20 * HOUR)
    before = connection.execute("SELECT count(*) AS n, min(hour) FROM metric_event_changes").fetchall()
    live = live_metric_rollups(store, store, END, [str(seeded.id)])
    again = live_metric_rollups(store, connection, END, [str(seeded.id)])
    assert connection.execute("SELECT count(*) AS n, min(hour) FROM metric_event_changes").fetchall() == before
    rollup_window(store, START, END)
    stored = read_metric_rollups(store, BOUNDARY, END, [str(seeded.id)])
    assert live is not None and again is not None and stored is not None
    live = live[(live[["samples", "new_users", "requests"]] != 0).any(axis=1)].reset_index(drop=True)
    again = again[(again[["samples", "new_users", "requests"]] != 0).any(axis=1)].reset_index(drop=True)
    stored = stored[(stored[["samples", "new_users", "requests"]] != 0).any(axis=1)].reset_index(drop=True)
    assert live.astype(str).equals(stored.astype(str))
    assert again.astype(str).equals(stored.astype(str))


def test_one_order_and_another_leave_the_same_bits(store: Store, connection: Connection) -> None:
    found = []
    for order in (1, -1):
        seeded = _simple(store, [REVENUE, METRICS[4]], f"order {order}")
        for number in list(range(40))[::order]:
            _request(connection, seeded, f"user {number % 7}", number / 2 + 0.1, latency_ms=number / 3)
            _event(connection, seeded, f"user {number % 7}", number / 2 + 0.7, number * 0.1)
            if number % 9 == 0:
                rollup_window(store, START, END)
        rollup_window(store, START, END)
        frame = read_metric_rollups(store, START, END, [str(seeded.id)])
        assert frame is not None
        found.append(frame.drop(columns=["experiment_id", "phase_id", "variant_id"]).astype(str))
    assert found[0].equals(found[1])


def test_forgetting_a_user_leaves_the_sums_and_not_the_id(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE])
    _request(connection, seeded, "ann", 1)
    _event(connection, seeded, "ann", 2, 30)
    rollup_window(store, START, END)
    _event(connection, seeded, "ann", 3, 4)
    forget_user(store, "ann")
    rollup_window(store, START, END)
    assert _total(store, seeded, "revenue") == 34
    for table in ("metric_users", "hourly_user_metrics", "metric_event_changes"):
        assert connection.execute(f"SELECT 1 FROM {table} WHERE user_id = 'ann'").fetchone() is None


def test_users_of_whom_no_request_is_left_are_nobody_of_the_experiment(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE | {"covariate": "same_metric_before"}])
    for user, hours in [("bot", 0.2), ("bot", 1.2), ("late", 0.3), ("late", 2.3), ("sound", 0.4), ("sound", 1.4)]:
        _request(connection, seeded, user, hours)
    for user, hours, value in [("bot", 0.5, 70), ("late", 0.6, 9), ("late", 2.5, 4), ("sound", 0.7, 2), ("bot", -9, 8)]:
        _event(connection, seeded, user, hours, value)
    rollup_window(store, START, END)
    assert _total(store, seeded, "revenue", "new_users") == 3
    # A predicate that leaves them out, or a deletion, is the same to the sums: those hours' requests are others now.
    connection.execute("DELETE FROM ai_requests WHERE user_id = 'bot'")
    connection.execute("DELETE FROM ai_requests WHERE user_id = 'late' AND created_at < %s", [START + HOUR])
    rollup_window(store, START, END)
    assert _total(store, seeded, "revenue", "new_users") == 2
    # What 'late' bought before the first request that is left was bought before the exposure.
    assert _total(store, seeded, "revenue") == 6
    assert _total(store, seeded, "revenue", "user_value_sum_squares") == 4 + 16
    assert _total(store, seeded, "revenue", "covariate_sum") == 9
    assert_same_sums(stored_metric_sums(connection, seeded.id), raw_metric_sums(connection, seeded.id))


def test_a_late_event_is_noted_for_the_hours_that_are_decided(store: Store, connection: Connection) -> None:
    seeded = _simple(store, [REVENUE])
    for hours in (1, 2, 3):
        _request(connection, seeded, "ann", hours)
    rollup_window(store, START, END)
    evaluate_window(store, START, START + 5 * HOUR)
    _event(connection, seeded, "ann", 2.5, 30)
    rollup_window(store, START, END)
    row = connection.execute("SELECT first_hour FROM late_changes WHERE experiment_id = %s", [seeded.id]).fetchone()
    assert row is not None
    assert row["first_hour"] == START + 2 * HOUR


def test_a_covariate_of_the_log_is_what_the_user_did_before(store: Store, connection: Connection) -> None:
    past = {"covariate": "same_metric_before", "covariate_days": 1}
    seeded = _simple(store, [{"name": "spent", "kind": "user_mean", "column": "value", "role": "goal"} | past])
    older = seed_experiment(store, "older", ARMS, start=START - 100 * HOUR, end=END)
    _request(connection, older, "ann", -30, value=1000)
    _request(connection, older, "ann", -3, value=7)
    _request(connection, seeded, "ann", 2, value=2)
    rollup_window(store, START - 100 * HOUR, END)
    assert _total(store, seeded, "spent", "covariate_sum") == 7
    assert _total(store, seeded, "spent", "covariate_sum_squares") == 49
    assert _total(store, seeded, "spent", "user_value_covariate_sum_products") == 14
    # What lands later of before the user was first seen is not in it: the past is read once, which the docs say.
    _request(connection, older, "ann", -2, value=100)
    rollup_window(store, START - 100 * HOUR, END)
    assert _total(store, seeded, "spent", "covariate_sum") == 7
    # Seen to have been served earlier, the user's past is read anew.
    _request(connection, seeded, "ann", 1, value=0)
    rollup_window(store, START - 100 * HOUR, END)
    assert _total(store, seeded, "spent", "covariate_sum") == 107


def test_without_a_metric_nothing_is_asked_for_one(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "plain", ARMS, start=START, end=END)
    _request(connection, seeded, "ann", 1)
    _event(connection, seeded, "ann", 2, 5)
    rollup_window(store, START, END)
    assert connection.execute("SELECT 1 FROM metric_event_changes").fetchone() is None
    assert read_metric_rollups(store, START, END) is None
