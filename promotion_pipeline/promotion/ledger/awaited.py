"""From when there can be a number of what a promotion brought; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from promotion_pipeline.config import parse_config
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.ledger.states import RealisedState
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.store.windows import HOUR


def number_from(promotion: Promotion, outcome: Mapping[str, Any] | None) -> datetime | None:
    """The end of the first full hour that counts, once its requests have matured; None: no number is awaited.

    Args:
        outcome: the row of `realised_lift`; None: nobody has looked yet.
    """
    if outcome is not None and (outcome["state"] != RealisedState.MEASURING or outcome["lift"] is not None):
        return None
    try:
        config = parse_config(promotion.config, source="recorded config")
    except PromotionError:
        return None
    since = outcome["since"] if outcome is not None else None
    if since is None:
        # Nobody looked, or there was nothing to look at yet: a split with traffic on control begins with its step.
        if not promotion.is_held_back and promotion.ramp_percents[promotion.ramp_step] >= 100.0:
            return None
        since = promotion.step_started_at
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return first + HOUR + timedelta(hours=ceil(config.attribution_window_hours))
