"""How numbers, times and durations are written in a message."""

from __future__ import annotations

import math
from datetime import UTC, datetime

UNKNOWN = "unknown"
ALMOST_CERTAIN = 99.99
"""Percent; above it a confidence is not rounded up to a certainty that nobody has."""


def percent_text(value: float | None) -> str:
    """A number that is percent already."""
    return UNKNOWN if _missing(value) else f"{value:.2f}".rstrip("0").rstrip(".") + " %"


def signed_percent_text(value: float | None) -> str:
    """A change in percent, with its sign."""
    return UNKNOWN if _missing(value) else f"{value:+,.2f} %"


def confidence_text(value: float | None) -> str:
    """A confidence in percent; never rounded up to 100."""
    if value is None or _missing(value):
        return UNKNOWN
    return f"above {ALMOST_CERTAIN} %" if value > ALMOST_CERTAIN else f"{math.floor(value * 100) / 100:.2f} %"


def count_text(value: float | None) -> str:
    """A count."""
    return UNKNOWN if _missing(value) else f"{value:,.0f}"


def instant_text(value: datetime) -> str:
    """An instant in UTC, to the minute."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration_text(start: datetime | None, end: datetime | None) -> str | None:
    """How long something lasted: the largest unit that fits; None where an end is missing."""
    if start is None or end is None:
        return None
    minutes = (end - start).total_seconds() / 60
    if minutes < 90:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
