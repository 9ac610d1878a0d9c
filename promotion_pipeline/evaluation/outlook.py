"""What a decision still lacks and, at the present traffic, when it could be there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation.codes import Reason, Verdict, Warn
from promotion_pipeline.evaluation.decide import EXPOSURE_LIMIT
from promotion_pipeline.statistics import critical_z
from promotion_pipeline.text.numbers import count_text, lift_text, rate_text, target_text

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
class Outlook:
    """Everything that is missing. `hours`: when all of it could be there; 0: now; None: not by waiting."""

    hours: float | None
    needs: tuple[Need, ...]


def outlook(decision: Mapping[str, Any] | pd.Series, *, requests_per_hour: float | None = None) -> Outlook | None:
    """What one row of `Evaluation.decisions` lacks; None where the data cannot be judged at all.

    Waits assume that traffic stays as it is and, for confidence and evidence, that the lift does (where it is under
    the minimum improvement: that the minimum improvement is the truth). They say when the thing could be reached, not
    that it will be.

    Args:
        requests_per_hour: traffic of the smaller arm; default its mean since the phase's start.
    """
    row: dict[str, Any] = {str(name): value for name, value in decision.items()}
    if Verdict(row["verdict"]) in (Verdict.INCONCLUSIVE, Verdict.ERROR) or pd.isna(row["candidate_variant_name"]):
        return None
    n, runtime = _number(row["sample_size"]), _number(row["runtime_hours"])
    rate = requests_per_hour if requests_per_hour is not None else (n / runtime if runtime > 0 else 0.0)
    found = [_runtime(row, runtime), _sample(row, n, rate), _confidence(row, n, rate), _errors(row)]
    if not row[Reason.MIN_IMPROVEMENT.value]:
        found.append(_improvement(row))
    if row["is_eligible"] and not row["is_promotable"]:
        found += [_split(row), _exposure(row), _guardrail(row), _evidence(row, n, rate)]
    needs = tuple(need for need in found if need is not None)
    waits = [need.hours for need in needs]
    return Outlook(None if None in waits else max((wait for wait in waits if wait is not None), default=0.0), needs)


def _runtime(row: dict[str, Any], runtime: float) -> Need | None:
    missing = float(row["min_runtime_threshold"]) - runtime
    if missing <= 0:
        return None
    return Need(Reason.MIN_RUNTIME.value, missing, f"needs {_wait(missing, exact=True)} to reach the minimum runtime")


def _sample(row: dict[str, Any], n: float, rate: float) -> Need | None:
    missing = float(row["min_sample_size_threshold"]) - n
    if missing <= 0:
        return None
    hours = missing / rate if rate > 0 else None
    return _awaited(Reason.MIN_SAMPLE_SIZE.value, hours, f"for {count_text(missing)} more requests in the smaller arm")


def _confidence(row: dict[str, Any], n: float, rate: float) -> Need | None:
    """The z-test at +target % reaches its critical value when n has grown by (z_critical * se / target)^2."""
    if row[Reason.MIN_CONFIDENCE.value]:
        return None
    name, z, improvement = Reason.MIN_CONFIDENCE.value, _number(row["z"]), _number(row["improvement"])
    minimum = float(row["min_improvement_threshold"])
    if z < 0 and _number(row["confidence"]) >= float(row["min_confidence_threshold"]):
        return Need(name, None, "the candidate is behind control beyond chance: a better variant is needed, not time")
    target = max(improvement, minimum)
    if not abs(z) > 0 or not target > 0:
        return Need(name, None, "the candidate is not ahead of control, and waiting alone does not change that")
    critical = float(critical_z(1.0 - float(row["min_confidence_threshold"]) / 100.0))
    growth = (critical * improvement / z / target) ** 2
    if growth <= 1:
        seen = f"the lift seen is {lift_text(improvement)}"
        return Need(name, None, f"a lift of {target_text(target)} would have shown by now; {seen}")
    lasting = " if it lasts" if improvement >= minimum else ""
    return _awaited(name, n * (growth - 1) / rate if rate > 0 else None, f"to see {target_text(target)}{lasting}")


def _improvement(row: dict[str, Any]) -> Need:
    seen, minimum = _number(row["improvement"]), float(row["min_improvement_threshold"])
    return Need(
        Reason.MIN_IMPROVEMENT.value,
        None,
        f"the lift is {lift_text(seen)}, short of {target_text(minimum)}: only a better variant brings that, not time",
    )


def _errors(row: dict[str, Any]) -> Need | None:
    if row[Reason.ERROR_RATE_ACCEPTABLE.value]:
        return None
    if pd.isna(row.get("error_rate")):
        return Need(Reason.ERROR_RATE_ACCEPTABLE.value, None, "the log must say which requests failed: map is_error")
    return Need(Reason.ERROR_RATE_ACCEPTABLE.value, None, "the candidate fails too often: its errors must be repaired")


def _split(row: dict[str, Any]) -> Need | None:
    mismatches = {Warn.SAMPLE_RATIO_MISMATCH.value, Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH.value}
    if mismatches.isdisjoint(row["warnings"]):
        return None
    return Need("evidence", None, "the traffic is not split as declared: repair the assignment, then start a new phase")


def _exposure(row: dict[str, Any]) -> Need | None:
    said = exposure_need(row)
    return None if said is None else Need("evidence", None, said)


def exposure_need(row: Mapping[str, Any]) -> str | None:
    """What to do about users of several variants, where they are too many for an unattended promotion; else None."""
    users, requests = _number(row.get("multiple_exposure")), _number(row.get("multiple_exposure_requests"))
    advice = "let a user stay with one variant, then start a new phase"
    if users > EXPOSURE_LIMIT:
        return f"{rate_text(users, 0)} of the users were served by several variants: {advice}"
    if requests > EXPOSURE_LIMIT:
        what = f"users that several variants served made {rate_text(requests, 0)} of the requests"
        return f"{what}: {advice}, and log no user_id where nobody is known"
    return None


def _guardrail(row: dict[str, Any]) -> Need | None:
    if Warn.GUARDRAIL.value not in row["warnings"]:
        return None
    return Need("evidence", None, "a guardrail that the experiment names has to be shown kept; a person may promote it")


def _evidence(row: dict[str, Any], n: float, rate: float) -> Need | None:
    """The always-valid interval narrows about as 1 / sqrt(n), so its lower end reaches 0 at (half-width / lift)^2 n."""
    if Warn.NOT_ALWAYS_VALID.value not in row["warnings"]:
        return None
    lower, upper = _number(row["lift_lower"]), _number(row["lift_upper"])
    lift, half = (lower + upper) / 2, (upper - lower) / 2
    if not np.isfinite(half) and _number(row.get("largest_user_share")) > 0:
        what = f"one user made up to {rate_text(_number(row['largest_user_share']), 0)} of an arm's requests"
        advice = "how much users differ is not known from so few; a person may promote it"
        return Need("evidence", None, f"{what}: {advice}")
    if not (np.isfinite(half) and lift > 0):
        return Need("evidence", None, "the always-valid interval of the lift cannot be computed")
    hours = n * ((half / lift) ** 2 - 1) / rate if rate > 0 else None
    purpose = f"of {rate_text(lift, signed=True)} for an unattended promotion; a person may approve it now"
    return _awaited("evidence", hours, purpose)


def _awaited(what: str, hours: float | None, purpose: str) -> Need:
    if hours is None:
        return Need(what, None, f"there is no traffic to wait {purpose}")
    if hours > TOO_LONG_HOURS:
        return Need(what, None, f"needs more than a year at the present traffic {purpose}")
    return Need(what, hours, f"needs {_wait(hours)} {purpose}")


def _number(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)


def _wait(hours: float, *, exact: bool = False) -> str:
    about = "" if exact else "about "
    if hours > LONG_HOURS:
        return f"{about}{count_text(hours / 24, 1)} more days"
    whole = max(1, math.ceil(hours - 1e-9))
    return f"{about}{whole} more hour{'' if whole == 1 else 's'}"
