"""The figure of docs/ledger.md as SVG, without a drawing library: every coordinate is written with two digits."""

from __future__ import annotations

import pandas as pd

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48
LOW, HIGH = -2.0, 7.0
"""Percent, of both axes' data."""
COLOURS = {"contract": "#8a5a00", "unattended": "#1f7a4d"}


def _x(percent: float) -> float:
    return LEFT + (percent + 0.5) / 7.5 * (WIDTH - LEFT - RIGHT)


def _y(percent: float) -> float:
    return TOP + (HIGH - percent) / (HIGH - LOW) * (HEIGHT - TOP - BOTTOM)


def calibration_figure(table: pd.DataFrame) -> str:
    """Later lift with its 95 % interval over the promised lift, a mark a promotion; the diagonal is a promise kept."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif"'
        ' font-size="12">',
        "<title>Lift promised at the promotion and lift in the data after it</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_axes(),
    ]
    for _, row in table.dropna(subset=["later_lift"]).iterrows():
        rule = str(row["rule"]).partition(",")[0]
        parts += _mark(row, COLOURS[rule], is_filled=rule == "unattended")
    for number, (rule, colour) in enumerate(COLOURS.items()):
        y = TOP + 16 + 18 * number
        fill = colour if rule == "unattended" else "#ffffff"
        parts.append(f'<circle cx="{LEFT + 16}" cy="{y}" r="4" fill="{fill}" stroke="{colour}"/>')
        parts.append(f'<text x="{LEFT + 28}" y="{y + 4}" fill="#222222">{rule}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> list[str]:
    parts = [
        f'<path d="M{_x(-0.5):.2f} {_y(-0.5):.2f}L{_x(7):.2f} {_y(7):.2f}" stroke="#999999" stroke-dasharray="4 3"/>',
        f'<path d="M{_x(-0.5):.2f} {_y(0):.2f}H{WIDTH - RIGHT}" stroke="#bbbbbb"/>',
    ]
    for percent in range(7):
        parts.append(
            f'<text x="{_x(percent):.2f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#444444">'
            f"{percent:+d} %</text>"
        )
    for percent in range(int(LOW), int(HIGH) + 1):
        parts.append(
            f'<text x="{LEFT - 8}" y="{_y(percent) + 4:.2f}" text-anchor="end" fill="#444444">{percent:+d} %</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.2f}" y="{HEIGHT - 8}" text-anchor="middle" fill="#222222">promised at the promotion</text>'
    )
    parts.append(
        f'<text transform="translate(14 {HEIGHT / 2:.2f}) rotate(-90)" text-anchor="middle" fill="#222222">'
        "came later (95 % interval)</text>"
    )
    return parts


def _mark(row: pd.Series[float], colour: str, *, is_filled: bool) -> list[str]:
    x, y = _x(100 * row["promised_lift"]), _y(100 * row["later_lift"])
    low, high = (_y(100 * min(max(row[f"later_lift_{end}"], LOW / 100), HIGH / 100)) for end in ("lower", "upper"))
    fill = colour if is_filled else "#ffffff"
    return [
        f'<path d="M{x:.2f} {low:.2f}V{high:.2f}" stroke="{colour}" stroke-opacity="0.6"/>',
        f'<circle cx="{x:.2f}" cy="{y:.2f}" r="4" fill="{fill}" stroke="{colour}"/>',
    ]
