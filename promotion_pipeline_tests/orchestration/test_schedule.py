"""Which hours the hourly schedule takes."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from promotion_pipeline.partitions import hour_key
from promotion_pipeline.promotion.sweep import auto_check_promotions
from promotion_pipeline.schedules import due_run
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, count, seed_experiment


def hours_of(request: dg.RunRequest | dg.SkipReason) -> tuple[str, str]:
    assert isinstance(request, dg.RunRequest)
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
