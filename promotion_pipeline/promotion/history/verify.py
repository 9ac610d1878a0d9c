"""Does a promotion's record still follow from the data? Recompute the decision and compare."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.evaluation.contract import CHECKS
from promotion_pipeline.promotion.act.snapshot import json_ready
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.judge.assess import Assessment, judge_experiments
from promotion_pipeline.promotion.record.experiments import experiment_of
from promotion_pipeline.promotion.record.models import Promotion, Result
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.store.database import Connection, Store

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
TOLERANCE = 1e-9
"""Relative; sums of floats may be added in another order."""


class Difference(Result):
    """One number or word that is not what was recorded."""

    field: str
    recorded: Any
    recomputed: Any


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

    The log is summed up anew, whatever was rolled up: only of days whose requests were dropped the stored sums stand.

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
    differences = (*_differences(promotion, again), *_count_differences(promotion, again))
    flipped = any(difference.field in FLIPS for difference in differences)
    return Verification(
        promotion_id=promotion.id,
        experiment_name=promotion.experiment_name,
        promoted_variant_name=promotion.promoted_variant_name,
        as_of=promotion.evaluated_as_of,
        is_same=not differences,
        is_flipped=flipped,
        differences=differences,
        summary=_summary(differences, flipped, again),
    )


def _differences(promotion: Promotion, again: Assessment) -> list[Difference]:
    recorded = promotion.snapshot["decision"]
    now = json_ready(again.decision or {})
    return [
        Difference(field=name, recorded=recorded.get(name), recomputed=now.get(name))
        for name in COMPARED
        # A record from before a check was added says nothing of it.
        if (name in recorded or name not in CHECKS) and not _same(recorded.get(name), now.get(name))
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
        if not _same(before.get(name, {}).get(count), after.get(name, {}).get(count))
    ]


def _same(recorded: Any, recomputed: Any) -> bool:
    if isinstance(recorded, float) and isinstance(recomputed, float):
        return math.isclose(recorded, recomputed, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(recorded == recomputed)


def _summary(differences: tuple[Difference, ...], flipped: bool, again: Assessment) -> str:
    if not differences:
        return "same"
    if again.decision is None:
        return f"cannot be recomputed: {again.problem}"
    counts = [difference for difference in differences if difference.field.endswith(".requests")]
    changes = [(d.recomputed or 0) - (d.recorded or 0) for d in counts]
    late, gone = sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0)
    causes = [f"{late} requests arrived late" if late else "", f"{gone} requests are gone" if gone else ""]
    edited = any("." in difference.field for difference in differences) and not counts
    why = " and ".join(filter(None, causes)) or (
        "rows were edited" if edited else "the computation or the set-up changed"
    )
    return f"{'another decision' if flipped else 'the same decision from other numbers'}: {why}"
