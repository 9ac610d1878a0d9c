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
