"""The sweep reads what is missing before it decides, and a log that is down stops nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promotion_pipeline.config import Mode
from promotion_pipeline.cron import run_sweep
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.test_alarms import BROKEN, promoted
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import with_mapping
from promotion_pipeline_tests.seeding import WINNER, add_requests, count, seed_experiment

EMPTY = tuple(replace(variant, requests=0, conversions=0, errors=0) for variant in WINNER)


@pytest.mark.parametrize(("mode", "outcome"), [(Mode.LIVE, Outcome.PROMOTED), (Mode.SHADOW, Outcome.SHADOW)])
def test_what_was_loaded_into_hours_that_were_read_as_empty_is_decided_on(
    store: Store, mode: Mode, outcome: Outcome
) -> None:
    where = Store(store.url, store.settings.model_copy(update={"mode": mode}))
    seeded = seed_experiment(store, "x", EMPTY)
    catch_up(store, seeded.end)
    assert run_sweep("cron", store=where).results[0].outcome is Outcome.NOT_ELIGIBLE
    for variant in WINNER:
        add_requests(store, seeded, variant, start=seeded.start, end=seeded.end)
    (entry,) = run_sweep("cron", store=where).results
    assert entry.outcome is outcome, entry.message
    assert count(store, "SELECT sample_size FROM experiment_promotions") == 10_000


def test_a_log_that_is_down_is_told_and_stops_neither_the_watch_nor_the_check(
    make_place: MakePlace, store: Store
) -> None:
    promoted(store, 2, BROKEN)
    seeded = seed_experiment(store, "y", WINNER)
    catch_up(store, seeded.end)
    where = make_place("another PostgreSQL")
    where.move_requests()
    down = with_mapping(where, url="postgresql://nobody@127.0.0.1:1/nothing").store
    result = run_sweep("cron", store=down)
    assert result.unread is not None
    assert "127.0.0.1" in result.unread
    assert [(found.experiment_name, found.status) for found in result.watched] == [("x", "unmeasured")]
    assert [(entry.experiment_name, entry.outcome) for entry in result.results] == [("y", Outcome.FAILED)]
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 1
