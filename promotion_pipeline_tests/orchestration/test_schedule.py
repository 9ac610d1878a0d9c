"""Which hours the hourly schedule takes."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.orchestration.place import Placement
from promotion_pipeline.orchestration.schedules import due_run, ticks
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, VariantSpec, add_requests, count, seed_experiment


def hours_of(request: dg.RunRequest | dg.SkipReason) -> tuple[str, str]:
    assert isinstance(request, dg.RunRequest)
    if "dagster/partition" in request.tags:
        return (request.tags["dagster/partition"],) * 2
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def at_five_past(hour: datetime) -> datetime:
    return hour + timedelta(minutes=5)


def test_one_run_takes_the_hours_that_are_not_decided_and_then_there_is_nothing_to_do(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(50), stage.hours_ago(3))
    request = due_run(stage.store, at_five_past(stage.newest))
    assert hours_of(request) == (hour_key(stage.hours_ago(3)), hour_key(stage.hours_ago(1)))

    run = stage.graph.tick_schedule(at_five_past(stage.newest))
    assert run is not None
    assert count(stage.store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") == 50
    assert stage.graph.tick_schedule(at_five_past(stage.newest)) is None
    assert isinstance(due_run(stage.store, at_five_past(stage.newest)), dg.SkipReason)


def test_an_outage_catches_up_to_the_look_back_and_no_further(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    request = due_run(stage.store, at_five_past(stage.newest))
    assert hours_of(request) == (hour_key(stage.hours_ago(48)), hour_key(stage.hours_ago(1)))
    short = stage.with_settings(lookback_hours=0)
    assert hours_of(due_run(short.store, at_five_past(stage.newest))) == (hour_key(stage.hours_ago(1)),) * 2


def test_the_bounds_follow_from_the_scheduled_time(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    request = due_run(stage.store, at_five_past(stage.hours_ago(10)))
    assert hours_of(request)[1] == hour_key(stage.hours_ago(11))


def test_an_experiment_that_was_added_since_is_decided_too(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    stage.graph.run_hours(stage.hours_ago(48), stage.newest)
    seed_experiment(stage.store, "newcomer", WINNER, start=stage.hours_ago(2))
    assert hours_of(due_run(stage.store, at_five_past(stage.newest)))[0] == hour_key(stage.hours_ago(2))


def test_a_host_whose_clock_is_ahead_waits(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    request = due_run(stage.store, at_five_past(stage.newest + timedelta(hours=1)))
    assert isinstance(request, dg.SkipReason)
    assert "clock" in str(request.skip_message)


def test_an_hour_of_which_nothing_has_landed_is_not_decided_until_its_data_is_there(stage: Stage) -> None:
    seeded = seed_experiment(stage.store, "checkout", WINNER, end=stage.hours_ago(1))
    at = at_five_past(stage.newest)
    assert hours_of(due_run(stage.store, at))[1] == hour_key(stage.hours_ago(2))
    stage.graph.tick_schedule(at)
    waits = due_run(stage.store, at)
    assert isinstance(waits, dg.SkipReason)
    assert "has landed in ai_requests yet" in str(waits.skip_message)
    assert "AUTO_PROMOTION_SCHEDULE_MINUTE" in str(waits.skip_message)

    late = VariantSpec("treatment", requests=100, conversions=13)
    add_requests(stage.store, seeded, late, start=stage.hours_ago(1), end=stage.newest)
    assert hours_of(due_run(stage.store, at)) == (hour_key(stage.hours_ago(1)),) * 2
    assert stage.graph.tick_schedule(at + timedelta(minutes=10)) is not None
    assert stage.graph.tick_schedule(at + timedelta(minutes=20)) is None


def test_an_hour_that_stays_silent_is_decided_in_the_end(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER, end=stage.hours_ago(5))
    assert hours_of(due_run(stage.store, at_five_past(stage.newest)))[1] == hour_key(stage.hours_ago(3))


def test_a_run_that_is_at_work_is_not_started_again_when_the_schedule_looks_again(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    at = at_five_past(stage.newest)
    assert stage.graph.tick_schedule(at) is not None
    with stage.store.connect() as connection:
        connection.execute("DELETE FROM eligibility_decisions")
    assert isinstance(due_run(stage.store, at), dg.RunRequest)
    assert stage.graph.tick_schedule(at + timedelta(minutes=10)) is None


@pytest.mark.parametrize(("minute", "expected"), [(5, "5,15,25,35,45,55"), (40, "40,50"), (59, "59")])
def test_the_schedule_looks_again_until_the_hour_is_over(minute: int, expected: str) -> None:
    assert ticks(minute) == f"{expected} * * * *"


def test_the_minute_of_the_schedule_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Placement().schedule_minute == 5
    monkeypatch.setenv("AUTO_PROMOTION_SCHEDULE_MINUTE", "25")
    assert Placement().schedule_minute == 25
    monkeypatch.setenv("AUTO_PROMOTION_SCHEDULE_MINUTE", "60")
    with pytest.raises(ConfigError, match="AUTO_PROMOTION_SCHEDULE_MINUTE='60'"):
        _ = Placement().schedule_minute


def test_an_experiment_whose_variants_were_deleted_makes_nobody_decide_again(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", WINNER)
    seeded = seed_experiment(stage.store, "emptied", WINNER)
    with stage.store.connect() as connection:
        connection.execute("DELETE FROM ab_variants WHERE experiment_id = %s", (seeded.id,))
    stage.graph.run_hours(stage.hours_ago(48), stage.newest)
    assert isinstance(due_run(stage.store, at_five_past(stage.newest)), dg.SkipReason)


def test_an_hour_that_a_sweep_decided_is_still_rolled_up_and_measured_by_the_run(stage: Stage) -> None:
    seed_experiment(stage.store, "checkout", NO_DIFFERENCE)
    stage.graph.run_hours(stage.hours_ago(48), stage.hours_ago(1))
    auto_check_promotions("cron", store=stage.store)
    by_sweep = "SELECT count(*) FROM eligibility_decisions WHERE label = 'record' AND made_by = 'sweep'"
    assert count(stage.store, by_sweep) == 1
    request = due_run(stage.store, at_five_past(stage.newest))
    assert hours_of(request) == (hour_key(stage.hours_ago(1)),) * 2
    stage.graph.tick_schedule(at_five_past(stage.newest))
    assert count(stage.store, by_sweep) == 1
    assert isinstance(due_run(stage.store, at_five_past(stage.newest)), dg.SkipReason)
