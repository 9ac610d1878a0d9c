"""A check before the hourly run sees the requests wherever they are, and says where it looked."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups import LiveSums, live_sums, open_log
from promotion_pipeline.rollups.as_of import rollups_as_of
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import PLACES, each
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, add_requests, seed_experiment

HOUR = timedelta(hours=1)
KEYS = ["hour", "phase_id", "variant_id"]


def _frame(live: LiveSums) -> pd.DataFrame:
    sums = live.sums
    assert sums.phase_id is not None
    ids = {"phase_id": sums.phase_id.tolist(), "variant_id": sums.variant_id.tolist()}
    return pd.DataFrame({"hour": pd.to_datetime(sums.hour_us, unit="us", utc=True), **ids, **sums.sums})


@pytest.mark.parametrize("rolled_hours", [0, 90])
@pytest.mark.parametrize("name", each(*PLACES))
def test_hours_that_are_not_rolled_up_are_asked_of_the_log(
    make_place: MakePlace, store: Store, connection: Connection, name: str, rolled_hours: int
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER, users=400)
    wanted = rollups_as_of(store, seeded.end).groupby(KEYS, as_index=False, observed=True).sum(numeric_only=True)
    where.move_requests()
    if rolled_hours:
        with open_log(where.store) as log:
            log.roll_up(seeded.start, seeded.start + rolled_hours * HOUR)
    found = _frame(live_sums(where.store, where.store, seeded.end))
    found = found.groupby(KEYS, as_index=False, observed=True).sum(numeric_only=True)
    found, wanted = (
        frame.astype(dict.fromkeys(KEYS[1:], "str")).sort_values(KEYS, ignore_index=True) for frame in (found, wanted)
    )
    pd.testing.assert_frame_equal(found[wanted.columns], wanted, check_dtype=False, rtol=1e-9)
    [answer] = assess(where.store, ["checkout"])
    assert answer.is_eligible
    assert answer.sample_size == 10_000


@pytest.mark.parametrize("name", each(*PLACES))
def test_an_experiment_without_requests_is_told_which_log_was_asked(
    make_place: MakePlace, store: Store, name: str
) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "other", WINNER)
    silent = seed_experiment(store, "silent", [VariantSpec("control", is_control=True), VariantSpec("treatment")])
    add_requests(store, seeded, WINNER[0], start=seeded.start, end=seeded.end)
    where.move_requests()
    [answer] = assess(where.store, [silent.name])
    assert where.shown in answer.reasons[0]
