"""The forest plot as one SVG picture that needs no style sheet and no font, legible in light and dark."""

from __future__ import annotations

import unicodedata
from html import escape

from promotion_pipeline.text.forest import READING, SPAN, Forest, Group, Line

WIDTH, LEFT, RIGHT = 940, 260, 215
TOP, ROW, HEADING, BOTTOM = 60, 22, 30, 64
PLOT = WIDTH - LEFT - RIGHT
NAME_CELLS = 31.0
"""Width of a name in letters; a Chinese character takes two."""
BROAD = "mwMW@%&"
STYLE = """\
svg{--ground:#fff;--ink:#1a2230;--quiet:#55606f;--grid:#e6e9ef;--promotable:#176b41;--eligible:#5b2fa0;--rejected:#a3261c}
@media(prefers-color-scheme:dark){svg{--ground:#1b212b;--ink:#e8ecf2;--quiet:#a5b0bf;--grid:#333d4b;--promotable:#7fdcaa;
--eligible:#cdb3ff;--rejected:#ff9d94}}
.ground{fill:var(--ground)}text{fill:var(--ink);font:12px system-ui,sans-serif}.quiet{fill:var(--quiet)}
.head{font-weight:600}.grid{stroke:var(--grid)}.zero{stroke:var(--quiet)}
.arm{stroke:var(--quiet);fill:none;stroke-width:2}.dot{fill:var(--quiet)}
.promotable .arm{stroke:var(--promotable)}.promotable .dot{fill:var(--promotable)}
.eligible .arm{stroke:var(--eligible)}.eligible .dot{fill:var(--eligible)}
.rejected .arm,.error .arm{stroke:var(--rejected)}.rejected .dot,.error .dot{fill:var(--rejected)}"""


def forest_svg(forest: Forest, title: str) -> str:
    """The picture, a whole document: its style is its own."""
    height = TOP + sum(HEADING + ROW * len(group.lines) for group in forest.groups) + BOTTOM
    parts, y = [], TOP
    for group in forest.groups:
        parts.append(_group(group, y))
        y += HEADING + ROW * len(group.lines)
    grid = "".join(
        f'<path class="grid" d="M{_x(tick.at)} {TOP - 8}V{y}"/>'
        + _text(_x(tick.at), TOP - 16, tick.label, anchor="middle", kind="quiet")
        + _text(_x(tick.at), y + 16, tick.label, anchor="middle", kind="quiet")
        for tick in forest.ticks
    )
    zero = f'<path class="zero" d="M{_x(forest.zero)} {TOP - 8}V{y}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img"><title>{_clean(title)}</title><style>{STYLE}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>'
        + _text(12, 20, title, kind="head")
        + grid
        + zero
        + "".join(parts)
        + _text(12, height - 28, READING, kind="quiet")
        + _text(12, height - 10, forest.left_out, kind="quiet")
        + "</svg>"
    )


def _group(group: Group, y: int) -> str:
    lines = "".join(_line(line, y + HEADING + ROW * number + ROW // 2) for number, line in enumerate(group.lines))
    return f'<g class="{group.name}">' + _text(12, y + 20, group.heading, kind="head") + lines + "</g>"


def _line(line: Line, y: int) -> str:
    start, at, end = _x(line.start), _x(line.at), _x(line.end)
    arrows = f"M{start + 6} {y - 4}L{start} {y}L{start + 6} {y + 4}" if line.is_cut_left else f"M{start} {y - 3}v6"
    arrows += f"M{end - 6} {y - 4}L{end} {y}L{end - 6} {y + 4}" if line.is_cut_right else f"M{end} {y - 3}v6"
    dot = "" if line.is_outside else f'<circle class="dot" cx="{at}" cy="{y}" r="4"/>'
    return (
        f"<g><title>{_clean(line.arm.name)}: {line.said}</title>"
        + _text(LEFT - 12, y + 4, _shortened(line.arm.name), anchor="end", is_isolated=True)
        + f'<path class="arm" d="M{start} {y}H{end}{arrows}"/>{dot}'
        + _text(WIDTH - RIGHT + 12, y + 4, line.said, kind="quiet")
        + "</g>"
    )


def _x(place: float) -> float:
    return round(LEFT + PLOT * place / SPAN, 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "", is_isolated: bool = False) -> str:
    # A name that is read from the right, or that turns the direction, leaves what stands beside it alone.
    said = f"\u2068{_clean(text)}\u2069" if is_isolated else _clean(text)
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{named}>{said}</text>'


def _clean(text: str) -> str:
    """Without what XML cannot hold, and as text."""
    kept = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)
    return escape(kept.replace("\ufffe", " ").replace("\uffff", " "))


def _shortened(name: str) -> str:
    room = NAME_CELLS
    kept: list[str] = []
    for letter in " ".join(name.split()):
        room -= 2.0 if unicodedata.east_asian_width(letter) in "WF" else 1.6 if letter in BROAD else 1.0
        if room < 0:
            return "".join(kept).rstrip() + "…"
        kept.append(letter)
    return "".join(kept)
