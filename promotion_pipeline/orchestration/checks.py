"""Asset checks: is the data sound? They warn and fail, they decide nothing.

An experiment that is not eligible is an answer, so no check looks at verdicts. None of them blocks: the promotion layer
re-checks freshness and evidence itself, under the experiment's lock, at the moment of acting.

They are asked within the step that fills the table. A check with a step of its own costs more than its query, and
Dagster would list every partition of the table for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from promotion_pipeline.decisions import health
from promotion_pipeline.decisions.recorded import first_undecided_hour, undecided_experiments
from promotion_pipeline.evaluation.split import SRM_ALPHA
from promotion_pipeline.orchestration import names
from promotion_pipeline.rollups.conservation import (
    HourCount,
    unbalanced_experiments,
    unbalanced_hours,
    unbalanced_old_hours,
)
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.metrics.conserved import unbalanced_metrics
from promotion_pipeline.rollups.usual_traffic import quiet_experiments
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import count_text, hour_text, instant_text, p_sentence

SHOWN = 20
"""Experiments, or hours, that an answer names."""
NAMED = 5
"""Of these, in the sentence that the list of checks shows."""


@dataclass(frozen=True)
class Window:
    """The hours that a check looks at."""

    start: datetime
    end: datetime


def listed(said: Sequence[str], shown: int = SHOWN) -> str:
    """What an answer names, in one line that is read without a click."""
    more = f"; and {len(said) - shown:,} more" if len(said) > shown else ""
    return "; ".join(said[:shown]) + more


def _requests_are_conserved(store: Store, window: Window) -> dg.AssetCheckResult:
    hours = unbalanced_hours(store, window.start, window.end)
    lost = sum(abs(h.counted_requests - h.assigned_requests) for h in hours)
    late, vanished = _late(hours), sum(max(h.counted_requests - h.source_requests, 0) for h in hours)
    worst = [f"{hour_text(h.hour)}: {h.source_requests:,} rows, {h.assigned_requests:,} in the sums" for h in hours]
    whose = _whose(store, hours)
    return _result(
        passed=not hours,
        severity=dg.AssetCheckSeverity.ERROR if lost else dg.AssetCheckSeverity.WARN,
        description=f"{late:,} requests arrived since, {vanished:,} are gone: the look-back of the next run settles it."
        + _naming(whose)
        if hours
        else "The sums of every hour are those of its requests.",
        metadata={
            "late_requests": late,
            "vanished_requests": vanished,
            "lost_requests": lost,
            "hours": listed(worst),
            "experiments": listed(whose),
        },
    )


def _old_requests_are_conserved(store: Store, window: Window) -> dg.AssetCheckResult:
    hours = unbalanced_old_hours(store, window.start, window.end)
    late, whose = _late(hours), _whose(store, hours)
    described = "No request came after the look-back had passed its hour."
    if hours:
        first, last = hours[0].hour, hours[-1].hour + timedelta(hours=1)
        described = (
            f"{late:,} requests came into {len(hours):,} hours that were read before. The next hourly runs read them"
            f" again; at once does it `promotion-pipeline evaluate --from {first:%Y-%m-%dT%H:%MZ}"
            f" --to {last:%Y-%m-%dT%H:%MZ} --roll-up`: what they change is told, and no decision of record is"
            f" rewritten.{_naming(whose)}"
        )
    return _result(
        passed=not hours,
        severity=dg.AssetCheckSeverity.WARN,
        description=described,
        metadata={
            "late_requests": late,
            "hours": listed([hour_text(h.hour) for h in hours]),
            "experiments": listed(whose),
        },
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
        description=f"{described}{_naming(sorted({one.experiment_name for one in found}))}",
        metadata={"lost_metric_hours": len(lost), "late_metric_hours": len(found) - len(lost), "hours": listed(shown)},
    )


def _late(hours: Sequence[HourCount]) -> int:
    return sum(max(h.source_requests - h.counted_requests, 0) for h in hours)


def _whose(store: Store, hours: Sequence[HourCount]) -> list[str]:
    """Whose requests they are, asked only where something is wrong."""
    if not hours:
        return []
    found = unbalanced_experiments(store, [h.hour for h in hours[:SHOWN]])
    return [f"{name}: {abs(missing):,} {'not summed' if missing > 0 else 'gone'}" for name, missing in found.items()]


def _naming(said: Sequence[str]) -> str:
    return f" {listed(said, NAMED)}." if said else ""


def _requests_are_fresh(store: Store, window: Window) -> dg.AssetCheckResult:
    limit = store.settings.thresholds.max_staleness_hours
    seen = freshness(store, window.end)
    stale = [row for row in seen if row.staleness_hours > limit]
    said = [f"{row.name}: {count_text(row.staleness_hours, 1)} hours" for row in stale]
    return _result(
        passed=not stale,
        severity=dg.AssetCheckSeverity.ERROR if len(stale) == len(seen) > 1 else dg.AssetCheckSeverity.WARN,
        description=f"{len(stale):,} of {len(seen):,} running experiments had no request for more than {limit:g} hours"
        f" before {instant_text(window.end)}.{_naming(said)}",
        metadata={
            "stale_experiments": len(stale),
            "max_staleness_hours": round(max((row.staleness_hours for row in seen), default=0.0), 3),
            "stalest": listed(said),
        },
    )


def _requests_are_as_many_as_usual(store: Store, window: Window) -> dg.AssetCheckResult:
    quiet = quiet_experiments(store, window.end)
    said = [f"{name}: {one.requests:,} of {one.usual:,.0f}" for name, one in quiet.items()]
    return _result(
        passed=not quiet,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(quiet):,} experiments had far fewer requests in the last hour than usual at this hour of the"
        f" day: they are not promoted unattended.{_naming(said)}"
        if quiet
        else "No experiment had far fewer requests than usual.",
        metadata={"quiet_experiments": len(quiet), "experiments": listed(said)},
    )


def _metrics_are_possible(store: Store, window: Window) -> dg.AssetCheckResult:
    return _ranges(health.impossible_metrics(store, window.start, window.end))


def _probabilities_are_possible(store: Store, window: Window) -> dg.AssetCheckResult:
    return _ranges(health.impossible_significance(store, window.start, window.end))


def _ranges(broken: health.Impossible) -> dg.AssetCheckResult:
    found = [f"{count:,} rows have {rule}" for rule, count in broken.rows.items() if count]
    return _result(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{'; '.join(found)}: {listed(broken.experiments, NAMED)}."
        if found
        else "Every value is possible.",
        metadata={"impossible_rows": sum(broken.rows.values()), "experiments": listed(broken.experiments)},
    )


def _sample_ratio_is_sound(store: Store, window: Window) -> dg.AssetCheckResult:
    found = health.sample_ratio_mismatches(store, window.end - timedelta(hours=1))
    said = [f"{name}: {p_sentence(p)}" for name, p in found.items()]
    return _result(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(found):,} {'experiment is' if len(found) == 1 else 'experiments are'} not split as declared"
        f" (p < {SRM_ALPHA:g}):"
        f" assignment or logging is broken there, and they are not promoted unattended.{_naming(said)}"
        if found
        else "Every experiment is split as declared.",
        metadata={"mismatched_experiments": len(found), "experiments": listed(said)},
    )


def _every_experiment_is_decided(store: Store, window: Window) -> dg.AssetCheckResult:
    first = first_undecided_hour(store, window.start, window.end)
    whose = [] if first is None else undecided_experiments(store, first)
    return _result(
        passed=first is None,
        severity=dg.AssetCheckSeverity.ERROR,
        description="Every experiment that was running has a decision of record in every hour."
        if first is None
        else f"From {instant_text(first)} on a running experiment has no decision of record: {listed(whose, NAMED)}.",
        metadata={"undecided_experiments": len(whose), "experiments": listed(whose)},
    )


def _result(
    *, passed: bool, severity: dg.AssetCheckSeverity, description: str, metadata: dict[str, int | float | str]
) -> dg.AssetCheckResult:
    """An answer; a text that says nothing is left out."""
    said = {name: value for name, value in metadata.items() if value != ""}
    return dg.AssetCheckResult(passed=passed, severity=severity, description=description, metadata=said)


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
