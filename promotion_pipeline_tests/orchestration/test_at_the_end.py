"""The hourly run delivers what is due at its end, and nothing that goes wrong there is its failure."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.delivery import notification_sensor
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline_tests.notifications.servers import Mailbox, mail_server
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, count, seed_experiment

SENT = "SELECT count(*) FROM notification_deliveries WHERE channel = 'email' AND state = 'delivered'"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as server:
        yield server


@pytest.fixture
def mailing(stage: Stage, mailbox: Mailbox) -> Stage:
    """A stage whose summary of an hour goes to the mailbox."""
    seed_experiment(stage.store, "checkout", NO_DIFFERENCE)
    return stage.with_settings(
        smtp_host="127.0.0.1", smtp_port=mailbox.port, smtp_starttls=False, email_to=("team@example.com",)
    )


def tick(stage: Stage) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(stage.instance, resources={"store": StoreResource(stage.store)}) as context:
        answer = notification_sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_the_summary_of_an_hour_leaves_with_the_run_that_decided_it(mailing: Stage) -> None:
    mailing.graph.run_hours(mailing.hours_ago(1), mailing.newest)
    assert count(mailing.store, SENT) == 1
    assert isinstance(tick(mailing), dg.SkipReason)
    assert [run.job_name for run in mailing.instance.get_runs()] == [names.HOURLY_JOB]


def test_a_delivery_that_breaks_fails_no_hourly_run_and_the_sensor_sees_to_it(mailing: Stage) -> None:
    with mailing.store.connect() as connection:
        connection.execute("ALTER TABLE notification_channels RENAME TO away")
    result = mailing.graph.run_hours(mailing.hours_ago(1), mailing.newest)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    with mailing.store.connect() as connection:
        connection.execute("ALTER TABLE away RENAME TO notification_channels")
    assert isinstance(tick(mailing), dg.RunRequest)
    mailing.graph.run_job(names.DELIVERY_JOB)
    assert count(mailing.store, SENT) == 1


def test_the_sensor_waits_for_an_hourly_run_that_just_began_and_for_no_old_one(mailing: Stage) -> None:
    with mailing.store.connect() as connection:
        connection.execute("ALTER TABLE notification_channels RENAME TO away")
        mailing.graph.run_hours(mailing.hours_ago(1), mailing.newest)
        connection.execute("ALTER TABLE away RENAME TO notification_channels")
    job = dg.job(name=names.HOURLY_JOB)(lambda: None)
    run = mailing.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    waiting = tick(mailing)
    assert isinstance(waiting, dg.SkipReason)
    assert "hourly run" in str(waiting.skip_message)
    mailing.instance.report_run_failed(run)
    assert isinstance(tick(mailing), dg.RunRequest)
