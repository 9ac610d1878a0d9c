"""Is the winner worse than it was? Pure rules of the watch after a promotion.

A breach needs a difference that matters (a margin) and one that chance does not explain: z >= 3.72 one-sided,
p < 0.0001, because the watch looks every hour at two windows and three metrics for days.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from promotion_pipeline.config import Direction, PrimaryMetric
from promotion_pipeline.statistics import mean_variance_of_mean, two_proportion_z, welch_from_means

BREACH_Z = 3.72
SMALLEST_SAMPLE = 100
ERROR_RATE_MARGIN = 0.005
"""Fraction of requests that must fail beyond the baseline."""
LATENCY_MARGIN = 1.2
PRIMARY_MARGIN = 0.1
"""Fraction of the snapshot's primary metric that the winner must lose, where control gets no traffic."""
PRIMARY_MARGIN_TO_CONTROL = 0.03
"""Fraction of control's primary metric at the same time by which the winner must be worse."""

Window = Literal["step", "recent"]


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
    errors: float = 0
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
        return Sums(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class WatchCheck:
    """One metric in one window: since the current ramp step, or the last hour."""

    metric: WatchMetric
    window: Window
    status: WatchStatus
    observed: float | None
    baseline: float | None
    """The winner's value in the promotion's snapshot."""
    control: float | None
    """Control's value in the same window; None while it gets no traffic."""
    message: str


def judge_window(
    window: Window,
    before: Sums,
    after: Sums,
    control: Sums,
    metric: PrimaryMetric = PrimaryMetric.CONVERSION,
    direction: Direction = Direction.INCREASE,
) -> tuple[WatchCheck, ...]:
    """The three metrics of the winner in one window, against its snapshot and against control at the same time.

    Errors and latency are a breach where they are worse than the snapshot and, while control gets traffic, worse
    than control's too: what hits both arms is no fault of the winner's. The primary metric is compared with
    control while there is one, since seasons move both, and with the snapshot afterwards.
    """
    return (
        _errors(window, before, after, control),
        _latency(window, before, after, control),
        _primary(window, before, after, control, metric, direction),
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


def _errors(window: Window, before: Sums, after: Sums, control: Sums) -> WatchCheck:
    observed, baseline = _ratio(after.errors, after.requests), _ratio(before.errors, before.requests)
    beside = _ratio(control.errors, control.requests)
    if observed is None or baseline is None:
        return _check(WatchMetric.ERROR_RATE, window, WatchStatus.UNMEASURED, observed, baseline, beside)
    z = float(two_proportion_z(before.errors, before.requests, after.errors, after.requests).z)
    worse = z >= BREACH_Z and observed >= baseline + ERROR_RATE_MARGIN
    worse = worse and (beside is None or observed >= beside + ERROR_RATE_MARGIN)
    return _check(WatchMetric.ERROR_RATE, window, _status(worse), observed, baseline, beside)


def _latency(window: Window, before: Sums, after: Sums, control: Sums) -> WatchCheck:
    observed = _ratio(after.latency_ms_sum, after.latency_samples)
    baseline = _ratio(before.latency_ms_sum, before.latency_samples)
    beside = _ratio(control.latency_ms_sum, control.latency_samples)
    if observed is None or baseline is None:
        return _check(WatchMetric.LATENCY, window, WatchStatus.UNMEASURED, observed, baseline, beside)
    (n0, mean0, variance0), (n1, mean1, variance1) = (
        _mean(sums.latency_samples, sums.latency_ms_sum, sums.latency_ms_sum_squares) for sums in (before, after)
    )
    t = float(welch_from_means(n0, mean0, variance0, n1, mean1, variance1, "absolute", 0.05).t)
    # Without any spread every difference is certain; t is NaN then.
    certain = t >= BREACH_Z or (variance0 == variance1 == 0.0)
    worse = certain and observed >= LATENCY_MARGIN * baseline
    worse = worse and (beside is None or observed >= LATENCY_MARGIN * beside)
    return _check(WatchMetric.LATENCY, window, _status(worse), observed, baseline, beside)


def _primary(
    window: Window, before: Sums, after: Sums, control: Sums, metric: PrimaryMetric, direction: Direction
) -> WatchCheck:
    """Conversion, or the mean value of a request (also where users were compared: the watch keeps no users)."""
    converts = metric is PrimaryMetric.CONVERSION
    name = WatchMetric.CONVERSION if converts else WatchMetric.VALUE

    def level(sums: Sums) -> float | None:
        return _ratio(sums.conversions if converts else sums.value_sum, sums.matured_requests)

    observed, baseline, beside = level(after), level(before), level(control)
    if observed is None or baseline is None:
        return _check(name, window, WatchStatus.UNMEASURED, observed, baseline, beside)
    is_beside = beside is not None
    reference = control if is_beside else before
    expected = beside if beside is not None else baseline
    sign = 1.0 if direction is Direction.INCREASE else -1.0
    margin = (PRIMARY_MARGIN_TO_CONTROL if is_beside else PRIMARY_MARGIN) * abs(expected)
    z = sign * (_conversion_z if converts else _value_t)(reference, after)
    return _check(
        name, window, _status(z <= -BREACH_Z and sign * (observed - expected) <= -margin), observed, baseline, beside
    )


def _conversion_z(reference: Sums, after: Sums) -> float:
    return float(
        two_proportion_z(reference.conversions, reference.matured_requests, after.conversions, after.matured_requests).z
    )


def _value_t(reference: Sums, after: Sums) -> float:
    (n0, mean0, variance0), (n1, mean1, variance1) = (
        _mean(sums.matured_requests, sums.value_sum, sums.value_sum_squares) for sums in (reference, after)
    )
    return float(welch_from_means(n0, mean0, variance0, n1, mean1, variance1, "absolute", 0.05).t)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole >= SMALLEST_SAMPLE else None


def _mean(n: float, total: float, sum_squares: float) -> tuple[float, float, float]:
    mean, variance = mean_variance_of_mean(n, total, sum_squares)
    return n, float(mean), float(variance)


def _status(worse: bool) -> WatchStatus:
    return WatchStatus.BREACH if worse else WatchStatus.CLEAN


def _check(
    metric: WatchMetric,
    window: Window,
    status: WatchStatus,
    observed: float | None,
    baseline: float | None,
    control: float | None,
) -> WatchCheck:
    when = "since the last change of traffic" if window == "step" else "in the last hour"
    what = metric.value.replace("_", " ")
    numbers = f"{_text(metric, observed)} {when}, {_text(metric, baseline)} at the promotion"
    beside = "" if control is None else f", control has {_text(metric, control)}"
    message = f"{what} {numbers}{beside}"
    if status is WatchStatus.UNMEASURED:
        message = f"{what} could not be measured {when}: under {SMALLEST_SAMPLE} requests"
    return WatchCheck(metric, window, status, observed, baseline, control, message)


def _text(metric: WatchMetric, value: float | None) -> str:
    if value is None:
        return "unknown"
    match metric:
        case WatchMetric.LATENCY:
            return f"{value:.1f} ms"
        case WatchMetric.VALUE:
            return f"{value:.4g}"
        case WatchMetric.ERROR_RATE | WatchMetric.CONVERSION:
            return f"{100 * value:.2f} %"
