"""When the hourly run starts, and which hours it takes."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from promotion_pipeline import names
from promotion_pipeline.partitions import HOUR, first_hour, range_tags
from promotion_pipeline.resources import StoreResource
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.recorded import first_unfinished_hour

MINUTE = 5
"""Minutes past the hour: requests of the hour's last minutes have arrived by then; later ones are late rows."""


@dg.schedule(
    name=names.SCHEDULE,
    job_name=names.HOURLY_JOB,
    cron_schedule=f"{MINUTE} * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, one run over all experiments: from the first hour that is not decided yet (at most"
    " AUTO_PROMOTION_LOOKBACK_HOURS ago, so an outage catches up) to the newest complete hour.",
)
def hourly_promotion_schedule(
    context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """One run of the hours that are due at the scheduled time, or the reason why there is none."""
    return due_run(store.get(), context.scheduled_execution_time)


def due_run(store: Store, scheduled_at: datetime) -> dg.RunRequest | dg.SkipReason:
    """The run that is due at `scheduled_at`: its bounds follow from that time, not from when this is asked.

    Raises:
        DependencyError: the database cannot be reached.
    """
    end = scheduled_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with store.connect() as connection:
        complete = newest_complete_hour(connection)
    if end > complete:
        return dg.SkipReason(
            f"The hour that ends at {end:%H:%M} UTC is not over by the database's clock: compare it with this host's."
        )
    start = max(end - timedelta(hours=max(store.settings.lookback_hours, 1)), first_hour())
    first = first_unfinished_hour(store, start, end)
    if first is None:
        return dg.SkipReason(f"Every running experiment is decided up to {end:%Y-%m-%d %H:%M} UTC.")
    hours = (end - first) // HOUR
    return dg.RunRequest(
        tags={**range_tags(first, end), **names.EVALUATION_LANE, "promotion_pipeline/hours": str(hours)}
    )
