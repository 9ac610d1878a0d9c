"""What vanishes from the log is not zero: it is named, and changes no sum."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from promotion_pipeline.rollups import open_log
from promotion_pipeline.rollups.log_gaps import GapKind, gap_sentence, log_gaps
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import PLACES, Place, each
from promotion_pipeline_tests.seeding import WINNER, Seeded, seed_experiment

HOUR = timedelta(hours=1)
KEYS = ["hour", "phase_id", "variant_id"]


def rolled_up(where: Place, first: int, last: int, seeded: Seeded) -> pd.DataFrame:
    """Roll up the hours first to last of the experiment; all its rollups."""
    with open_log(where.store) as log:
        log.roll_up(seeded.start + first * HOUR, seeded.start + last * HOUR)
    frame = read_rollups(where.store, seeded.start, seeded.end)
    return frame.astype(dict.fromkeys(["experiment_id", *KEYS[1:]], "str")).sort_values(KEYS, ignore_index=True)


@pytest.mark.parametrize("name", each(*PLACES))
def test_an_hour_that_vanished_keeps_its_sums_and_is_named_until_it_is_back(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER, users=300)
    where.move_requests()
    before = rolled_up(where, 0, 96, seeded)
    lost = where.lose(seeded.start + 60 * HOUR, seeded.start + 63 * HOUR)
    pd.testing.assert_frame_equal(rolled_up(where, 48, 96, seeded), before)
    [gap] = log_gaps(connection)
    assert (gap.experiment_name, gap.kind, gap.hours) == ("checkout", GapKind.VANISHED, 3)
    assert (gap.first_hour, gap.last_hour) == (seeded.start + 60 * HOUR, seeded.start + 62 * HOUR)
    assert f"{gap.requests:,} requests" in gap_sentence(gap)
    where.put(lost)
    pd.testing.assert_frame_equal(rolled_up(where, 48, 96, seeded), before)
    assert log_gaps(connection) == []


@pytest.mark.parametrize("name", each(*PLACES))
def test_old_requests_that_vanish_change_no_user_sum_of_later_hours(
    make_place: MakePlace, store: Store, name: str
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER, users=300)
    where.move_requests()
    wanted = rolled_up(where, 0, 96, seeded)
    with store.connect() as connection:
        connection.execute("TRUNCATE hourly_variant_rollups, hourly_user_rollups, rollup_hours")
    rolled_up(where, 0, 90, seeded)
    where.lose(seeded.start, seeded.start + 40 * HOUR)
    found = rolled_up(where, 48, 96, seeded)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-9)


def test_a_part_of_an_hour_that_is_gone_is_a_correction(
    make_place: MakePlace, store: Store, connection: Connection
) -> None:
    where = make_place("own table")
    seeded = seed_experiment(store, "checkout", WINNER, users=300)
    before = rolled_up(where, 0, 96, seeded)
    connection.execute("DELETE FROM ai_requests WHERE converted AND created_at >= %s", (seeded.end - HOUR,))
    after = rolled_up(where, 48, 96, seeded)
    assert after["requests"].sum() < before["requests"].sum()
    assert log_gaps(connection) == []
