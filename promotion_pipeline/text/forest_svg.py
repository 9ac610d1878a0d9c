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
svg{--g:#fff;--i:#1a2230;--q:#55606f;--l:#e6e9ef;--p:#176b41;--e:#5b2fa0;--r:#a3261c}
@media(prefers-color-scheme:dark){svg{--g:#1b212b;--i:#e8ecf2;--q:#a5b0bf;--l:#333d4b;--p:#7fdcaa;--e:#cdb3ff;--r:#ff9d94}}
rect{fill:var(--g)}text{fill:var(--i);font:12px system-ui,sans-serif}.quiet{fill:var(--q)}.head{font-weight:600}
path{fill:none}.grid{stroke:var(--l)}.zero{stroke:var(--q)}g{stroke:var(--q)}g text{stroke:none}.arm{stroke-width:2}
.dot{stroke-width:8;stroke-linecap:round}.promotable{stroke:var(--p)}.eligible{stroke:var(--e)}
.rejected,.error{stroke:var(--r)}"""
"""Ground, ink, quiet, lines; promotable, eligible, rejected."""


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
        f'<rect width="{WIDTH}" height="{height}"/>'
        + _text(12, 20, title, kind="head")
        + grid
        + zero
        + "".join(parts)
        + _text(12, height - 28, READING, kind="quiet")
        + _text(12, height - 10, forest.left_out, kind="quiet")
        + "</svg>"
    )


def _group(group: Group, y: int) -> str:
    """One path for all lines, one for all dots and two texts: the picture is kept with every hour, so it is short."""
    middles = [y + HEADING + ROW * number + ROW // 2 for number in range(len(group.lines))]
    arms = "".join(_arm(line, at) for line, at in zip(group.lines, middles, strict=True))
    dots = "".join(f"M{_x(ln.at)} {at}h0" for ln, at in zip(group.lines, middles, strict=True) if not ln.is_outside)
    names = "".join(_row(LEFT - 12, _name(line.arm.name)) for line in group.lines)
    numbers = "".join(_row(WIDTH - RIGHT + 12, _clean(line.said)) for line in group.lines)
    above = middles[0] + 4 - ROW
    return (
        f'<g class="{group.name}">{_text(12, y + 20, group.heading, kind="head")}<path class="arm" d="{arms}"/>'
        f'<path class="dot" d="{dots}"/><text y="{above}" text-anchor="end">{names}</text>'
        f'<text y="{above}" class="quiet">{numbers}</text></g>'
    )


def _row(x: int, content: str) -> str:
    return f'<tspan x="{x}" dy="{ROW}">{content}</tspan>'


def _name(name: str) -> str:
    shown = _clean(_shortened(name))
    # A name that is read from the right, or that turns the direction, leaves what stands beside it alone.
    shown = shown if name.isascii() else f"\u2068{shown}\u2069"
    return shown if _shortened(name) == name else f"<title>{_clean(name)}</title>{shown}"


def _arm(line: Line, y: int) -> str:
    start, end = _x(line.start), _x(line.end)
    left = f"M{start + 6} {y - 4}l-6 4 6 4" if line.is_cut_left else f"M{start} {y - 3}v6"
    return f"M{start} {y}H{end}{left}" + (f"M{end - 6} {y - 4}l6 4-6 4" if line.is_cut_right else f"M{end} {y - 3}v6")


def _x(place: float) -> int:
    return round(LEFT + PLOT * place / SPAN)


def _text(x: int, y: int, text: str, *, anchor: str = "start", kind: str) -> str:
    turned = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y}"{turned} class="{kind}">{_clean(text)}</text>'


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
