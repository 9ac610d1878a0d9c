"""The jobs that decide and apply: the hourly one, the one that the sensor launches, and a person's evaluation.

A job says what runs together and with which config; what is done is the business of assets and of the promotion layer.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from promotion_pipeline.decisions.labels import LATEST
from promotion_pipeline.decisions.redecide import redecide_late, what_if_diff
from promotion_pipeline.decisions.window import WindowResult, evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.orchestration import names, placed
from promotion_pipeline.orchestration.act_events import told_in_run
from promotion_pipeline.orchestration.act_jobs import ACT_TAGS
from promotion_pipeline.orchestration.at_work import at_work
from promotion_pipeline.orchestration.markdown import diff_table, late_table
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.orchestration.run_config import TIME, EvaluationConfig, launchpad_schema
from promotion_pipeline.promotion.act.serving import deliver_due
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.store.clock import newest_complete_hour, parse_instant
from promotion_pipeline.store.database import Store

DEFAULT_EVALUATION = timedelta(hours=24)
MAX_RUNTIME_TAG = "dagster/max_runtime"
"""Seconds after which run monitoring ends a run that hangs, so that the next one can go."""
HOURLY_TAGS = {**names.EVALUATION_LANE, MAX_RUNTIME_TAG: "3000"}
"""Over before the next hour is due."""
RANGE_TAGS = {**names.BACKFILL_LANE, MAX_RUNTIME_TAG: "172800"}
"""A year of many experiments takes its time; as `max_runtime_seconds` in dagster.yaml for a backfill of assets."""

hourly_promotion_job = placed.asset_job(
    names.HOURLY_JOB,
    selection=[names.ROLLUPS, names.METRICS, names.SIGNIFICANCE, names.DECISIONS, names.WATCH, names.SERVED],
    description="Roll up, evaluate and decide every running experiment, watch what was promoted, and compare what is"
    f" served with what is decided: one run an hour, started by `{names.SCHEDULE}`.",
    tags=HOURLY_TAGS,
)


class ApplyConfig(dg.Config):
    """What the sensor asks for; empty: everything that waits."""

    experiments: list[str] = Field(default=[], description="Names; empty: every experiment with something to apply.")


@placed.op()
def apply_promotions(
    context: dg.OpExecutionContext, config: ApplyConfig, store: dg.ResourceParam[StoreResource]
) -> None:
    """Do what waits, one experiment after the other; each is decided again under its lock.

    What the sensor saw does not count. One experiment that fails keeps no other waiting; it is tried again by a run
    with the next attempt number.
    """
    actor = f"auto-promotion (run {context.run_id[:8]})"
    failed: list[str] = []
    with at_work(context, store) as opened:
        pending = pending_promotions(opened)
        wanted = [act for act in pending if not config.experiments or act.experiment_name in config.experiments]
        for name in sorted(set(config.experiments) - {act.experiment_name for act in pending}):
            context.log.info(f"{name}: nothing waits to be applied (any more), or there is no such experiment")
        outcomes = dict.fromkeys(Outcome, 0)
        with told_in_run(context, opened, store.place):
            for act in wanted:
                try:
                    entry = apply_pending(opened, act.experiment_id, actor)
                except DependencyError:
                    raise
                except PromotionError as error:
                    failed.append(f"{act.experiment_name}: {error}")
                    context.log.error(failed[-1])
                else:
                    outcomes[entry.outcome] += 1
                    context.log.info(f"{entry.experiment_name}: {entry.outcome.value}: {entry.message}")
        for delivery in deliver_due(opened):
            context.log.info(f"traffic of {delivery.experiment_id}: {delivery.state.value} {delivery.error or ''}")
    context.add_output_metadata({outcome.value: count for outcome, count in outcomes.items() if count})
    if failed:
        raise dg.Failure(f"{len(failed)} of {len(wanted)} acts failed: {'; '.join(failed)}", allow_retries=False)


apply_promotion_job = placed.one_step_job(
    apply_promotions,
    name=names.APPLY_JOB,
    description="Promote, ask for approval or take the next step of a ramp, wherever that is due. Launched by"
    f" `{names.SENSOR}`; starting it by hand is safe: what is not due any more is left alone.",
    tags={**names.APPLY_LANE, **ACT_TAGS},
)
"""Everything that waits to be applied."""


class EvaluateConfig(EvaluationConfig):
    """Which hours, which experiments, which thresholds."""

    start: str = Field(default="", description="First hour, such as 2026-03-01T00:00Z; empty: 24 hours before `end`.")
    end: str = Field(default="", description="End of the last hour; empty: the newest complete hour.")


@placed.op(pool=names.EVALUATION_POOL, config_schema=launchpad_schema(EvaluateConfig, start=TIME, end=TIME))
def evaluate_hours(context: dg.OpExecutionContext, store: dg.ResourceParam[StoreResource]) -> None:
    """Decide a range of hours on all data of before; decisions of record stay, others go under the label."""
    config = EvaluateConfig(**context.op_config)
    with at_work(context, store) as opened:
        start, end = _range(config, opened)
        catch_up(opened, end)
        found = evaluate_window(
            opened,
            start,
            end,
            experiments=config.experiments,
            config=config.thresholds(),
            label=config.label.strip() or None,
            tables=[Table.DECISIONS],
            progress=lambda done, total: context.log.info(f"{done:,} of {total:,} experiments judged"),
            tell=context.log.warning,
        )
        compared = _compared(context, config, opened, start, end, found)
    metadata: dict[str, dg.MetadataValue[Any] | str | int] = {
        "label": config.label.strip() or LATEST,
        "from": start.isoformat(),
        "to": end.isoformat(),
        "hours": len(found.hours),
        "decisions_of_record": found.recorded,
        "decisions_beside_the_record": found.relabelled,
        **{str(name): int(total) for name, total in found.hours.sum().items()},
        **compared,
    }
    context.log_event(dg.AssetObservation(store.place.key(names.DECISIONS), metadata=metadata))


def _compared(
    context: dg.OpExecutionContext,
    config: EvaluateConfig,
    store: Store,
    start: datetime,
    end: datetime,
    found: WindowResult,
) -> dict[str, dg.MetadataValue[Any]]:
    """What the decisions of record would be otherwise: under the what-if, or with the rows that came late."""
    if config.is_what_if():
        diff = what_if_diff(store, config.label.strip() or LATEST, start, end, config.experiments)
        return {} if diff is None else {"diff_to_the_record": dg.MetadataValue.md(diff_table(diff))}
    late = (*found.late, *redecide_late(store, tell=context.log.warning))
    return {"late_rows": dg.MetadataValue.md(late_table(late))}


def _range(config: EvaluateConfig, store: Store) -> tuple[datetime, datetime]:
    with store.connect() as connection:
        end = _hour(config.end, "end") or newest_complete_hour(connection)
    return _hour(config.start, "start") or end - DEFAULT_EVALUATION, end


def _hour(text: str, name: str) -> datetime | None:
    return parse_instant(text, name).astimezone(UTC) if text.strip() else None


evaluate_job = placed.one_step_job(
    evaluate_hours,
    name=names.EVALUATE_JOB,
    description="What would we have decided? Any hours, experiments and thresholds; the answer is stored under a label"
    " beside the decisions of record and promotes nothing. With an empty config: the last 24 hours again.",
    tags=RANGE_TAGS,
)
"""A range of hours, decided again."""
