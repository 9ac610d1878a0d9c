"""The picture of the newest hour: a forest plot, written as SVG so that no plotting library is needed."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from html import escape

import pandas as pd

from promotion_pipeline.orchestration.assets.reporting import ranked

MAX_ROWS = 20
WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 720, 220, 20, 34, 22, 26
TEXT, MUTED, GOOD, LINE = "#24292f", "#57606a", "#1a7f37", "#8c959f"
WIDEST_PERCENT = 200.0


@dataclass(frozen=True)
class _Row:
    """One experiment's line; everything in percent."""

    name: str
    lift: float
    lower: float
    upper: float
    color: str


def lift_plot(decisions: pd.DataFrame) -> str:
    """Markdown with a picture: each candidate's lift and its always-valid interval.

    Args:
        decisions: rows of `Evaluation.decisions` about one hour, with the experiments' `name`.
    """
    known = decisions[decisions["improvement"].notna() & decisions["lift_lower"].notna()]
    columns = ["name", "improvement", "lift_lower", "lift_upper", "is_promotable"]
    rows = [
        _Row(str(name), float(lift), 100 * float(lower), 100 * float(upper), GOOD if promotable else MUTED)
        for name, lift, lower, upper, promotable in ranked(known).head(MAX_ROWS)[columns].itertuples(index=False)
    ]
    if not rows:
        return "No experiment has a lift to show yet."
    picture = base64.b64encode(_forest(rows).encode()).decode()
    return f"![Lift with its always-valid interval](data:image/svg+xml;base64,{picture})"


def _forest(rows: list[_Row]) -> str:
    low, high = _axis(rows)
    height = TOP + ROW * len(rows) + BOTTOM

    def x(percent: float) -> float:
        inside = min(max(percent, low), high)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (inside - low) / (high - low), 1)

    lines = [
        _line(row, TOP + ROW * number + 8, x(row.lower), x(row.lift), x(row.upper)) for number, row in enumerate(rows)
    ]
    marks = [
        _label(x(mark), height - 8, "middle", MUTED, f"{mark:+.0f}" if mark else "0")
        for mark in sorted({low, 0.0, high})
    ]
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            ' font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            _label(10, 18, "start", TEXT, "Lift of the candidate over control with its always-valid interval, percent"),
            f'<path d="M{x(0)} {TOP - 8}V{height - 22}" stroke="{LINE}" stroke-dasharray="3 3"/>',
            *lines,
            *marks,
            "</svg>",
        ]
    )


def _line(row: _Row, y: int, lower: float, lift: float, upper: float) -> str:
    name = row.name if len(row.name) <= 30 else row.name[:29] + "…"
    return (
        _label(LEFT - 10, y + 4, "end", TEXT, name)
        + f'<path d="M{lower} {y}H{upper}" stroke="{row.color}" stroke-width="2"/>'
        + f'<circle cx="{lift}" cy="{y}" r="4" fill="{row.color}"/>'
    )


def _label(x: float, y: int, anchor: str, color: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _axis(rows: list[_Row]) -> tuple[float, float]:
    """Bounds that show every lift; an interval that is still very wide runs off the picture."""
    ends = [value for row in rows for value in (row.lower, row.lift, row.upper) if math.isfinite(value)]
    low = max(-100.0, min(-5.0, *ends))
    high = min(WIDEST_PERCENT, max(5.0, *ends))
    return 5.0 * math.floor(low / 5), 5.0 * math.ceil(high / 5)
