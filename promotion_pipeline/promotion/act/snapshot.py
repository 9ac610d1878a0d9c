"""What a promotion saw and what it is to undo, as JSON that outlives every table it was made from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.promotion.act.adopted import smallest_share
from promotion_pipeline.promotion.judge.assess import WATCHED_SUMS, Assessment
from promotion_pipeline.promotion.record.splits import (
    CENT,
    Split,
    as_text,
    from_text,
    held_back,
    steps_of,
    winner_takes,
)
from promotion_pipeline.promotion.record.transaction import ActContext
from promotion_pipeline.rollups import LiveSums

FORMAT = 1


def snapshot_of(
    context: ActContext, assessment: Assessment, rollups: LiveSums, config: PromotionConfig
) -> dict[str, Any]:
    """Every variant's metrics, the split before and after, the decision as it stood, the data watermark."""
    decision = assessment.decision
    assert decision is not None
    before = context.split
    unit = smallest_share(context.connection)
    steps = ramp_of(before, decision["candidate_variant_id"], config, decision["control_variant_id"], unit)
    sums = _watched_sums(rollups)
    return {
        "format": FORMAT,
        "taken_at": context.at.isoformat(),
        "phase_id": str(assessment.phase_id),
        "watermark": assessment.watermark.isoformat() if assessment.watermark else None,
        "hold": context.experiment.hold,
        "split_before": as_text(before),
        "split_after": as_text(from_text(steps[-1]["split"])),
        "ramp": steps,
        "decision": json_ready(decision),
        "learned_prior": None if assessment.learned is None else asdict(assessment.learned),
        "reasons": list(assessment.eligibility.reasons),
        "warnings": list(assessment.eligibility.warnings),
        "variants": [json_ready(row | sums.get(row["variant_id"], {})) for row in assessment.metrics],
        "significance": [json_ready(row) for row in assessment.significance],
        "metrics": [json_ready(row) for row in assessment.metric_results],
    }


def ramp_of(
    before: Split, winner: str, config: PromotionConfig, control: str, unit: Decimal = CENT
) -> list[dict[str, Any]]:
    """The splits that the promotion goes through, the last one 100 / 0; a holdback says how long it is held."""
    steps = steps_of(config.ramp_steps, before[winner], config.holdback_percent)
    return [
        {
            "percent": step.percent,
            "split": as_text(held_back(before, winner, control, step.percent)),
            "is_holdback": True,
            "hold_hours": config.holdback_days * 24.0,
        }
        if step.is_holdback
        else {"percent": step.percent, "split": as_text(winner_takes(before, winner, step.percent, control, unit))}
        for step in steps
    ]


def _watched_sums(rollups: LiveSums) -> dict[str, dict[str, Any]]:
    """Sums over the phase that the watch needs for its tests of means, by variant id."""
    variants = rollups.sums.variant_id.in_order()
    count = len(variants.words)
    columns = {}
    for name in WATCHED_SUMS:
        values = rollups.sums.sums[name]
        total = np.bincount(variants.codes, weights=np.nan_to_num(values), minlength=count)
        columns[name] = total.astype(values.dtype).tolist()
    of_variant = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {str(key): sums | {"variant_id": str(key)} for key, sums in zip(variants.words, of_variant, strict=True)}


def json_ready(value: Any) -> Any:
    """Times, ids and cents as text."""
    if isinstance(value, dict):
        return {key: json_ready(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID | Decimal) else value
