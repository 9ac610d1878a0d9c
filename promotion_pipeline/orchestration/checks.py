"""Asset checks: is the data sound? They warn and fail, they decide nothing.

An experiment that is not eligible is an answer, so no check looks at verdicts. None of them blocks: the promotion layer
re-checks freshness and evidence itself, under the experiment's lock, at the moment of acting.

They are asked within the step that fills the table. A check with a step of its own costs more than its query, and
Dagster would list every partition of the table for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from promotion_pipeline.decisions import health
from promotion_pipeline.decisions.recorded import first_undecided_hour
from promotion_pipeline.evaluation.split import SRM_ALPHA
from promotion_pipeline.orchestration import names
from promotion_pipeline.rollups.conservation import unbalanced_hours, unbalanced_old_hours
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.metrics.conserved import unbalanced_metrics
from promotion_pipeline.rollups.usual_traffic import quiet_experiments
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import count_text, hour_text, instant_text, p_sentence

LONE_CHECK_WINDOW = timedelta(hours=24)
"""What a check looks at that somebody starts without a partition: the newest complete hours."""
SHOWN = 20
REMEMBERED = 50
"""Runs among which the last answer of a check is looked for."""


@dataclass(frozen=True)
class Window:
    """The hours that a check looks at."""

    start: datetime
    end: datetime


def _requests_are_conserved(store: Store, window: Window) -> dg.AssetCheckResult:
    hours = unbalanced_hours(store, window.start, window.end)
    late = sum(max(h.source_requests - h.counted_requests, 0) for h in hours)
    vanished = sum(max(h.counted_requests - h.source_requests, 0) for h in hours)
    lost = sum(abs(h.counted_requests - h.assigned_requests) for h in hours)
    worst = [f"{hour_text(h.hour)}: {h.source_requests:,} rows, {h.assigned_requests:,} in the sums" for h in hours]
    return _result(
        passed=not hours,
        severity=dg.AssetCheckSeverity.ERROR if lost else dg.AssetCheckSeverity.WARN,
        description=f"{late:,} requests arrived since, {vanished:,} are gone: the look-back of the next run settles it."
        if hours
        else "The sums of every hour are those of its requests.",
        metadata={"late_requests": late, "vanished_requests": vanished, "lost_requests": lost, "hours": worst[:SHOWN]},
    )


def _old_requests_are_conserved(store: Store, window: Window) -> dg.AssetCheckResult:
    hours = unbalanced_old_hours(store, window.start, window.end)
    late = sum(max(h.source_requests - h.counted_requests, 0) for h in hours)
    described = "No request came after the look-back had passed its hour."
    if hours:
        first, last = hours[0].hour, hours[-1].hour + timedelta(hours=1)
        described = (
            f"{late:,} requests came into {len(hours):,} hours that were read before. The next hourly runs read them"
            f" again; at once does it `promotion-pipeline evaluate --from {first:%Y-%m-%dT%H:%MZ}"
            f" --to {last:%Y-%m-%dT%H:%MZ} --roll-up`: what they change is told, and no decision of record is"
            " rewritten."
        )
    return _result(
        passed=not hours,
        severity=dg.AssetCheckSeverity.WARN,
        description=described,
        metadata={"late_requests": late, "hours": [hour_text(h.hour) for h in hours][:SHOWN]},
    )


def _metric_sums_are_conserved(store: Store, window: Window) -> dg.AssetCheckResult:
    found = unbalanced_metrics(store, window.start, window.end)
    lost = [one for one in found if not one.is_late]
    shown = [
        f"{hour_text(one.hour)} {one.experiment_name} {one.metric!r}: {one.source_samples:,} rows,"
        f" {one.counted_samples:,} in the sums"
        + (f"; values {one.source_value:g}, {one.counted_value:g} in the sums" if one.counted_value is not None else "")
        for one in found
    ]
    described = "The sums of every metric and hour are those of its requests and events."
    if found:
        late = f"In {len(found) - len(lost):,} hours of metrics rows came or went since: the next run settles it."
        described = f"In {len(lost):,} hours of metrics the sums are not those of the rows. {late}" if lost else late
    return _result(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if lost else dg.AssetCheckSeverity.WARN,
        description=described,
        metadata={"lost_metric_hours": len(lost), "late_metric_hours": len(found) - len(lost), "hours": shown[:SHOWN]},
    )


def _requests_are_fresh(store: Store, window: Window) -> dg.AssetCheckResult:
    limit = store.settings.thresholds.max_staleness_hours
    seen = freshness(store, window.end)
    stale = [row for row in seen if row.staleness_hours > limit]
    return _result(
        passed=not stale,
        severity=dg.AssetCheckSeverity.ERROR if len(stale) == len(seen) > 1 else dg.AssetCheckSeverity.WARN,
        description=f"{len(stale):,} of {len(seen):,} running experiments had no request for more than {limit:g} hours"
        f" before {instant_text(window.end)}.",
        metadata={
            "stale_experiments": len(stale),
            "max_staleness_hours": round(max((row.staleness_hours for row in seen), default=0.0), 3),
            "stalest": [f"{row.name}: {count_text(row.staleness_hours, 1)} hours" for row in stale[:SHOWN]],
        },
    )


def _requests_are_as_many_as_usual(store: Store, window: Window) -> dg.AssetCheckResult:
    quiet = quiet_experiments(store, window.end)
    return _result(
        passed=not quiet,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(quiet):,} experiments had far fewer requests in the last hour than usual at this hour of the"
        " day: they are not promoted unattended."
        if quiet
        else "No experiment had far fewer requests than usual.",
        metadata={
            "quiet_experiments": len(quiet),
            "experiments": [f"{name}: {one.requests:,} of {one.usual:,.0f}" for name, one in quiet.items()][:SHOWN],
        },
    )


def _metrics_are_possible(store: Store, window: Window) -> dg.AssetCheckResult:
    return _ranges(health.impossible_metrics(store, window.start, window.end))


def _probabilities_are_possible(store: Store, window: Window) -> dg.AssetCheckResult:
    return _ranges(health.impossible_significance(store, window.start, window.end))


def _ranges(broken: dict[str, int]) -> dg.AssetCheckResult:
    found = [f"{count:,} rows have {rule}" for rule, count in broken.items() if count]
    return _result(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(found) or "Every value is possible.",
        metadata={"impossible_rows": sum(broken.values())},
    )


def _sample_ratio_is_sound(store: Store, window: Window) -> dg.AssetCheckResult:
    found = health.sample_ratio_mismatches(store, window.end - timedelta(hours=1))
    return _result(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(found):,} experiments are not split as declared (p < {SRM_ALPHA:g}):"
        " assignment or logging is broken there, and they are not promoted unattended."
        if found
        else "Every experiment is split as declared.",
        metadata={
            "mismatched_experiments": len(found),
            "experiments": [f"{name}: {p_sentence(p)}" for name, p in list(found.items())[:SHOWN]],
        },
    )


def _every_experiment_is_decided(store: Store, window: Window) -> dg.AssetCheckResult:
    first = first_undecided_hour(store, window.start, window.end)
    return _result(
        passed=first is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description="Every experiment that was running has a decision of record in every hour."
        if first is None
        else f"From {instant_text(first)} on a running experiment has no decision of record.",
        metadata={},
    )


def _result(
    *, passed: bool, severity: dg.AssetCheckSeverity, description: str, metadata: dict[str, Any]
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, severity=severity, description=description, metadata=metadata)


@dataclass(frozen=True)
class DataCheck:
    """One question about a table, and how it is answered."""

    asset: str
    question: str
    ask: Callable[[Store, Window], dg.AssetCheckResult]


ROLLUP_CHECKS = {
    "requests_are_conserved": DataCheck(
        names.ROLLUPS, "Do the sums of every hour add up to the requests that are there now?", _requests_are_conserved
    ),
    "old_requests_are_conserved": DataCheck(
        names.ROLLUPS,
        "Did requests come into hours that the look-back does not reach any more?",
        _old_requests_are_conserved,
    ),
    "metric_sums_are_conserved": DataCheck(
        names.ROLLUPS,
        "Do the sums of the metrics that experiments state add up to the requests and events that are there now?",
        _metric_sums_are_conserved,
    ),
    "requests_are_fresh": DataCheck(
        names.ROLLUPS, "Did every running experiment have a request lately?", _requests_are_fresh
    ),
    "requests_are_as_many_as_usual": DataCheck(
        names.ROLLUPS,
        "Did any experiment have far fewer requests than is usual at this hour of the day?",
        _requests_are_as_many_as_usual,
    ),
}
EVALUATION_CHECKS = {
    "metrics_are_possible": DataCheck(
        names.METRICS, "Are counts and rates within what they can be?", _metrics_are_possible
    ),
    "probabilities_are_possible": DataCheck(
        names.SIGNIFICANCE, "Are p-values and intervals within what they can be?", _probabilities_are_possible
    ),
    "sample_ratio_is_sound": DataCheck(
        names.DECISIONS, "Is the traffic of every experiment split as declared?", _sample_ratio_is_sound
    ),
    "every_experiment_is_decided": DataCheck(
        names.DECISIONS, "Does every running experiment have a decision of record?", _every_experiment_is_decided
    ),
}


def specs_of(checks: Mapping[str, DataCheck]) -> Sequence[dg.AssetCheckSpec]:
    """What the step that asks these declares."""
    return [dg.AssetCheckSpec(name, asset=check.asset, description=check.question) for name, check in checks.items()]


def ask(
    context: dg.AssetExecutionContext, store: Store, checks: Mapping[str, DataCheck]
) -> Iterator[dg.AssetCheckResult]:
    """The answers to those of `checks` that the run selected, about the run's hours.

    Raises:
        DependencyError: the database cannot be reached.
    """
    for key in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        answer = checks[key.name].ask(store, _window(context, store))
        yield answer._replace(check_name=key.name, asset_key=key.asset_key)


def repeat(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """What the checks that the run selected answered last: a what-if leaves the record's results as they are.

    A run that answers nothing would leave them as "skipped".
    """
    for key in sorted(context.selected_asset_check_keys, key=lambda key: key.name):
        last = _last_answer(context.instance, key)
        if last is not None:
            yield dg.AssetCheckResult(
                passed=last.passed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=last.severity,
                description=last.description,
                metadata=last.metadata,
            )


def _last_answer(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The newest evaluation of a check; runs that asked it and did not answer are passed over."""
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=REMEMBERED)
    for record in records:
        event = record.event.dagster_event if record.event is not None else None
        if event is not None and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return event.asset_check_evaluation_data
    return None


def _window(context: dg.AssetExecutionContext, store: Store) -> Window:
    """The run's hours; the newest complete ones where checks are started by themselves, which has no partitions."""
    if context.selected_asset_keys:
        window = context.partition_time_window
        return Window(window.start, window.end)
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    return Window(end - LONE_CHECK_WINDOW, end)
