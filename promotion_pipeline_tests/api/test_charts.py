"""Coordinates of the charts: always inside, never NaN."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.api.pages.charts import HEIGHT, WIDTH, lift_chart, sparkline
from promotion_pipeline.promotion.history.evidence import LiftPoint

START = datetime(2026, 1, 1, tzinfo=UTC)
fractions = st.none() | st.floats(-1e6, 1e6)


def _points(rows: list[tuple[float | None, float | None, float | None]]) -> list[LiftPoint]:
    return [LiftPoint(START + timedelta(hours=hour), *row) for hour, row in enumerate(rows)]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]


@given(st.lists(st.tuples(fractions, fractions, fractions), max_size=60), st.floats(0, 1000))
def test_everything_drawn_lies_inside_the_chart(
    rows: list[tuple[float | None, float | None, float | None]], threshold: float
) -> None:
    chart = lift_chart(_points(rows), threshold)

    if chart is None:
        assert sum(lift is not None for lift, _, _ in rows) < 2
        return
    numbers = _numbers(chart.line) + _numbers(chart.band)
    assert all(-0.01 <= number <= max(WIDTH, HEIGHT) for number in numbers)
    assert all(0 <= at <= HEIGHT for at in (chart.zero, chart.threshold, chart.last_y))
    assert "nan" not in chart.line + chart.band


@given(st.lists(st.floats(-1e6, 1e6), max_size=400))
def test_a_sparkline_needs_two_values(values: list[float]) -> None:
    line = sparkline(values)

    assert (line is None) == (len(values) < 2)
    assert line is None or "nan" not in line.line


def test_the_early_interval_does_not_flatten_the_rest() -> None:
    rows = [(0.2, 0.2 - 50 / (hour + 1), 0.2 + 50 / (hour + 1)) for hour in range(400)]

    chart = lift_chart(_points(rows), 5.0)  # type: ignore[arg-type]

    assert chart is not None
    assert chart.y_ticks[-1].label in {"+50 %", "+60 %", "+70 %"}


def test_axes_carry_round_numbers_and_days() -> None:
    rows = [(0.1 + hour / 4000, 0.0, 0.3) for hour in range(240)]

    chart = lift_chart(_points(rows), 5.0)  # type: ignore[arg-type]

    assert chart is not None
    assert [tick.label for tick in chart.y_ticks] == ["0 %", "+10 %", "+20 %", "+30 %"]
    assert chart.x_ticks[0].label == "01 Jan"
    assert chart.x_ticks[-1].label == "10 Jan"
