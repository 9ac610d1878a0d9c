"""Which requests say what came of a promotion; pure.

A stretch is one phase, since pooling over a change of split misleads. In the phases that a promotion opened everything
counts: its requests came after the decision. Of the phase that was decided on only the hours count that the decision
had not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.promotion.ledger.states import RealisedSource
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.store.windows import HOUR

SERVED_WITHIN = timedelta(hours=1)
"""A split that is served so soon after it was decided governs its phase from the start."""


@dataclass(frozen=True)
class MeasuredStretch:
    """Hours of one phase in which winner and control both had traffic."""

    promotion: Promotion
    phase_id: str
    source: RealisedSource
    since: datetime
    """Hours that begin before it do not count."""
    until: datetime | None
    """None: it goes on."""
    winner_percent: float
    """The winner's share of the two arms' traffic."""
    is_whole: bool
    """It begins with its phase, so that the sums over its users are its own."""

    @property
    def key(self) -> str:
        """Names it among the stretches of many promotions."""
        return f"{self.promotion.id}/{self.phase_id}"


def stretches_of(
    promotion: Promotion, phases: Sequence[Mapping[str, Any]], config: PromotionConfig
) -> tuple[MeasuredStretch, ...]:
    """The best there is: the holdback, else the ramp's steps with traffic on control, else the rest of the phase.

    Args:
        phases: rows of the query `phases` about this promotion.
        config: the thresholds that the promotion was decided with.
    """
    opened = [found for row in phases if not row["is_decided"] for found in _opened(promotion, row)]
    for source in (RealisedSource.HOLDBACK, RealisedSource.RAMP):
        of_source = tuple(stretch for stretch in opened if stretch.source is source)
        if of_source:
            return of_source
    return tuple(found for row in phases if row["is_decided"] for found in _rest(promotion, row, config))


def is_over(promotion: Promotion, stretches: Sequence[MeasuredStretch]) -> bool:
    """Whether no more requests will count, but for those that come late."""
    if promotion.state is PromotionState.RAMPING:
        return False
    return all(stretch.until is not None for stretch in stretches)


def _opened(promotion: Promotion, row: Mapping[str, Any]) -> list[MeasuredStretch]:
    """The phase of a step of the promotion; empty where it is no step's, or control had nothing."""
    split = {key: Decimal(str(share)) for key, share in row["traffic"].items() if Decimal(str(share)) > 0}
    for step in promotion.snapshot["ramp"]:
        wanted = {key: Decimal(share) for key, share in step["split"].items() if Decimal(share) > 0}
        if wanted == split:
            break
    else:
        return []
    percent = _winner_percent(promotion, split)
    if percent is None:
        return []
    started, ends = row["started_at"].astimezone(UTC), [row["ended_at"], promotion.rollback_at]
    served = row["served_at"].astimezone(UTC) if row["served_at"] is not None else started
    is_whole = served - started <= SERVED_WITHIN
    return [
        MeasuredStretch(
            promotion,
            row["phase_id"],
            RealisedSource.HOLDBACK if step.get("is_holdback") else RealisedSource.RAMP,
            started if is_whole else served,
            min((end.astimezone(UTC) for end in ends if end is not None), default=None),
            percent,
            is_whole,
        )
    ]


def _rest(promotion: Promotion, row: Mapping[str, Any], config: PromotionConfig) -> list[MeasuredStretch]:
    percent = _winner_percent(promotion, {key: Decimal(str(share)) for key, share in row["traffic"].items()})
    if percent is None:
        return []
    judged_until = promotion.evaluated_as_of - timedelta(hours=config.attribution_window_hours)
    until = row["ended_at"] or promotion.promoted_at
    since, end = judged_until.astimezone(UTC), until.astimezone(UTC)
    return [MeasuredStretch(promotion, row["phase_id"], RealisedSource.REST, since, end, percent, is_whole=False)]


def _winner_percent(promotion: Promotion, split: Mapping[str, Decimal]) -> float | None:
    winner, control = (
        split.get(str(key), Decimal(0)) for key in (promotion.promoted_variant_id, promotion.control_variant_id)
    )
    return None if winner <= 0 or control <= 0 else float(100 * winner / (winner + control))


def first_hour(stretch: MeasuredStretch) -> datetime:
    """The start of the first hour that counts: of a whole phase that in which it began, else the next full one."""
    floor = stretch.since.replace(minute=0, second=0, microsecond=0)
    return floor if stretch.is_whole or floor == stretch.since else floor + HOUR
