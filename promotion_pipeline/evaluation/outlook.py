"""What a decision still lacks and, at the present traffic, when it could be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.evaluation.codes import Verdict, Warn
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline.evaluation.decide import EXPOSURE_LIMIT
from promotion_pipeline.evaluation.explain import guardrails_sentence
from promotion_pipeline.evaluation.needs import Need, Shortfall, awaited, number
from promotion_pipeline.text.numbers import rate_text


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
    n, runtime = number(row["sample_size"]), number(row["runtime_hours"])
    rate = requests_per_hour if requests_per_hour is not None else (n / runtime if runtime > 0 else 0.0)
    found: list[Need | None] = [*_short(row, rate)]
    if row["is_eligible"] and not row["is_promotable"]:
        found += [
            _split(row),
            _exposure(row),
            _guardrail(row),
            _goals(row),
            _evidence(row, n, rate),
            _plan(row, n, rate),
        ]
    needs = tuple(need for need in found if need is not None)
    waits = [need.hours for need in needs]
    return Outlook(None if None in waits else max((wait for wait in waits if wait is not None), default=0.0), needs)


def _short(row: dict[str, Any], rate: float) -> list[Need]:
    """What the contract checks that fail need."""
    ordered = sorted(CONTRACT, key=lambda check: check.place_in_outlook)
    return [
        check.need(
            Shortfall(
                check=check.name,
                subject=check.subject,
                observed=number(row.get(check.observed)),
                threshold=float(row[check.threshold_column]),
                row=row,
                requests_per_hour=rate,
            )
        )
        for check in ordered
        if not row.get(check.name, True)
    ]


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
    users, requests = number(row.get("multiple_exposure")), number(row.get("multiple_exposure_requests"))
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
    return Need("evidence", None, f"{guardrails_sentence(row)}: each has to be kept; a person may promote it")


def _goals(row: dict[str, Any]) -> Need | None:
    if Warn.GOAL_WORSE.value in row["warnings"]:
        return Need("evidence", None, "a goal is shown worse than control; a person may promote it")
    if Warn.GOALS_NOT_SHOWN.value in row["warnings"]:
        return Need("evidence", None, "a goal has to be shown better than control; a person may promote it")
    return None


def _evidence(row: dict[str, Any], n: float, rate: float) -> Need | None:
    """The interval narrows about as 1 / sqrt(n), so its lower end reaches 0 at (distance of it / lift)^2 n."""
    if Warn.NOT_ALWAYS_VALID.value not in row["warnings"]:
        return None
    lift, lower = number(row["improvement"]) / 100, number(row["lift_lower"])
    if not np.isfinite(lower) and number(row.get("largest_user_share")) > 0:
        what = f"one user made up to {rate_text(number(row['largest_user_share']), 0)} of an arm's requests"
        advice = "how much users differ is not known from so few; a person may promote it"
        return Need("evidence", None, f"{what}: {advice}")
    if not (np.isfinite(lower) and lift > 0):
        return Need("evidence", None, "the always-valid interval of the lift cannot be computed")
    hours = n * (((lift - lower) / lift) ** 2 - 1) / rate if rate > 0 else None
    purpose = f"of {rate_text(lift, signed=True)} for an unattended promotion; a person may approve it now"
    return awaited("evidence", hours, purpose)


def _plan(row: dict[str, Any], n: float, rate: float) -> Need | None:
    """With n, z grows as its root and the boundary of O'Brien and Fleming falls as it: they meet at n boundary / z."""
    if Warn.NO_PLAN.value in row["warnings"]:
        return Need("evidence", None, "its evidence is group_sequential: state planned_sample_size, for a new phase")
    if Warn.BOUNDARY_NOT_CROSSED.value not in row["warnings"]:
        return None
    z, boundary = number(row["group_sequential_z"]), number(row["group_sequential_boundary_z"])
    fraction, over = number(row["information_fraction"]), "a person may promote it"
    if fraction >= 1:
        return Need("evidence", None, f"the plan is over, and no error is left for looks past it: {over}")
    if not (z > 0 and np.isfinite(boundary)):
        return Need("evidence", None, "the group-sequential boundary cannot be computed")
    if fraction * boundary / z > 1:
        return Need("evidence", None, f"at this lift the boundary of the plan is not reached before its end: {over}")
    hours = n * (boundary / z - 1) / rate if rate > 0 else None
    return awaited("evidence", hours, "to cross the group-sequential boundary; a person may approve it now")
