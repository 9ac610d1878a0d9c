"""The watch between the hours: the sensor that looks, and its job.

What is looked at and what is done about it is the business of `promotion.unattended.watch`.
"""

import concurrent.futures

import dagster as dg

from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.act_events import experiment_tags
from promotion_pipeline.orchestration.place import BARE, Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.unattended.watch import watches_due
from promotion_pipeline.promotion.watch.alarms import standing
from promotion_pipeline.promotion.watch.state import anything_watched
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.engines.registry import engine_of
from promotion_pipeline.store.database import Store

INTERVAL_SECONDS = 300
PATIENCE_SECONDS = 40.0
"""How long a tick waits for the log; Dagster gives a tick a minute. What takes longer is asked in a run."""
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

promotion_watch_job = placed.asset_job(
    names.WATCH_JOB,
    selection=[names.WATCH],
    description="Look at every promotion that is watched, tell people what is wrong, and roll back where that is on."
    f" Launched by `{names.WATCH_SENSOR}`; starting it by hand is safe.",
    # A lane of its own and no pool: it never waits behind an hour or a backfill.
    tags={**names.WATCH_LANE, "dagster/max_runtime": "900"},
)


@placed.sensor(
    name=names.WATCH_SENSOR,
    job_name=names.WATCH_JOB,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every five minutes, whether or not an experiment runs: asks the database what is watched and the log"
    f" what it did, and launches `{names.WATCH_JOB}` where somebody is to be told, a promotion is to be rolled back, or"
    " what is known has changed. It only looks: the job looks again and acts under each experiment's lock.",
)
def watch_sensor(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """A run of the watch, or the reason why there is none."""
    return watch_run(context.instance, store.get(), store.place)


def watch_run(instance: dg.DagsterInstance, store: Store, place: Placement = BARE) -> dg.RunRequest | dg.SkipReason:
    """The run for what there is to do now.

    Raises:
        DependencyError: the product's database cannot be reached.
        ConfigError: the configuration of the log is wrong.
    """
    if instance.get_runs_count(dg.RunsFilter(job_name=place.named(names.WATCH_JOB), statuses=UNFINISHED)):
        return dg.SkipReason("A run of the watch is on its way.")
    source = load_source(store.settings)
    if source is not None and engine_of(source).is_slow_to_open:
        return _run(place) if anything_watched(store) else dg.SkipReason("Nothing is watched.")
    pool = concurrent.futures.ThreadPoolExecutor(1, "watch")
    try:
        looks, due = pool.submit(watches_due, store).result(PATIENCE_SECONDS)
    except concurrent.futures.TimeoutError:
        return _run(place)
    finally:
        pool.shutdown(wait=False)
    if due:
        return _run(place, *(look.promotion.experiment_name for look in due))
    if standing(looks) != _last_told(instance, place):
        return _run(place)
    watched = sum(look.is_watched for look in looks)
    return dg.SkipReason(f"{watched} promotions are watched: nothing to do." if watched else "Nothing is watched.")


def _run(place: Placement, *experiments: str) -> dg.RunRequest:
    return dg.RunRequest(tags={**place.tags(names.WATCH_LANE), **experiment_tags(experiments)})


def _last_told(instance: dg.DagsterInstance, place: Placement) -> str:
    """Which alarms were open when the catalog was last told: somebody may have dealt with one since."""
    event = instance.get_latest_materialization_event(place.key(names.WATCH))
    materialization = None if event is None else event.asset_materialization
    told = None if materialization is None else materialization.metadata.get(names.OPEN_ALARMS)
    return "" if told is None else str(told.value)
