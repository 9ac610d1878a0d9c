"""What a check that fails still needs and, at the present traffic, when it could be there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from promotion_pipeline.statistics import critical_z
from promotion_pipeline.text.numbers import count_text, lift_text, target_text

LONG_HOURS = 72.0
"""From here on, a wait is worded in days."""
TOO_LONG_HOURS = 24.0 * 366


@dataclass(frozen=True)
class Need:
    """One thing that is missing; `hours` from the as-of, None where waiting does not bring it."""

    what: str
    """Name of the check, or `evidence`."""
    hours: float | None
    message: str


@dataclass(frozen=True)
class Shortfall:
    """A check that does not pass: its numbers, the decision that they are of, and the traffic."""

    check: str
    subject: str
    observed: float
    threshold: float
    row: Mapping[str, Any]
    requests_per_hour: float
    """Of the smaller arm."""


def number(value: Any) -> float:
    """A number of a decision; NaN where it has none."""
    return math.nan if value is None or pd.isna(value) else float(value)


def awaited(what: str, hours: float | None, purpose: str) -> Need:
    """A need that traffic brings in so many hours; None: there is no traffic."""
    if hours is None:
        return Need(what, None, f"there is no traffic to wait {purpose}")
    if hours > TOO_LONG_HOURS:
        return Need(what, None, f"needs more than a year at the present traffic {purpose}")
    return Need(what, hours, f"needs {wait_text(hours)} {purpose}")


def wait_text(hours: float, *, exact: bool = False) -> str:
    """A wait in whole hours, or in days where it is long."""
    about = "" if exact else "about "
    if hours > LONG_HOURS:
        return f"{about}{count_text(hours / 24, 1)} more days"
    whole = max(1, math.ceil(hours - 1e-9))
    return f"{about}{whole} more hour{'' if whole == 1 else 's'}"


def no_wait_helps(short: Shortfall) -> Need:
    """What to say of a check that nothing more is known of."""
    said = f"the {short.subject} is {short.observed:,.4g}, {short.threshold:,.4g} is asked for"
    return Need(short.check, None, f"{said}: waiting alone may not bring it")


def of_sample(short: Shortfall) -> Need:
    """Requests come with time."""
    missing, rate = short.threshold - short.observed, short.requests_per_hour
    hours = missing / rate if rate > 0 else None
    return awaited(short.check, hours, f"for {count_text(missing)} more requests in the {short.subject}")


def of_runtime(short: Shortfall) -> Need:
    """Hours pass by themselves."""
    missing = short.threshold - short.observed
    return Need(short.check, missing, f"needs {wait_text(missing, exact=True)} to reach the minimum runtime")


def of_confidence(short: Shortfall) -> Need:
    """The z-test at +target % reaches its critical value when n has grown by (z_critical * se / target)^2."""
    name, row = short.check, short.row
    z, improvement, minimum = number(row["z"]), number(row["improvement"]), float(row["min_improvement_threshold"])
    if z < 0 and short.observed >= short.threshold:
        return Need(name, None, "the candidate is behind control beyond chance: a better variant is needed, not time")
    target = max(improvement, minimum)
    if not abs(z) > 0 or not target > 0:
        return Need(name, None, "the candidate is not ahead of control, and waiting alone does not change that")
    critical = float(critical_z(1.0 - short.threshold / 100.0))
    growth = (critical * improvement / z / target) ** 2
    if growth <= 1:
        seen = f"the lift seen is {lift_text(improvement)}"
        return Need(name, None, f"a lift of {target_text(target)} would have shown by now; {seen}")
    lasting = " if it lasts" if improvement >= minimum else ""
    n, rate = number(row["sample_size"]), short.requests_per_hour
    return awaited(name, n * (growth - 1) / rate if rate > 0 else None, f"to see {target_text(target)}{lasting}")


def of_improvement(short: Shortfall) -> Need:
    """A lift is what it is."""
    lift = f"the lift is {lift_text(short.observed)}, short of {target_text(short.threshold)}"
    return Need(short.check, None, f"{lift}: only a better variant brings that, not time")


def of_errors(short: Shortfall) -> Need:
    """Errors are repaired, or measured in the first place."""
    if math.isnan(short.observed):
        return Need(short.check, None, "the log must say which requests failed: map is_error")
    return Need(short.check, None, "the candidate fails too often: its errors must be repaired")
