"""When the hourly run starts, and which hours it takes."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from promotion_pipeline.decisions.recorded import first_unfinished_hour
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.orchestration.place import BARE, Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.rollups import landed
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import instant_text

COME_BACK_MINUTES = 10
"""How often it is looked again, within the hour, for an hour of which no request had landed."""
DECIDES_TAG = "promotion_pipeline/decides_until"
"""The end of the newest hour that a run of the schedule takes."""


def ticks(minute: int) -> str:
    """The cron expression: at the minute, and then again until the hour is over."""
    return f"{','.join(map(str, range(minute, 60, COME_BACK_MINUTES)))} * * * *"


@placed.schedule(
    name=names.SCHEDULE,
    job_name=names.HOURLY_JOB,
    cron_schedule=ticks,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, one run over all experiments: from the first hour that is not decided yet (at most"
    " AUTO_PROMOTION_LOOKBACK_HOURS ago, so an outage catches up) to the newest complete hour of which requests have"
    f" landed. AUTO_PROMOTION_SCHEDULE_MINUTE says when; every {COME_BACK_MINUTES} minutes after it is looked again for"
    " an hour that had not landed.",
)
def hourly_promotion_schedule(
    context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """One run of the hours that are due at the scheduled time, or the reason why there is none."""
    due = due_run(store.get(), context.scheduled_execution_time, store.place)
    if isinstance(due, dg.RunRequest):
        # It may be at work still, or have failed, which was told.
        tag = {DECIDES_TAG: due.tags[DECIDES_TAG]}
        if context.instance.get_runs_count(dg.RunsFilter(job_name=store.place.named(names.HOURLY_JOB), tags=tag)):
            return dg.SkipReason(f"The run that decides up to {tag[DECIDES_TAG]} was started already.")
    return due


def due_run(store: Store, scheduled_at: datetime, place: Placement = BARE) -> dg.RunRequest | dg.SkipReason:
    """The run that is due at `scheduled_at`: its bounds follow from that time and from what has landed.

    Raises:
        ConfigError: the configuration of the log is wrong.
        DependencyError: the database cannot be reached.
    """
    due = due_hours(store, scheduled_at, place)
    if isinstance(due, dg.SkipReason):
        return due
    first, end = due
    landing = landed(store, end, scheduled_at)
    if first >= landing.end:
        wait = store.settings.thresholds.max_staleness_hours
        return dg.SkipReason(
            f"{landing.sentence[0].upper()}{landing.sentence[1:]}: it is decided when its data is there, at the latest"
            f" {wait:g} hours after its end. If data always comes late, set AUTO_PROMOTION_SCHEDULE_MINUTE."
        )
    hours = (landing.end - first) // HOUR
    return dg.RunRequest(
        tags={
            **range_tags(first, landing.end, place.first_hour),
            **place.tags(names.EVALUATION_LANE),
            "promotion_pipeline/hours": str(hours),
            DECIDES_TAG: landing.end.isoformat(),
        }
    )


def due_hours(store: Store, at: datetime, place: Placement) -> tuple[datetime, datetime] | dg.SkipReason:
    """From the first hour that a run has to take, at most the look-back ago, to the end of the newest complete one.

    Raises:
        DependencyError: the database cannot be reached.
    """
    end = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with store.connect() as connection:
        complete = newest_complete_hour(connection)
    if end > complete:
        return dg.SkipReason(
            f"The hour that ends at {end:%H:%M} UTC is not over by the database's clock: compare it with this host's."
        )
    start = max(end - timedelta(hours=max(store.settings.lookback_hours, 1)), place.first_hour)
    if start >= end:
        return dg.SkipReason(f"No hour is before the first one, {instant_text(place.first_hour)}.")
    first = first_unfinished_hour(store, start, end)
    if first is None:
        return dg.SkipReason(f"Every running experiment is decided up to {instant_text(end)}.")
    return first, end
