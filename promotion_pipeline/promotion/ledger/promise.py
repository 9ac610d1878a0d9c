"""What a promotion promised, out of its own record; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.statistics import critical_z, shrunken_lift

DEFAULT_LEVEL = 95.0


@dataclass(frozen=True)
class Promise:
    """Lifts of the winner over control as seen at the decision, fractions; positive where the winner is better."""

    lift: float
    """As it was measured: too large on average, because it won."""
    lower: float
    upper: float
    """The interval of one look, which many looks make too narrow."""
    standard_error: float
    always_valid_lower: float | None
    always_valid_upper: float | None
    shrunken: float | None = None
    """What was to be expected after shrinkage."""
    shrunken_error: float | None = None
    """Standard deviation of that expectation."""
    learned: float | None = None
    """The same by the prior that the team's own past had taught until then; None: too little of it."""
    learned_error: float | None = None


def promise_of(promotion: Promotion) -> Promise | None:
    """None where the record does not say: it was written before this product was set up."""
    row = _winner(promotion)
    lift, lower, upper = (_number(row, name) for name in ("lift", "lift_lower", "lift_upper"))
    if lift is None or lower is None or upper is None or not upper > lower:
        return None
    level = float(promotion.config.get("min_confidence_level", DEFAULT_LEVEL))
    error = float((upper - lower) / (2.0 * critical_z(1.0 - level / 100.0)))
    decision: Mapping[str, Any] = promotion.snapshot.get("decision") or {}
    shrunken, sd = _number(decision, "shrunken_lift"), _number(decision, "lift_prior_sd")
    known: Mapping[str, Any] = promotion.snapshot.get("learned_prior") or {}
    return Promise(
        lift=lift,
        lower=lower,
        upper=upper,
        standard_error=error,
        always_valid_lower=_number(row, "always_valid_lower"),
        always_valid_upper=_number(row, "always_valid_upper"),
        shrunken=shrunken,
        shrunken_error=_spread(lift, error, sd),
        learned=_number(known, "shrunken_lift"),
        learned_error=_spread(lift, error, _number(known, "sd")),
    )


def _spread(lift: float, error: float, prior_sd: float | None) -> float | None:
    """Standard deviation of the effect once it is seen, for a prior of this standard deviation."""
    if prior_sd is None or prior_sd == 0.0:
        return prior_sd
    return float(shrunken_lift(lift, error, prior_sd=prior_sd).standard_deviation)


def _winner(promotion: Promotion) -> Mapping[str, Any]:
    """The comparison of the promoted variant in the snapshot."""
    rows = promotion.snapshot.get("significance") or ()
    winner = str(promotion.promoted_variant_id)
    return next((row for row in rows if str(row.get("variant_id")) == winner), {})


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    return number if np.isfinite(number) else None
