"""The comparison of decided, served and observed traffic in an hour that has no hourly run: its job and its schedule.

What is compared is the business of `promotion.unattended.comparing`.
"""

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.traffic.comparing import is_comparison_due

AFTER_MINUTES = 30
"""After the time of the hourly run, which compares as well."""

served_traffic_job = placed.asset_job(
    names.SERVED_JOB,
    selection=[names.SERVED],
    description="Read back what every target serves, and compare it with what is decided and with what the log shows."
    f" Started by `{names.SERVED_SCHEDULE}`; starting it by hand is safe.",
    tags={**names.SERVED_LANE, "dagster/max_runtime": "900"},
)


@placed.schedule(
    name=names.SERVED_SCHEDULE,
    job_name=names.SERVED_JOB,
    cron_schedule=lambda minute: f"{(minute + AFTER_MINUTES) % 60} * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=f"A run of `{names.SERVED_JOB}` in every hour in which the hourly run compared nothing: no hour was"
    " decided, or that failed. As long as an experiment runs or a promotion stands.",
)
def served_traffic_schedule(store: dg.ResourceParam[StoreResource]) -> dg.RunRequest | dg.SkipReason:
    """One run, or the reason why there is none."""
    if not is_comparison_due(store.get()):
        return dg.SkipReason("It was compared within the hour, or no experiment runs and no promotion stands.")
    return dg.RunRequest(tags=store.place.tags(names.SERVED_LANE))
