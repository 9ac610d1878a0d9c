"""When the ledger is kept: its job and its schedule. What is measured is the business of `promotion.ledger`."""

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.ledger.keeping import is_ledger_due

realised_lift_job = placed.asset_job(
    names.REALISED_JOB,
    selection=[names.REALISED],
    description="Measure what promotions brought, and keep the lifts of experiments that ended. Launched by"
    f" `{names.REALISED_SCHEDULE}`; starting it by hand is safe: it changes no traffic.",
    tags={**names.LEDGER_LANE, "dagster/max_runtime": "3000"},
)


@placed.schedule(
    name=names.REALISED_SCHEDULE,
    job_name=names.REALISED_JOB,
    cron_schedule="40 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks every hour, whether or not an experiment runs, for promotions whose outcome is not final and that"
    " were not looked at for a day, and for experiments that ended; a run where there is any.",
)
def realised_lift_schedule(
    _context: dg.ScheduleEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """A run, or the reason why there is none."""
    if is_ledger_due(store.get()):
        return dg.RunRequest(tags=store.place.tags(names.LEDGER_LANE))
    return dg.SkipReason("The outcome of every promotion is final or was looked at today.")
