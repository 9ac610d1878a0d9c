"""Verdicts, reasons and warnings: codes in the frames, sentences only when somebody reads one.

A set of codes travels through the arrays as bits (code number i is bit 1 << i) and leaves as a tuple. What a contract
check is called, and when it fails, is in `contract.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Verdict(StrEnum):
    """What one evaluation says of one experiment."""

    ELIGIBLE = "eligible"
    """Every contract check passes."""
    NOT_YET = "not_yet"
    """Runtime, sample or confidence is short: more data may settle it."""
    REJECTED = "rejected"
    """Enough data, and the candidate fails on improvement or errors, or is worse than control beyond chance."""
    INCONCLUSIVE = "inconclusive"
    """The data cannot be judged: no rows, no control, zero denominators."""
    ERROR = "error"
    """The experiment could not be evaluated: its input contradicts itself."""


class AnalysisUnit(StrEnum):
    """What the standard error counts as independent."""

    USER = "user"
    """Users: several requests of one user are correlated, and counted so."""
    REQUEST = "request"
    """Requests: users are not known, so correlated requests make it too sure."""


class Reason(StrEnum):
    """Why the verdict is what it is, beside the contract checks that failed: those are codes by their own names."""

    ALL_CHECKS_PASSED = "all_checks_passed"
    """Every contract check passes."""
    NOT_STARTED = "not_started"
    """The experiment starts after the as-of."""
    NO_CONTROL = "no_control"
    """No variant is marked as control."""
    NO_TREATMENT = "no_treatment"
    """There is nothing to compare control with."""
    SPLIT_NOT_100 = "split_not_100"
    """The declared traffic does not sum to 100 percent."""
    NO_ROWS = "no_rows"
    """No request was seen in this phase."""
    ZERO_REQUESTS = "zero_requests"
    """Control or every treatment has no requests."""
    NO_VARIATION = "no_variation"
    """Nobody or everybody converted in both arms."""
    CONTROL_RATE_ZERO = "control_rate_zero"
    """Control has no conversion, so a relative lift does not exist."""
    METRIC_MISSING = "metric_missing"
    """The primary metric cannot be computed: no value, or no user where one is needed."""
    SEVERAL_CONTROLS = "several_controls"
    """More than one variant is marked as control."""
    COUNTS_IMPOSSIBLE = "counts_impossible"
    """A count is negative, or conversions or errors exceed requests."""
    NOT_A_NUMBER = "not_a_number"
    """A sum is missing, NaN or infinite."""
    UNKNOWN_VARIANT = "unknown_variant"
    """Rollups name a variant that the experiment does not have."""
    INVALID_CONFIG = "invalid_config"
    """The experiment's own thresholds are not valid."""


class Warn(StrEnum):
    """What a person should know; none of these blocks the contract."""

    HIGHER_ERROR_RATE = "higher_error_rate"
    """The candidate fails more often than control."""
    HIGHER_LATENCY = "higher_latency"
    """The candidate's mean latency is 20 percent or more above control's."""
    SMALL_SAMPLE = "small_sample"
    """The smaller arm has under 1000 requests."""
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    """The observed split is not the declared one (p < 0.001): assignment or logging is broken."""
    SEQUENTIAL_SAMPLE_RATIO_MISMATCH = "sequential_sample_ratio_mismatch"
    """The split is not the declared one by a test that hourly looks cannot fool (p < 0.001 over all looks at once)."""
    NOT_ALWAYS_VALID = "not_always_valid"
    """Passes the z-test at this look, but not the test that stays valid under hourly looks."""
    REQUEST_LEVEL = "request_level"
    """Too few users are known: correlated requests make the numbers too sure."""
    VARIANT_WITHOUT_REQUESTS = "variant_without_requests"
    """A variant that should get traffic has no request."""
    CORRECTED_COUNTS = "corrected_counts"
    """An imported sum fell between two looks."""
    MULTIPLE_EXPOSURE = "multiple_exposure"
    """More than 1 percent of the users, or of their requests, are of users that several variants served."""
    GUARDRAIL = "guardrail"
    """A guardrail that the experiment names is not kept, or could not be measured."""
    LARGE_USER = "large_user"
    """One user made more than 1 percent of an arm's requests: a placeholder, a bot, or a shared device."""
    BOUNDARY_NOT_CROSSED = "boundary_not_crossed"
    """Passes the z-test at this look, but does not cross the group-sequential boundary of the plan."""
    NO_PLAN = "no_plan"
    """The evidence asked for is group-sequential, and no planned_sample_size is stated."""
    PART_OF_A_WEEK = "part_of_a_week"
    """What was judged is not a whole number of weeks, which an unattended promotion shall wait for."""
    FEW_CONVERSIONS = "few_conversions"
    """An arm has fewer conversions than an unattended promotion needs."""
    PRE_PERIOD_DIFFERENCE = "pre_period_difference"
    """The candidate's users differed from control's before they were exposed (p < 0.001): assignment is not random."""
    GOALS_NOT_SHOWN = "goals_not_shown"
    """The experiment states goals, and none of them is shown better by the test that stays valid under hourly looks."""
    GOAL_WORSE = "goal_worse"
    """A goal of the experiment is shown worse."""


ERROR_REASONS = (
    Reason.SEVERAL_CONTROLS,
    Reason.COUNTS_IMPOSSIBLE,
    Reason.NOT_A_NUMBER,
    Reason.UNKNOWN_VARIANT,
    Reason.INVALID_CONFIG,
)
INCONCLUSIVE_REASONS = (
    Reason.NOT_STARTED,
    Reason.NO_CONTROL,
    Reason.NO_TREATMENT,
    Reason.SPLIT_NOT_100,
    Reason.NO_ROWS,
    Reason.ZERO_REQUESTS,
    Reason.NO_VARIATION,
    Reason.CONTROL_RATE_ZERO,
    Reason.METRIC_MISSING,
)

REASON_BITS = {reason.value: np.int32(1 << number) for number, reason in enumerate(Reason)}
"""The contract checks get theirs in `contract.py`, after these."""
WARNING_BITS = {warning.value: np.int32(1 << number) for number, warning in enumerate(Warn)}


def bit(code: Reason | Warn) -> np.int32:
    """The bit that stands for a code."""
    return (REASON_BITS if isinstance(code, Reason) else WARNING_BITS)[code.value]


def bits(codes: tuple[Reason | Warn, ...]) -> np.int32:
    """The bits of several codes."""
    return np.int32(sum(int(bit(code)) for code in codes))


def tuples_of(known: Mapping[str, np.int32], masks: NDArray[np.int32]) -> NDArray[Any]:
    """Masks, shape (n,), as an object array of tuples of codes in the order of `known`; equal masks share one tuple."""
    numbers, distinct = pd.factorize(masks)
    table = np.empty(len(distinct), dtype=object)
    for row, mask in enumerate(distinct):
        table[row] = tuple(code for code, own in known.items() if int(mask) & int(own))
    return table[numbers] if len(distinct) else np.empty(0, dtype=object)


class MetricReason(StrEnum):
    """Whether a stated metric could be measured at an hour, and why not."""

    MEASURED = "measured"
    """It could."""
    NO_ROWS = "no_rows"
    """Nothing is kept of it yet in one of the two arms."""
    UNMATCHED = "unmatched"
    """No event, or no value of the column, matches it: it is not zero, it is not measured."""
    EVENTS_UNREADABLE = "events_unreadable"
    """It is made of events, and the table `ai_events` cannot be read."""
    NEEDS_USERS = "needs_users"
    """It is made of users, and the log knows none."""
    TOO_FEW = "too_few"
    """Fewer than two users or requests in one of the two arms, or one of them is nearly the whole arm."""
    NO_VARIATION = "no_variation"
    """Everybody of an arm has the same value: there is no variance to compare by."""
    NO_BASE = "no_base"
    """Control's mean is 0: the difference can be tested, but neither a lift nor a margin of it exists."""
    NOT_A_NUMBER = "not_a_number"
    """A sum is NaN, infinite or contradicts the others."""


class MetricOutcome(StrEnum):
    """What a stated metric shows by a test that hourly looks cannot fool, in the direction that it states."""

    BETTER = "better"
    """Better than control; of a goal, also among all goals of the experiment (Holm)."""
    WORSE = "worse"
    """Worse than control."""
    NO_SIGN = "no_sign"
    """Neither is shown."""
    NOT_MEASURED = "not_measured"
    """It could not be tested."""


class GuardrailVerdict(StrEnum):
    """Whether a guardrail lets a treatment go unattended."""

    KEPT = "kept"
    """Shown to be less worse than its margin; without a margin: no always-valid sign of harm."""
    NOT_KEPT = "not_kept"
    """Not shown so."""
    NOT_MEASURED = "not_measured"
    """It could not be tested, which is not kept."""
