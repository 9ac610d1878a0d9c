"""How people are told from Dagster: the job that delivers, the sensor that starts it, the alarms about runs.

What is said, to whom, and what happens when a channel fails is the business of `notifications`.
"""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from promotion_pipeline.notifications import (
    deliver_everything,
    enqueue_run_failure,
    enqueue_run_recovery,
    is_work_waiting,
)
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.at_the_end import log_report
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.runs import as_people_know_it, is_ours, mistake_of_a_person

INTERVAL_SECONDS = 30

WILL_RETRY_TAG = "dagster/will_retry"
RETRY_NUMBER_TAG = "dagster/retry_number"
TAG_WAIT_SECONDS = 0.2
TAG_WAITS = 10

AT_WORK = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
UNFINISHED = [dg.DagsterRunStatus.QUEUED, *AT_WORK]
PATIENCE_SECONDS = 75.0
"""How long after an hourly run was created it is waited for: usually it has delivered by the next tick or the one after
it. An alarm that comes up meanwhile waits no longer than that."""


@placed.op()
def deliver_notifications(context: dg.OpExecutionContext, store: dg.ResourceParam[StoreResource]) -> None:
    """Send what is due to Slack, PagerDuty and e-mail; each channel by itself, what fails is tried again later."""
    with at_work(context, store) as opened:
        report = deliver_everything(opened)
    log_report(context, report)
    numbers = {"delivered": report.delivered, "given up": report.dead, "old ones removed": report.removed}
    context.add_output_metadata(numbers)


deliver_notifications_job = placed.one_step_job(
    deliver_notifications,
    name=names.DELIVERY_JOB,
    description="Tell people what happened: one pass over the outbox. Launched by"
    f" `{names.DELIVERY_SENSOR}`; starting it by hand is safe: what was confirmed is not sent again.",
    tags={**names.DELIVERY_LANE, "dagster/max_runtime": "900"},
)
"""One pass."""


@placed.sensor(
    name=names.DELIVERY_SENSOR,
    job_name=names.DELIVERY_JOB,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the database whether anybody is to be told of anything, and launches"
    f" `{names.DELIVERY_JOB}`, one run at a time. An hourly run that has just begun is not competed with: it sends what"
    " is due at its end.",
)
def notification_sensor(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """A run of the delivery, or the reason why there is none."""
    if not is_work_waiting(store.get()):
        return dg.SkipReason("Nobody is to be told of anything.")
    unfinished = dg.RunsFilter(job_name=store.place.named(names.DELIVERY_JOB), statuses=UNFINISHED)
    if context.instance.get_runs_count(unfinished):
        return dg.SkipReason("A delivery run is on its way.")
    if _is_hourly_run_about_to(context.instance, store.place.named(names.HOURLY_JOB)):
        return dg.SkipReason("The hourly run is at work, and delivers at its end.")
    return dg.RunRequest(tags=store.place.tags(names.DELIVERY_LANE))


def _is_hourly_run_about_to(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether an hourly run began within the last minute; a long one keeps nobody waiting."""
    since = datetime.now(UTC) - timedelta(seconds=PATIENCE_SECONDS)
    at_work = dg.RunsFilter(job_name=job, statuses=AT_WORK, created_after=since)
    return instance.get_runs_count(at_work) > 0


@placed.run_failure_sensor(
    name=names.FAILURE_SENSOR,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people when a run of one of our jobs failed for good: once, not once a retry.",
)
def run_failure_alarm(context: dg.RunFailureSensorContext, store: dg.ResourceParam[StoreResource]) -> dg.SkipReason:
    """Write the alarm to the outbox."""
    if not is_ours(context.dagster_run, store.place):
        return dg.SkipReason(f"{context.dagster_run.job_name} is no job of the promotion pipeline.")
    run = _with_retry_tag(context)
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return dg.SkipReason(f"Run {run.run_id} is tried again.")
    steps = context.get_step_failure_events()
    mistake = mistake_of_a_person(run, steps)
    if mistake is not None:
        return dg.SkipReason(f"Run {run.run_id} was refused ({mistake}): whoever started it sees why.")
    new = enqueue_run_failure(
        store.get(),
        job=as_people_know_it(run),
        run_id=run.run_id,
        root_run_id=run.root_run_id or run.run_id,
        error=_error_of(steps[-1] if steps else None) or context.failure_event.message or "no message",
        step=steps[-1].step_key if steps else None,
        attempts=int(run.tags.get(RETRY_NUMBER_TAG, 0)) + 1,
    )
    return dg.SkipReason(f"Run {run.run_id} failed: " + ("people are told." if new else "people know."))


def _with_retry_tag(context: dg.RunFailureSensorContext) -> dg.DagsterRun:
    """The run as stored; Dagster adds the tag a moment after the event of the failure."""
    run = context.dagster_run
    for _ in range(TAG_WAITS if context.instance.run_retries_enabled else 1):
        run = context.instance.get_run_by_id(run.run_id) or run
        if WILL_RETRY_TAG in run.tags:
            break
        time.sleep(TAG_WAIT_SECONDS)
    return run


def _error_of(step: dg.DagsterEvent | None) -> str | None:
    """The innermost message of a failed step: what went wrong, without the stack."""
    if step is None or step.step_failure_data.error is None:
        return None
    error = step.step_failure_data.error
    while error.cause is not None:
        error = error.cause
    return error.message


@placed.run_status_sensor(
    name=names.RECOVERY_SENSOR,
    run_status=dg.DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people when a job works again after a failure that they were told of; ends the incident.",
)
def run_recovery_notice(context: dg.RunStatusSensorContext, store: dg.ResourceParam[StoreResource]) -> dg.SkipReason:
    """Write the notice to the outbox."""
    if not is_ours(context.dagster_run, store.place):
        return dg.SkipReason(f"{context.dagster_run.job_name} is no job of the promotion pipeline.")
    job = as_people_know_it(context.dagster_run)
    new = enqueue_run_recovery(store.get(), job=job, run_id=context.dagster_run.run_id)
    return dg.SkipReason(f"{job} works again: people are told." if new else f"{job} had not failed.")


JOBS = [deliver_notifications_job]
SENSORS = [notification_sensor, run_failure_alarm, run_recovery_notice]
"""What the code location takes from here."""
