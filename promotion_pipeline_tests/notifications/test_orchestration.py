"""The delivery as Dagster runs it."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from promotion_pipeline.orchestration import delivery, names
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import acting_in_run
from promotion_pipeline_tests.notifications.helpers import deliver, write
from promotion_pipeline_tests.notifications.servers import Web
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def resources(store: Store) -> dict[str, StoreResource]:
    return {"store": StoreResource(store)}


def tick(store: Store, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, resources=resources(store)) as context:
        answer = delivery.notification_sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_the_sensor_asks_for_a_run_only_while_somebody_is_to_be_told(
    channels: Store, slack: Web, instance: dg.DagsterInstance
) -> None:
    assert isinstance(tick(channels, instance), dg.SkipReason)
    write(channels, "promotion")
    assert isinstance(tick(channels, instance), dg.RunRequest)
    result = delivery.deliver_notifications_job.execute_in_process(instance=instance, resources=resources(channels))
    assert result.success
    assert len(slack.confirmed) == 1
    assert isinstance(tick(channels, instance), dg.SkipReason)


def test_the_sensor_does_not_start_a_second_run_beside_the_first(channels: Store, instance: dg.DagsterInstance) -> None:
    write(channels, "promotion")
    instance.create_run_for_job(delivery.deliver_notifications_job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(channels, instance), dg.SkipReason)


@dg.op
def breaks() -> None:
    raise ValueError("the warehouse is on fire")


@dg.job(name=names.APPLY_JOB)
def breaking_job() -> None:
    breaks()


def fail(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
    return breaking_job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)


def alarm(store: Store, instance: dg.DagsterInstance, failed: dg.ExecuteInProcessResult) -> None:
    event = failed.get_run_failure_event()
    with dg.build_run_status_sensor_context(
        sensor_name=names.FAILURE_SENSOR,
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=failed.dagster_run,
        resources=resources(store),
    ) as context:
        delivery.run_failure_alarm(context.for_run_failure())


def test_a_run_that_failed_is_told_with_its_error_and_its_link(
    channels: Store, slack: Web, instance: dg.DagsterInstance
) -> None:
    failed = fail(instance)
    alarm(channels, instance, failed)
    alarm(channels, instance, failed)
    deliver(channels)
    (body,) = slack.confirmed
    assert "A run of apply_promotion_job failed" in body["text"]
    assert "in step breaks" in body["text"]
    assert "the warehouse is on fire" in body["text"]
    assert f"https://dagster.example.com/runs/{failed.run_id}" in body["text"]


def test_a_run_that_is_tried_again_is_told_when_its_last_retry_failed(
    channels: Store, instance: dg.DagsterInstance
) -> None:
    first = fail(instance, {"dagster/will_retry": "true"})
    alarm(channels, instance, first)
    assert count(channels, "SELECT count(*) FROM notification_outbox") == 0
    retry_tags = {
        "dagster/root_run_id": first.run_id,
        "dagster/parent_run_id": first.run_id,
        "dagster/retry_number": "1",
    }
    last = fail(instance, {**retry_tags, "dagster/will_retry": "false"})
    alarm(channels, instance, last)
    assert count(channels, "SELECT count(*) FROM notification_outbox WHERE (payload ->> 'attempts')::int = 2") == 1


def test_an_act_of_a_run_links_to_the_run(channels: Store, slack: Web) -> None:
    seed_experiment(channels, "checkout", WINNER, users=2000)
    with acting_in_run("0a1b2c3d"):
        promote_winner("checkout", "manual", "user-123", store=channels)
    deliver(channels)
    assert "https://dagster.example.com/runs/0a1b2c3d" in slack.confirmed[0]["text"]
