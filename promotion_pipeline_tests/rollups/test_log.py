"""One port for the log: every engine gives the same answers to the same questions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.errors import InputError, PromotionError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.promotion.watch.rules import WatchStatus
from promotion_pipeline.rollups import SUMS_COLUMNS, Span, open_log
from promotion_pipeline.rollups.log import ARRIVALS_COLUMNS
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.promotion.test_ramp_and_watch import HEALTHY, served_since
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import PLACES, each
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, seed_experiment

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
ARMS = (
    VariantSpec("control", is_control=True, requests=400, conversions=40, errors=8, value=2),
    VariantSpec("treatment", requests=600, conversions=90, errors=6, value=3),
)


def spans(experiment: UUID, other: UUID) -> list[Span]:
    half = START + 5 * HOUR
    return [
        Span("all", experiment, START, START + 10 * HOUR),
        Span("recent", experiment, START, START + 10 * HOUR, mature_before=half, recent_since=START + 8 * HOUR),
        Span("half", experiment, half, START + 7 * HOUR + timedelta(minutes=20, microseconds=1)),
        Span("other", other, START, START + 10 * HOUR),
        Span("nobody", uuid4(), START, START + 10 * HOUR),
        Span("before", experiment, START - 3 * HOUR, START),
    ]


def by_hand(connection: Connection, asked: list[Span]) -> pd.DataFrame:
    """The sums out of the rows of `ai_requests`, one span at a time."""
    rows = []
    for span in asked:
        rows += connection.execute(
            """
            SELECT %(key)s::text AS key, variant_id::text, created_at >= %(recent)s AS is_recent,
                count(*) AS requests, count(*) FILTER (WHERE is_error) AS errors,
                count(*) FILTER (WHERE created_at < %(mature)s) AS matured_requests,
                count(*) FILTER (WHERE converted AND created_at < %(mature)s) AS conversions,
                count(latency_ms) AS latency_samples, sum(latency_ms)::float8 AS latency_ms_sum,
                sum(latency_ms ^ 2)::float8 AS latency_ms_sum_squares,
                coalesce(sum(value) FILTER (WHERE created_at < %(mature)s), 0)::float8 AS value_sum,
                coalesce(sum(value ^ 2) FILTER (WHERE created_at < %(mature)s), 0)::float8 AS value_sum_squares
            FROM ai_requests WHERE experiment_id = %(id)s AND created_at >= %(since)s AND created_at < %(until)s
            GROUP BY 1, 2, 3
            """,
            {
                "key": span.key,
                "id": span.experiment_id,
                "since": span.since,
                "until": span.until,
                "mature": span.mature_before or span.until,
                "recent": span.recent_since or span.until,
            },
        ).fetchall()
    return pd.DataFrame(rows)[list(SUMS_COLUMNS)]


def arrivals_by_hand(connection: Connection, asked: list[Span]) -> list[list[object]]:
    """Who arrived where, out of the rows of `ai_requests`; a user that is white space is none."""
    rows = []
    for span in asked:
        rows += connection.execute(
            "SELECT %s::text AS key, variant_id::text, count(*) AS requests, count(*) FILTER (WHERE user_id <> ' ')"
            " AS user_requests, count(DISTINCT user_id) FILTER (WHERE user_id <> ' ') AS users FROM ai_requests"
            " WHERE experiment_id = %s AND created_at >= %s AND created_at < %s GROUP BY 1, 2",
            [span.key, span.experiment_id, span.since, span.until],
        ).fetchall()
    return sorted([row[name] for name in ARRIVALS_COLUMNS] for row in rows)


@pytest.mark.parametrize("name", each(*PLACES))
def test_every_engine_answers_all_spans_of_a_question_alike(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    where = make_place(name)
    first = seed_experiment(store, "it's 'odd'", ARMS, start=START, end=START + 10 * HOUR)
    second = seed_experiment(store, "second", ARMS, start=START, end=START + 10 * HOUR)
    connection.execute(
        "UPDATE ai_requests SET user_id = (ARRAY[NULL, ' ', 'a', 'b', 'B' || extract(hour FROM created_at)])"
        "[1 + abs(hashtext(id::text)) % 5]"
    )
    asked = spans(first.id, second.id)
    wanted, arrived = by_hand(connection, asked), arrivals_by_hand(connection, asked)
    where.move_requests()
    with open_log(where.store) as log:
        assert sorted(log.arrivals(asked)[list(ARRIVALS_COLUMNS)].to_numpy().tolist()) == arrived
        found, counted, newest = log.sums(asked), log.counts(asked), log.newest_request()
        assert where.shown in log.name
    keys = ["key", "variant_id", "is_recent"]
    found, wanted = (frame.sort_values(keys, ignore_index=True) for frame in (found, wanted))
    assert found[keys].to_numpy().tolist() == wanted[keys].to_numpy().tolist()
    for column in SUMS_COLUMNS[3:]:
        np.testing.assert_allclose(found[column].astype(float), wanted[column].astype(float), rtol=1e-12)
    requests = wanted.groupby("key")["requests"].sum()
    assert counted == {span.key: int(requests.get(span.key, 0)) for span in asked}
    assert counted["nobody"] == counted["before"] == 0 < counted["half"] < counted["all"] == 1000
    assert newest is not None
    assert START + 10 * HOUR - timedelta(minutes=2) < newest < START + 10 * HOUR


@pytest.mark.parametrize("name", each(*PLACES))
def test_rollups_of_a_window_are_asked_of_the_log_and_written_nowhere(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    where = make_place(name)
    first = seed_experiment(store, "first", ARMS, start=START, end=START + 10 * HOUR)
    seed_experiment(store, "second", ARMS, start=START, end=START + 10 * HOUR)
    where.move_requests()
    with open_log(where.store) as log:
        everything = log.rollups(START, START + 10 * HOUR)
        one = log.rollups(START, START + 10 * HOUR, [str(first.id)])
    assert everything["requests"].sum() == 2 * one["requests"].sum() == 2000
    assert set(one["experiment_id"].astype(str)) == {str(first.id)}
    row = connection.execute("SELECT count(*) AS n FROM hourly_variant_rollups").fetchone()
    assert row == {"n": 0}


def test_latencies_of_whole_numbers_and_values_of_any_size_are_summed(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "whole", ARMS, start=START, end=START + 10 * HOUR)
    connection.execute("DROP VIEW promotion_pipeline_requests")
    connection.execute("ALTER TABLE ai_requests ALTER COLUMN latency_ms TYPE integer USING latency_ms::integer")
    migrate.upgrade(store.url)
    connection.execute("UPDATE ai_requests SET value = 1e200 WHERE converted")
    connection.execute("UPDATE ai_requests SET value = 'NaN' WHERE is_error")
    with open_log(store) as log:
        found = log.sums([Span("whole", seeded.id, START, START + 10 * HOUR)])
    assert found["latency_samples"].sum() == 1000
    assert np.isfinite(found["value_sum_squares"]).all()
    assert 70 < found["latency_ms_sum"].sum() / 1000 < 130


UNUSABLE = [("1e200", "1e200"), ("1e-300", "1e-1000"), ("NaN", "NaN"), ("-1", "1e1000"), ("1e308", "-1e5000")]


def test_rows_that_no_sum_can_hold_stop_neither_the_sums_nor_the_watch(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout", WINNER)
    promotion = promote_winner("checkout", "manual", "anna", store=store)
    served_since(store, seeded, promotion, 2, HEALTHY)
    span = Span("all", seeded.id, seeded.start, database_now(connection))
    with open_log(store) as log:
        before = log.sums([span])
    for latency_ms, value in UNUSABLE:
        connection.execute(
            "INSERT INTO ai_requests (experiment_id, variant_id, created_at, latency_ms, value, user_id)"
            " VALUES (%s, %s, now() - interval '1 minute', %s, %s, %s)",
            [seeded.id, promotion.promoted_variant_id, latency_ms, value, "x" * 3_000],
        )
    with open_log(store) as log:
        after = log.sums([replace(span, until=database_now(connection))])
    assert after["requests"].sum() == before["requests"].sum() + len(UNUSABLE)
    # 1e-300 and 1e-1000 count as 0, which is a sample of latency.
    assert after["latency_samples"].sum() == before["latency_samples"].sum() + 1
    for name in ("latency_ms_sum", "value_sum", "value_sum_squares"):
        assert after[name].sum() == pytest.approx(before[name].sum(), rel=1e-12)
    [seen] = watch_promotions(store)
    assert (seen.status, seen.is_blind) == (WatchStatus.CLEAN, False)


def test_imported_sums_answer_for_their_experiment(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "imported", ARMS, start=START, end=START + 10 * HOUR)
    with open_log(store) as log:
        log.roll_up(START, START + 10 * HOUR)
        connection.execute("UPDATE ab_experiments SET rollup_source = 'imported'")
        connection.execute("TRUNCATE ai_requests")
        span = Span("all", seeded.id, START + 2 * HOUR, START + 10 * HOUR, recent_since=START + 8 * HOUR)
        found, counted, arrived = log.sums([span]), log.counts([span]), log.arrivals([span])
    assert counted == {"all": 800}
    assert (arrived["requests"].sum(), arrived["users"].sum()) == (800, 0)
    assert found.groupby("is_recent")["requests"].sum().to_dict() == {False: 600, True: 200}


@pytest.mark.parametrize("name", [name for name in PLACES if name != "own table"])
def test_a_log_that_is_not_there_is_an_error_that_names_it(make_place: MakePlace, store: Store, name: str) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "alone", ARMS, start=START, end=START + 10 * HOUR)
    missing = where.table if name == "another PostgreSQL" else "requests/"
    with open_log(where.store) as log, pytest.raises(PromotionError, match=missing):
        log.sums([Span("all", seeded.id, START, START + 10 * HOUR)])


def test_an_empty_log_has_no_newest_request(store: Store) -> None:
    with open_log(store) as log:
        assert log.newest_request() is None
        assert log.sums([]).empty
        assert log.counts([]) == {}


def test_two_spans_of_one_name_are_refused(store: Store) -> None:
    span = Span("twice", uuid4(), START, START + HOUR)
    with open_log(store) as log, pytest.raises(InputError, match="'twice'"):
        log.sums([span, span])


def test_a_span_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="since"):
        Span("naive", uuid4(), datetime(2026, 1, 5), START)  # noqa: DTZ001
