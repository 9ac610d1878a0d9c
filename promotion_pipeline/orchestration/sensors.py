"""What is looked for between the hours: something to apply, and acts that Dagster was not told of."""

import hashlib
import time
from collections.abc import Mapping

import dagster as dg

from promotion_pipeline.decisions.deployments import note_deployment
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.act_events import act_event, acts_after, experiment_tags, untold
from promotion_pipeline.orchestration.place import BARE, Placement
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.promotion.act.serving import due_deliveries, is_any_late_and_untold
from promotion_pipeline.promotion.unattended.pending import Pending, pending_promotions
from promotion_pipeline.store.database import Store

INTERVAL_SECONDS = 30
SETTLED_SECONDS = 20.0
"""How old an act is before the sensor tells of it: until then its own run may."""
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@placed.sensor(
    name=names.SENSOR,
    job_name=names.APPLY_JOB,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the database what is decided, fresh, approved or due and not applied yet, and launches"
    f" `{names.APPLY_JOB}` for it. It looks at what is, not at what happened, so a lost tick loses nothing; and it only"
    " looks: the job decides again under each experiment's lock.",
)
def promotion_sensor(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.RunRequest | dg.SkipReason:
    """One run for everything that waits, or the reason why there is none."""
    opened = store.get()
    second = note_deployment(opened)
    if second is not None:
        context.log.warning(second)
    return pending_run(context.instance, opened, store.place)


def pending_run(instance: dg.DagsterInstance, store: Store, place: Placement = BARE) -> dg.RunRequest | dg.SkipReason:
    """The run for what waits now. Asked again before that changed, it has the same key, and no second run starts.

    Raises:
        DependencyError: the database cannot be reached.
    """
    pending = pending_promotions(store)
    delivery = None if pending else _delivery_run(instance, store, place)
    if delivery is not None:
        return delivery
    if not pending:
        reason = "nothing is decided and not applied" if store.settings.enabled else "AUTO_PROMOTION_ENABLED is false"
        return dg.SkipReason(f"Nothing to apply: {reason}.")
    experiments = [act.experiment_name for act in pending]
    fingerprint = _fingerprint(pending)
    # A run that died before it could note its attempt left everything as it was: only Dagster knows that it failed.
    tags = place.tags({names.PENDING_TAG: fingerprint, **names.APPLY_LANE})
    died = _died(instance, tags)
    return dg.RunRequest(
        run_key=f"{fingerprint}:{died + 1}",
        run_config={"ops": {place.named("apply_promotions"): {"config": {"experiments": experiments}}}},
        tags={**tags, **experiment_tags(experiments)},
    )


def _delivery_run(instance: dg.DagsterInstance, store: Store, place: Placement) -> dg.RunRequest | None:
    """The run for splits that are decided and not served; each attempt has a key of its own.

    One that is late is told by a run as well where this deployment knows nothing of its target.
    """
    due = due_deliveries(store)
    if not due and not is_any_late_and_untold(store):
        return None
    named = ",".join(f"{one.id}:{one.attempts}" for one in due) or f"late at {int(time.time() // 600)}"
    key = hashlib.sha256(named.encode()).hexdigest()[:24]
    tags = place.tags({names.PENDING_TAG: key, **names.APPLY_LANE})
    return dg.RunRequest(run_key=f"traffic:{key}:{_died(instance, tags) + 1}", tags=tags)


def _died(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> int:
    """How many runs for what waits now have failed."""
    return instance.get_runs_count(dg.RunsFilter(tags={names.PENDING_TAG: tags[names.PENDING_TAG]}, statuses=FAILED))


def _fingerprint(pending: tuple[Pending, ...]) -> str:
    """Names what waits, with the attempt number of each act."""
    keys = "\n".join(sorted(act.run_key for act in pending))
    return hashlib.sha256(keys.encode()).hexdigest()[:24]


@placed.sensor(
    name=names.ACTS_SENSOR,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Tells of every act that came through another door (command line, HTTP, Python) as an event on"
    f" `{names.PROMOTIONS}`, from the audit, each once.",
)
def promotion_acts_sensor(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[StoreResource]
) -> dg.SensorResult | dg.SkipReason:
    """Events for the acts since the last tick."""
    acts = acts_after(store.get(), int(context.cursor or 0), settled_seconds=SETTLED_SECONDS)
    if not acts:
        return dg.SkipReason("No act since the last tick.")
    events = [act_event(act, store.place) for act in untold(context.instance, acts, store.place)]
    return dg.SensorResult(asset_events=events, cursor=str(acts[-1]["id"]))
