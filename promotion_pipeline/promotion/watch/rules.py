"""Is the winner worse than it was? Pure rules of the watch after a promotion.

A breach needs a difference that matters (the margins of `PromotionConfig`) and one that chance does not explain. The
watch looks every five minutes at three windows and three metrics for days, so the shorter a window is, the more of its
looks are independent and the larger the z that it needs: together under 5 % of promotions without any change would
raise an alarm in 48 hours even with margins of 0. Counts are also tested exactly, since a z of a few rare events
promises too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal, assert_never

from promotion_pipeline.config import Direction, PromotionConfig
from promotion_pipeline.evaluation.metrics import kind_of
from promotion_pipeline.statistics import mean_variance_of_mean, more_often_z, welch_from_means
from promotion_pipeline.text.numbers import measure_text, milliseconds_text, rate_text

Window = Literal["step", "recent", "now"]


@dataclass(frozen=True)
class WindowRule:
    """What a window needs for a breach, and how it is called."""

    when: str
    smallest_sample: int
    breach_z: float
    length: timedelta | None = None
    """None: since the current step began."""


FEWEST_BESIDE = 10
WINDOWS: dict[Window, WindowRule] = {
    "step": WindowRule("since the last change of traffic", 100, 3.72),
    "recent": WindowRule("in the last hour", 100, 4.26, timedelta(hours=1)),
    "now": WindowRule("in the last ten minutes", 50, 4.75, timedelta(minutes=10)),
}


class WatchMetric(StrEnum):
    """What the watch looks at."""

    ERROR_RATE = "error_rate"
    """Failed requests / requests."""
    LATENCY = "latency"
    """Mean latency in milliseconds."""
    CONVERSION = "conversion"
    """Converted requests / matured requests, where that is what the experiment was decided on."""
    VALUE = "value"
    """Mean value of a matured request, where that is what the experiment was decided on."""


class WatchStatus(StrEnum):
    """What the watch found."""

    CLEAN = "clean"
    """Measured, and no worse than it was."""
    BREACH = "breach"
    """Worse by more than the margin, and not by chance."""
    UNMEASURED = "unmeasured"
    """Too few requests to say; never counts as clean."""


@dataclass(frozen=True)
class Sums:
    """What one variant did in a window; latency in ms."""

    requests: float = 0
    errors: float | None = 0
    """None: the log does not say which requests failed."""
    matured_requests: float = 0
    """Requests old enough for their conversion to be known."""
    conversions: float = 0
    latency_samples: float = 0
    latency_ms_sum: float = 0
    latency_ms_sum_squares: float = 0
    value_sum: float = 0
    """Over matured requests, as its squares."""
    value_sum_squares: float = 0

    def __add__(self, other: Sums) -> Sums:
        totals = {name: value + getattr(other, name) for name, value in vars(self).items() if name != "errors"}
        errors = None if self.errors is None or other.errors is None else self.errors + other.errors
        return Sums(**totals, errors=errors)


@dataclass(frozen=True)
class WatchCheck:
    """One metric in one window: since the current ramp step, the last hour, or the last ten minutes."""

    metric: WatchMetric
    window: Window
    status: WatchStatus
    observed: float | None
    baseline: float | None
    """The winner's value in the promotion's snapshot."""
    control: float | None
    """Control's value in the same window; None while it gets no traffic."""
    limit: float | None
    """The value from which on it is a breach, if chance does not explain it; None: unmeasured."""
    message: str


def judge_window(
    window: Window, before: Sums, after: Sums, control: Sums, config: PromotionConfig
) -> tuple[WatchCheck, ...]:
    """The three metrics of the winner in one window, against its snapshot and against control at the same time.

    Errors and latency are a breach where they are worse than the snapshot and, while control gets traffic, worse
    than control's too: what hits both arms is no fault of the winner's. The primary metric is compared with
    control while there is one, since seasons move both, and with the snapshot afterwards.
    """
    return (
        _errors(window, before, after, control, config.watch_error_rate_margin),
        _latency(window, before, after, control, config.watch_latency_margin_percent),
        _primary(window, before, after, control, config),
    )


def overall(checks: tuple[WatchCheck, ...]) -> WatchStatus:
    """Breach if any is; clean only if the errors since the step's start could be measured."""
    if any(check.status is WatchStatus.BREACH for check in checks):
        return WatchStatus.BREACH
    measured = any(
        check.metric is WatchMetric.ERROR_RATE and check.window == "step" and check.status is WatchStatus.CLEAN
        for check in checks
    )
    return WatchStatus.CLEAN if measured else WatchStatus.UNMEASURED


def _errors(window: Window, before: Sums, after: Sums, control: Sums, margin: float) -> WatchCheck:
    seen = Levels(
        _ratio(window, after.errors, after.requests),
        _ratio(window, before.errors, before.requests),
        _beside(control.errors, control.requests),
    )
    if after.errors is None or before.errors is None:
        return _unmeasured(WatchMetric.ERROR_RATE, window, seen, "the log does not say which requests failed")
    if not seen.is_measured:
        return _unmeasured(WatchMetric.ERROR_RATE, window, seen)
    z = float(more_often_z(before.errors, before.requests, after.errors, after.requests))
    limit = seen.worst_reference + margin
    return _judged(WatchMetric.ERROR_RATE, window, seen, limit, z >= WINDOWS[window].breach_z)


def _latency(window: Window, before: Sums, after: Sums, control: Sums, margin_percent: float) -> WatchCheck:
    seen = Levels(
        _ratio(window, after.latency_ms_sum, after.latency_samples),
        _ratio(window, before.latency_ms_sum, before.latency_samples),
        _beside(control.latency_ms_sum, control.latency_samples),
    )
    if not seen.is_measured:
        return _unmeasured(WatchMetric.LATENCY, window, seen)
    (n0, mean0, variance0), (n1, mean1, variance1) = (
        _mean(sums.latency_samples, sums.latency_ms_sum, sums.latency_ms_sum_squares) for sums in (before, after)
    )
    t = float(welch_from_means(n0, mean0, variance0, n1, mean1, variance1, "absolute", 0.05).t)
    # Where all values are equal the variance is 0 and t is NaN: then any difference counts as certain.
    certain = t >= WINDOWS[window].breach_z or (variance0 == variance1 == 0.0)
    return _judged(WatchMetric.LATENCY, window, seen, seen.worst_reference * (1.0 + margin_percent / 100.0), certain)


def _primary(window: Window, before: Sums, after: Sums, control: Sums, config: PromotionConfig) -> WatchCheck:
    """The metric that the experiment was decided on, as its kind is watched."""
    kind = kind_of(config.primary_metric)
    name = WatchMetric(kind.watched_as)
    totals = ((kind.watched_total(sums), sums) for sums in (after, before, control))
    seen = Levels(*(_ratio(window, total, sums.matured_requests) for total, sums in totals))
    if not seen.is_measured:
        return _unmeasured(name, window, seen)
    if seen.control is None:
        expected, reference, percent = seen.baseline, before, config.watch_primary_margin_percent
    else:
        expected, reference, percent = seen.control, control, config.watch_primary_margin_to_control_percent
    assert expected is not None
    sign = 1.0 if config.direction is Direction.INCREASE else -1.0
    limit = expected - sign * percent / 100.0 * abs(expected)
    worse_z = kind.rise_z(reference, after) if sign < 0 else kind.fall_z(reference, after)
    return _judged(name, window, seen, limit, worse_z >= WINDOWS[window].breach_z, sign)


@dataclass(frozen=True)
class Levels:
    """One metric's values; None: not measured, or of too few requests."""

    observed: float | None
    baseline: float | None
    control: float | None

    @property
    def is_measured(self) -> bool:
        """Whether now and before can be compared."""
        return self.observed is not None and self.baseline is not None

    @property
    def worst_reference(self) -> float:
        """Where less is better: what hits control too is no fault of the winner's."""
        return max(level for level in (self.baseline, self.control) if level is not None)


def _ratio(window: Window, part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole >= WINDOWS[window].smallest_sample else None


def _beside(part: float | None, whole: float) -> float | None:
    """Control's level, also of few requests: it can only excuse the winner, and what hits both is seen at once."""
    return part / whole if part is not None and whole >= FEWEST_BESIDE else None


def _mean(n: float, total: float, sum_squares: float) -> tuple[float, float, float]:
    mean, variance = mean_variance_of_mean(n, total, sum_squares)
    return n, float(mean), float(variance)


def _judged(
    metric: WatchMetric, window: Window, seen: Levels, limit: float, is_certain: bool, better: float = -1.0
) -> WatchCheck:
    """A breach where the observed value is at the limit or worse; `better` is 1 where more is better."""
    assert seen.observed is not None
    is_beyond = better * (seen.observed - limit) <= 0.0
    status = WatchStatus.BREACH if is_certain and is_beyond else WatchStatus.CLEAN
    what = metric.value.replace("_", " ")
    numbers = f"{_text(metric, seen.observed)} {WINDOWS[window].when}, {_text(metric, seen.baseline)} at the promotion"
    beside = "" if seen.control is None else f", control has {_text(metric, seen.control)}"
    message = f"{what} {numbers}{beside} (limit {_text(metric, limit)})"
    return WatchCheck(metric, window, status, seen.observed, seen.baseline, seen.control, limit, message)


def _unmeasured(metric: WatchMetric, window: Window, seen: Levels, because: str | None = None) -> WatchCheck:
    what, rule = metric.value.replace("_", " "), WINDOWS[window]
    because = because or f"under {rule.smallest_sample} requests"
    message = f"{what} could not be measured {rule.when}: {because}"
    return WatchCheck(metric, window, WatchStatus.UNMEASURED, seen.observed, seen.baseline, seen.control, None, message)


def _text(metric: WatchMetric, value: float | None) -> str:
    match metric:
        case WatchMetric.LATENCY:
            return milliseconds_text(value)
        case WatchMetric.VALUE:
            return measure_text(value)
        case WatchMetric.ERROR_RATE | WatchMetric.CONVERSION:
            return rate_text(value)
        case _:
            assert_never(metric)
