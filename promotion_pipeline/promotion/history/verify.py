"""Does a promotion's record still follow from the data? Recompute the decision and compare."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.evaluation.codes import MetricReason
from promotion_pipeline.evaluation.contract import CHECKS
from promotion_pipeline.evaluation.metric_words import why_not
from promotion_pipeline.promotion.act.snapshot import json_ready
from promotion_pipeline.promotion.history.differences import (
    Difference,
    is_of_rows,
    metric_differences,
    metric_sentences,
    same,
)
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.judge.assess import Assessment, judge_experiments
from promotion_pipeline.promotion.record.experiments import experiment_of
from promotion_pipeline.promotion.record.models import Promotion, Result
from promotion_pipeline.promotion.record.states import PromotionType
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.rollups.coverage import requests_kept_since
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.text.numbers import instant_text

COMPARED = (
    "verdict",
    "is_eligible",
    "is_promotable",
    "candidate_variant_name",
    "control_variant_name",
    "confidence",
    "improvement",
    "z",
    "p_value",
    "always_valid_p_value",
    "lift_lower",
    "lift_upper",
    "sample_size",
    "runtime_hours",
    "srm_p_value",
    *CHECKS,
)
FLIPS = frozenset({"verdict", "is_eligible", "candidate_variant_name"})
COUNTS = ("requests", "conversions", "errors")


class Verification(Result):
    """Whether a promotion's decision follows from the data as they are now."""

    promotion_id: UUID
    experiment_name: str
    promoted_variant_name: str
    as_of: datetime
    is_same: bool
    is_flipped: bool
    """The decision itself would be another one, not only its numbers."""
    differences: tuple[Difference, ...] = ()
    summary: str
    """"same", or what differs and why."""


def verify_history(experiment_name: str, *, shadow: bool = False, store: Store | None = None) -> list[Verification]:
    """Recompute the decision of every promotion of an experiment from the log of its requests, newest first.

    The log, and the events of stated metrics, are summed up anew, whatever was rolled up: only of days whose requests
    were dropped the stored sums stand, of metrics of phases that have such days; the summary says so.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    where = store_or_current(store)
    history = get_promotion_history(experiment_name, shadow=shadow, store=where)
    with where.connect() as connection, database_errors():
        return [verify_promotion(where, connection, promotion) for promotion in history]


def verify_promotion(store: Store, connection: Connection, promotion: Promotion) -> Verification:
    """Recompute one promotion's decision at its as-of, on its phase, with its recorded config."""
    if promotion.snapshot.get("adopted"):
        return Verification(
            promotion_id=promotion.id,
            experiment_name=promotion.experiment_name,
            promoted_variant_name=promotion.promoted_variant_name,
            as_of=promotion.evaluated_as_of,
            is_same=False,
            is_flipped=False,
            summary="cannot be recomputed: recorded before this product was set up, without what it was decided on",
        )
    config: PromotionConfig = parse_config(promotion.config, source="recorded config")
    experiment = experiment_of(connection, promotion.experiment_id)
    judged = judge_experiments(
        store, connection, [experiment], config, promotion.evaluated_as_of, source=connection, afresh=True
    )
    again = judged.assessments[0]
    differences = (
        *_differences(promotion, again),
        *_count_differences(promotion, again),
        *metric_differences(promotion.snapshot.get("metrics", ()), [json_ready(row) for row in again.metric_results]),
    )
    # What cannot be read says nothing against the record.
    is_other = any(one.field in FLIPS for one in differences) or _lost_promotable(promotion, differences)
    flipped = is_other and _is_readable(again)
    return Verification(
        promotion_id=promotion.id,
        experiment_name=promotion.experiment_name,
        promoted_variant_name=promotion.promoted_variant_name,
        as_of=promotion.evaluated_as_of,
        is_same=not differences,
        is_flipped=flipped,
        differences=differences,
        summary=_summary(promotion, differences, flipped, again, _stored(connection, again)),
    )


def _differences(promotion: Promotion, again: Assessment) -> list[Difference]:
    recorded = promotion.snapshot["decision"]
    now = json_ready(again.decision or {})
    return [
        Difference(field=name, recorded=recorded.get(name), recomputed=now.get(name))
        for name in COMPARED
        # A record from before a check was added says nothing of it.
        if (name in recorded or name not in CHECKS) and not same(recorded.get(name), now.get(name))
    ]


def _count_differences(promotion: Promotion, again: Assessment) -> list[Difference]:
    before = {row["variant_name"]: row for row in promotion.snapshot["variants"]}
    after = {row["variant_name"]: row for row in again.metrics}
    return [
        Difference(
            field=f"{name}.{count}",
            recorded=before.get(name, {}).get(count),
            recomputed=after.get(name, {}).get(count),
        )
        for name in sorted(before.keys() | after.keys())
        for count in COUNTS
        if not same(before.get(name, {}).get(count), after.get(name, {}).get(count))
    ]


def _stored(connection: Connection, again: Assessment) -> str | None:
    """What of the metrics could not be summed up anew; None: nothing."""
    kept_since, began = requests_kept_since(connection), again.experiment.phase_started_at
    if not again.metric_results or kept_since is None or began is None or began >= kept_since:
        return None
    return f"requests of before {instant_text(kept_since)} were dropped: its metrics are compared by their stored sums"


def _summary(
    promotion: Promotion, differences: tuple[Difference, ...], flipped: bool, again: Assessment, stored: str | None
) -> str:
    note = f" ({stored})" if stored else ""
    if not differences:
        return f"same{note}"
    if again.decision is None:
        return f"cannot be recomputed: {again.problem}"
    if not _is_readable(again):
        return f"cannot be recomputed: {why_not(MetricReason.EVENTS_UNREADABLE)}"
    unattended = ["it would not go unattended"] if _lost_promotable(promotion, differences) else []
    changed = [*unattended, *metric_sentences(differences)]
    said = f" {'; '.join(changed)}:" if changed else ""
    return (
        f"{'another decision' if flipped else 'the same decision from other numbers'}:{said} {_why(differences)}{note}"
    )


def _is_readable(again: Assessment) -> bool:
    return all(row["reason"] != MetricReason.EVENTS_UNREADABLE for row in again.metric_results)


def _lost_promotable(promotion: Promotion, differences: tuple[Difference, ...]) -> bool:
    """Whether it was promoted by nobody's approval, and would not be by what is known now."""
    if promotion.promotion_type is not PromotionType.AUTO:
        return False
    return any(one.field == "is_promotable" and one.recorded and not one.recomputed for one in differences)


def _why(differences: tuple[Difference, ...]) -> str:
    """What the numbers differ by; of the computation only where the same rows give others."""
    counts = [difference for difference in differences if difference.field.endswith(".requests")]
    changes = [(d.recomputed or 0) - (d.recorded or 0) for d in counts]
    late, gone = sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0)
    causes = [f"{late} requests arrived late" if late else "", f"{gone} requests are gone" if gone else ""]
    if any(causes):
        return " and ".join(filter(None, causes))
    if any(is_of_rows(difference.field) for difference in differences):
        return "events or rows came late / were removed since"
    edited = any(difference.field.endswith(tuple(f".{count}" for count in COUNTS)) for difference in differences)
    return "rows were edited" if edited else "the computation or the set-up changed"
