"""How numbers, percent, probabilities, times and durations are written.

What is not known is `unknown` in a sentence; a cell of a table passes `DASH` for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import SupportsFloat

UNKNOWN = "unknown"
DASH = "-"
ALMOST_CERTAIN = 99.99
"""Percent; above it a confidence is not rounded up to a certainty that nobody has."""
SMALLEST_P_VALUE = 1e-15
"""Below it the digits of a p-value say nothing."""
LONGEST_PERCENT = 1e6
"""Beyond it the digits of a percentage say nothing: one value that is absurd makes a hundred of them."""
LONGEST_COUNT = 1e15
"""Beyond it a float does not know every whole number any more."""


def percent_text(value: float | None, digits: int = 2, *, signed: bool = False, unknown: str = UNKNOWN) -> str:
    """A number that is percent already."""
    if value is None or not math.isfinite(value):
        return unknown
    return f"{_percentage(value, digits, '+' if signed else '')} %"


def _percentage(value: float, digits: int, sign: str) -> str:
    return f"{value:{sign}.0e}" if abs(value) > LONGEST_PERCENT else f"{value:{sign},.{digits}f}"


def rate_text(value: float | None, digits: int = 2, *, signed: bool = False, unknown: str = UNKNOWN) -> str:
    """A fraction, as percent."""
    return percent_text(None if value is None else value * 100, digits, signed=signed, unknown=unknown)


def lift_text(percent: float | None, *, unknown: str = UNKNOWN) -> str:
    """A change in percent, with its sign."""
    return percent_text(percent, signed=True, unknown=unknown)


def interval_text(lower: float | None, upper: float | None, *, unknown: str = UNKNOWN) -> str:
    """An interval of lifts, of fractions; one without an end is none."""
    if lower is None or upper is None or not (math.isfinite(lower * 100) and math.isfinite(upper * 100)):
        return unknown
    return f"{_percentage(lower * 100, 1, '+')} to {_percentage(upper * 100, 1, '+')} %"


def share_text(value: SupportsFloat | str | None, *, unknown: str = UNKNOWN) -> str:
    """A share of the traffic in percent, with as many digits as it takes, at most two."""
    if value is None or not math.isfinite(float(value)):
        return unknown
    return f"{float(value):.2f}".rstrip("0").rstrip(".") + " %"


def split_text(split: Mapping[str, SupportsFloat | str | None]) -> str:
    """A traffic split in one line, by variant name."""
    return ", ".join(f"{name} {share_text(share)}" for name, share in split.items()) or "no variant is left"


def setting_text(value: float, *, signed: bool = False) -> str:
    """A percentage that somebody chose, as it was written."""
    return f"{value:+g} %" if signed else f"{value:g} %"


def target_text(percent: float) -> str:
    """A lift that is hoped or asked for, with its sign and three digits."""
    return f"{percent:+.3g} %"


def confidence_text(value: float | None, *, unknown: str = UNKNOWN) -> str:
    """A confidence in percent; never rounded up, neither to 100 nor over a threshold that it does not reach."""
    if value is None or not math.isfinite(value):
        return unknown
    if value > ALMOST_CERTAIN:
        return f"over {ALMOST_CERTAIN} %"
    # Rounded first, because 64.1 * 100 is a little less than 6410.
    return f"{math.floor(round(value * 100, 6)) / 100:.2f} %"


def p_value_text(value: float | None, *, unknown: str = UNKNOWN) -> str:
    """A probability, small ones in powers of ten; one that is too small for its digits is not 0."""
    if value is None or not math.isfinite(value):
        return unknown
    return f"< {SMALLEST_P_VALUE:g}" if value < SMALLEST_P_VALUE else f"{value:.3g}"


def p_sentence(value: float | None) -> str:
    """The same with its name."""
    text = p_value_text(value)
    return "p is unknown" if text == UNKNOWN else f"p {text}" if text.startswith("<") else f"p = {text}"


def count_text(value: float | None, digits: int = 0, *, unknown: str = UNKNOWN) -> str:
    """A count, or a measure with so many digits."""
    if value is None or not math.isfinite(value):
        return unknown
    return f"{value:.3g}" if abs(value) > LONGEST_COUNT else f"{value:,.{digits}f}"


def measure_text(value: float | None, *, unknown: str = UNKNOWN) -> str:
    """A measure of any size, with four digits."""
    return unknown if value is None or not math.isfinite(value) else f"{value:,.4g}"


def milliseconds_text(value: float | None, *, unknown: str = UNKNOWN) -> str:
    """A latency."""
    return unknown if value is None or not math.isfinite(value) else f"{count_text(value, 1)} ms"


def instant_text(value: datetime | str | None, *, unknown: str = UNKNOWN) -> str:
    """An instant in UTC, to the minute; also one that is written in ISO 8601."""
    if value is None:
        return unknown
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def hour_text(value: datetime) -> str:
    """An hour among others of which it is said once that they are UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def hours_text(value: float | None, *, unknown: str = UNKNOWN) -> str:
    """A duration in hours, in days where it is long."""
    if value is None or not math.isfinite(value):
        return unknown
    return f"{value:,.0f} h" if value < 72 else f"{value / 24:,.1f} days"


def seconds_text(value: float, digits: int = 1) -> str:
    """How long something took."""
    return f"{value:,.{digits}f} s"


def duration_text(start: datetime | None, end: datetime | None) -> str | None:
    """How long something lasted: the largest unit that fits; None where an end is missing."""
    return None if start is None or end is None else age_text((end - start).total_seconds())


def age_text(seconds: float) -> str:
    """How long ago something was, or how long it lasted: the largest unit that fits."""
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
