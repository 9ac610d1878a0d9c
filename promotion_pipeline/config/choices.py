"""What a threshold or setting can be where it is one of a few words."""

from __future__ import annotations

from enum import StrEnum


class Evidence(StrEnum):
    """What an unattended promotion needs beyond the contract checks."""

    ALWAYS_VALID = "always_valid"
    """The lower end of the always-valid interval is above 0 and the sample ratio is sound."""
    GROUP_SEQUENTIAL = "group_sequential"
    """The group-sequential boundary of the stated plan is crossed within it, and the sample ratio is sound."""
    FIXED_HORIZON = "fixed_horizon"
    """Nothing more: the z-test at each look promotes, with the error rate that looking hourly has."""


class Mode(StrEnum):
    """Whether decisions are acted upon."""

    LIVE = "live"
    """Promotable experiments are promoted."""
    SHADOW = "shadow"
    """Decisions and would-be promotions are recorded; no traffic changes."""


class PrimaryMetric(StrEnum):
    """The metric that an experiment is decided on."""

    CONVERSION = "conversion"
    """Conversions a request: the pooled z-test on proportions."""
    VALUE_MEAN = "value_mean"
    """Mean of `value` a request (a ratio over users where they are known): the z-test on means."""
    VALUE_PER_USER = "value_per_user"
    """Mean of a user's total `value`; every request needs a user."""


class Direction(StrEnum):
    """Which way the primary metric improves."""

    INCREASE = "increase"
    """More is better."""
    DECREASE = "decrease"
    """Less is better; improvement and z then count a fall as positive."""


class Guardrail(StrEnum):
    """What may not get worse in an unattended promotion."""

    ERROR_RATE = "error_rate"
    """No always-valid sign (one-sided) that the candidate fails more often than control."""
    LATENCY = "latency"
    """Mean latency shown to be less than 20 percent above control's (Welch, one-sided)."""


class GroupSequentialSpending(StrEnum):
    """How an experiment with a planned size spends its error over the looks."""

    OBRIEN_FLEMING = "obrien_fleming"
    """Hardly anything early: for those who mean to run the plan to its end."""
    ALPHA_T_SQUARED = "alpha_t_squared"
    """alpha t^2, t the share of the plan: more of it early."""


class MetricKind(StrEnum):
    """What one of an experiment's own metrics is the mean of."""

    USER_PROPORTION = "user_proportion"
    """Share of the exposed users with at least one such event."""
    USER_MEAN = "user_mean"
    """Sum of the values a user."""
    USER_COUNT = "user_count"
    """Events a user."""
    REQUEST_MEAN = "request_mean"
    """A numeric column of the log, a request."""
    RATIO = "ratio"
    """Quotient of the sums of two other metrics of the experiment, by the delta method over users."""


class MetricRole(StrEnum):
    """What a metric is for."""

    GOAL = "goal"
    """The experiment is to improve it: goals take the primary metric's place in the evidence."""
    GUARDRAIL = "guardrail"
    """It may not get worse in an unattended promotion."""
    SECONDARY = "secondary"
    """It is shown, and decides nothing."""


class Covariate(StrEnum):
    """What is known of a user before the experiment, and takes variance out of a metric."""

    SAME_METRIC_BEFORE = "same_metric_before"
    """The same metric of the same user in the days before the first exposure (CUPED)."""
