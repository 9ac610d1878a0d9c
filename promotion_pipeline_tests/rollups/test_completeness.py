"""What is missing is found, withheld and read again wherever the log is."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from psycopg import sql

from promotion_pipeline.evaluation.unattended import WithheldReason
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.rollups import catch_up, landed, open_log
from promotion_pipeline.store.bulk import read_frame
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import PLACES, each
from promotion_pipeline_tests.seeding import (
    NO_DIFFERENCE,
    WINNER,
    VariantSpec,
    add_requests,
    count,
    seed_experiment,
)

HOUR = timedelta(hours=1)
IN_SUMS = "SELECT sum(requests)::bigint FROM hourly_variant_rollups WHERE experiment_id = %s"


def sums(store: Store) -> pd.DataFrame:
    return read_frame(
        store,
        sql.SQL(
            "SELECT hour, phase_id::text, variant_id::text, requests, conversions, user_requests, new_users,"
            " user_requests_sum_squares, user_conversions_requests_sum_products FROM hourly_variant_rollups"
            " ORDER BY hour, phase_id, variant_id"
        ).format(),
    )


@pytest.mark.parametrize("name", each(*PLACES))
def test_an_experiment_that_arrives_with_its_history_is_read_back_to_its_start(
    make_place: MakePlace, store: Store, name: str
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "beside", NO_DIFFERENCE, users=300)
    where.move_requests()
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end)
    arrived = seed_experiment(store, "arrived", WINNER, users=300)
    where.move_requests()
    with open_log(where.store) as log:
        log.roll_up(seeded.end - 48 * HOUR, seeded.end)
    assert count(store, IN_SUMS, arrived.id) == 10_000

    catch_up(where.store, seeded.end - 48 * HOUR)
    assert count(store, IN_SUMS, arrived.id) == 20_000
    found = sums(store)
    with store.connect() as connection:
        connection.execute("DELETE FROM phase_rollups")
        for table in ("hourly_variant_rollups", "hourly_user_rollups", "user_totals", "rollup_hours"):
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end)
    pd.testing.assert_frame_equal(found, sums(store))
    assert catch_up(where.store, seeded.end - 48 * HOUR).changed_rows == 0


@pytest.mark.parametrize("name", each(*PLACES))
def test_rows_that_came_beyond_the_look_back_withhold_and_are_read_again(
    make_place: MakePlace, store: Store, name: str
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER)
    where.move_requests()
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end)
    past = (VariantSpec("control", requests=9_000, conversions=4_000), VariantSpec("treatment", requests=9_000))
    for variant in past:
        add_requests(store, seeded, variant, start=seeded.start, end=seeded.start + 20 * HOUR)
    where.move_requests()

    answer = check_promotion_eligibility("checkout", store=where.store)
    assert WithheldReason.INCOMPLETE_DATA in answer.evidence.withheld
    assert any(where.shown in said for said in answer.warnings)
    auto_check_promotions("cron", store=where.store)
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0
    catch_up(where.store, seeded.end)
    assert count(store, IN_SUMS, seeded.id) == 38_000
    assert not check_promotion_eligibility("checkout", store=where.store).is_eligible


@pytest.mark.parametrize("name", [place for place in PLACES if place != "Spark"])
def test_the_schedule_asks_the_log_what_has_landed(make_place: MakePlace, store: Store, name: str) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER)
    where.move_requests()
    end = seeded.end + HOUR
    waiting = landed(where.store, end, end + timedelta(minutes=5))
    assert waiting.end == seeded.end
    assert where.shown in waiting.sentence
    assert landed(where.store, end, end + timedelta(hours=3)).end == end
