"""Coordinates of the charts; colours and fonts are the style sheet's matter. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.promotion.history.evidence import LiftPoint
from promotion_pipeline.text.forest import AxisMark
from promotion_pipeline.text.numbers import setting_text

WIDTH, HEIGHT = 720, 264
LEFT, RIGHT, TOP, BOTTOM = 72, 14, 14, 40
MOST_POINTS = 240
SETTLED_SHARE = 0.25
"""Share of the looks after which the interval is narrow enough to set the scale."""
SPARK_WIDTH, SPARK_HEIGHT = 120, 28


@dataclass(frozen=True)
class LiftChart:
    """Lift over time in percent, with its always-valid interval and the threshold, as SVG coordinates."""

    band: str
    """Polygon points of the interval."""
    line: str
    """Path of the lift."""
    zero: float
    threshold: float
    threshold_label: str
    last_x: float
    last_y: float
    y_ticks: tuple[AxisMark, ...]
    x_ticks: tuple[AxisMark, ...]


@dataclass(frozen=True)
class Sparkline:
    """A line without axes."""

    line: str
    zero: float


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def lift_chart(points: Sequence[LiftPoint], threshold_percent: float) -> LiftChart | None:
    """The chart of a treatment; None with fewer than two looks that have a lift."""
    known = [point for point in points if point.lift is not None]
    if len(known) < 2:
        return None
    low, high = _range(known, threshold_percent)
    y = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    x = _Scale(known[0].as_of.timestamp(), known[-1].as_of.timestamp(), LEFT, WIDTH - RIGHT)
    last = known[-1]
    assert last.lift is not None
    return LiftChart(
        band=_band(known, x, y, low, high),
        line=_path([(x(point.as_of.timestamp()), y(_clamped(point.lift or 0.0, low, high))) for point in known]),
        zero=y(0.0),
        threshold=y(threshold_percent),
        threshold_label=f"threshold {setting_text(threshold_percent)}",
        last_x=x(last.as_of.timestamp()),
        last_y=y(_clamped(last.lift, low, high)),
        y_ticks=tuple(
            AxisMark(y(value), setting_text(value, signed=bool(value))) for value in _round_values(low, high)
        ),
        x_ticks=_time_ticks(known[0].as_of, known[-1].as_of, x),
    )


def sparkline(values: Sequence[float]) -> Sparkline | None:
    """The line of a list's row; None with fewer than two values."""
    if len(values) < 2:
        return None
    tail = sorted(abs(value) for value in values[len(values) // 4 :])
    bound = max(tail[-1], 1.0) * 1.15
    y = _Scale(-bound, bound, SPARK_HEIGHT - 1, 1)
    x = _Scale(0, len(values) - 1, 1, SPARK_WIDTH - 1)
    step = max(1, len(values) // SPARK_WIDTH)
    shown = [(number, value) for number, value in enumerate(values) if (len(values) - 1 - number) % step == 0]
    return Sparkline(_path([(x(number), y(_clamped(value / 100, -bound, bound))) for number, value in shown]), y(0.0))


def _range(points: Sequence[LiftPoint], threshold_percent: float) -> tuple[float, float]:
    """Percent that the chart spans: the early looks, whose interval is enormous, run out of it."""
    settled = points[int(len(points) * SETTLED_SHARE) :]
    ends = [
        value * 100
        for point in settled
        for value in (point.lift, point.lower, point.upper)
        if value is not None and math.isfinite(value)
    ]
    low, high = min([0.0, threshold_percent, *ends]), max([0.0, threshold_percent, *ends])
    margin = max(high - low, 1.0) * 0.08
    return low - margin, high + margin


def _clamped(lift: float, low: float, high: float) -> float:
    """A fraction as percent, inside the chart."""
    return min(max(lift * 100, low), high)


def _band(points: Sequence[LiftPoint], x: _Scale, y: _Scale, low: float, high: float) -> str:
    """The interval as a polygon: along the upper ends, and back along the lower ones."""
    bounded = [point for point in points if point.lower is not None and point.upper is not None]
    upper = [(x(point.as_of.timestamp()), y(_clamped(point.upper or 0.0, low, high))) for point in bounded]
    lower = [(x(point.as_of.timestamp()), y(_clamped(point.lower or 0.0, low, high))) for point in bounded]
    return " ".join(f"{a:g},{b:g}" for a, b in upper + lower[::-1])


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{a:g} {b:g}" for a, b in points)


def _round_values(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers in [low, high], about as many as wanted."""
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _time_ticks(start: datetime, end: datetime, x: _Scale) -> tuple[AxisMark, ...]:
    """Up to five instants, evenly spread over whole looks."""
    seconds = (end - start).total_seconds()
    form = "%d %b" if seconds > 3 * 86_400 else "%d %b %H:%M"
    instants = [start + (end - start) * (number / 4) for number in range(5)]
    ticks = [AxisMark(x(instant.timestamp()), instant.strftime(form)) for instant in instants]
    return tuple(tick for number, tick in enumerate(ticks) if number == 0 or tick.label != ticks[number - 1].label)
