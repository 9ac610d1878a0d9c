"""Which hour the answer of a check is about, and which one its badge shows.

A check has the partitions of its asset. A run of one hour answers for that hour, a run of several for its last one:
asked hour by hour, a month would be thousands of queries.

What Dagster shows as the state of a check is the answer that came last, whichever hour it is about. So a run that
answers for an older hour says again what is known of the newest: a backfill of January leaves today's badge as it is,
and what was found about January stands at its hours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import dagster as dg

from promotion_pipeline.orchestration.checks import DataCheck, Window
from promotion_pipeline.orchestration.dagster_private import (
    AssetCheckEvaluationTargetMaterializationData,
    AssetCheckExecutionRecordStatus,
    PartitionKeyFilter,
)
from promotion_pipeline.orchestration.partitions import HOURS, hour_key, hours_of_run
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR

LONE_CHECK_WINDOW = timedelta(hours=24)
"""What a check looks at that somebody starts without an hour: the newest complete ones."""
_ANSWERED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def specs_of(checks: Mapping[str, DataCheck]) -> Sequence[dg.AssetCheckSpec]:
    """What the step that asks these declares."""
    with warnings.catch_warnings():
        # Partitions of checks are new in Dagster; `dagster_private` says on which version they were tried.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=check.asset, description=check.question, partitions_def=HOURS)
            for name, check in checks.items()
        ]


def ask(
    context: dg.AssetExecutionContext, store: Store, checks: Mapping[str, DataCheck]
) -> Iterator[dg.AssetCheckResult]:
    """The answers to those of `checks` that the run selected, about the run's hours.

    Raises:
        DependencyError: the database cannot be reached.
    """
    window = _window(context, store)
    hour = hour_key(window.end - HOUR)
    for key in _selected(context):
        newest = _last_answer(context.instance, key)
        answer = checks[key.name].ask(store, window)._replace(check_name=key.name, asset_key=key.asset_key)
        if context.has_partition_key:
            yield answer
        else:
            context.log_event(_about(context.instance, key, answer, hour))
        if newest is not None and (newest.partition or "") > hour:
            context.log_event(newest)


def repeat(context: dg.AssetExecutionContext, store: Store) -> None:
    """What the checks that the run selected answered last: a what-if leaves the record's results as they are.

    A run that answers nothing would leave them as "skipped".
    """
    window = _window(context, store)
    hour = hour_key(window.end - HOUR)
    for key in _selected(context):
        newest, own = _last_answer(context.instance, key), _last_answer(context.instance, key, hour)
        if own is not None:
            # The what-if wrote the hour's table anew: the answer is about what is there now as well.
            context.log_event(_about(context.instance, key, own, hour))
        if newest is not None and newest.partition != hour:
            context.log_event(newest)


def _selected(context: dg.AssetExecutionContext) -> list[dg.AssetCheckKey]:
    return sorted(context.selected_asset_check_keys, key=lambda key: key.name)


def _about(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    answer: dg.AssetCheckResult | dg.AssetCheckEvaluation,
    hour: str,
) -> dg.AssetCheckEvaluation:
    """An answer as that about an hour as it is now; Dagster names no hour in a run that is not of one alone."""
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=answer.passed,
        metadata=answer.metadata,
        target_materialization_data=_target(instance, key, hour),
        severity=answer.severity,
        description=answer.description,
        partition=hour,
    )


def _target(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, hour: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What an answer about an hour is about: the hour's newest materialization."""
    of_hour = dg.AssetRecordsFilter(asset_key=key.asset_key, asset_partitions=[hour])
    for record in instance.fetch_materializations(of_hour, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None


def _last_answer(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, hour: str | None = None
) -> dg.AssetCheckEvaluation | None:
    """The newest answer of a check, of any hour if none is given; what is asked and not answered is passed over."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=_ANSWERED, partition_filter=None if hour is None else PartitionKeyFilter(key=hour)
    )
    return records[0].evaluation if records else None


def _window(context: dg.AssetExecutionContext, store: Store) -> Window:
    """The run's hours; the newest complete ones where checks are started without any."""
    known = hours_of_run(context.run.tags)
    if known is not None:
        return Window(*known)
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    return Window(end - LONE_CHECK_WINDOW, end)
