"""The forest plot of all experiments: which are drawn, and where their lines lie. `forest_svg` and the page draw it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from promotion_pipeline.text.numbers import interval_text, rate_text, setting_text

MOST = 40
"""Experiments that are drawn: more cannot be read at a glance."""
SPAN = 1000.0
"""Where the picture ends on the right; it begins at 0."""
LOWEST, HIGHEST = -1.0, 2.0
"""Beyond these no interval is followed: nothing loses more than everything, and a lift of 200 % is noise."""
NARROWEST = 0.05
CROWD = 0.25
"""Share of the intervals that may run out of the picture on a side, so that a wide one does not flatten the others."""
OUTLIERS = 0.05
NO_END = "no end"
READING = "Dot: lift of the nearest treatment over control. Line: its always-valid interval. Arrow: it goes on."
GROUPS = {
    "promotable": "Promotable",
    "eligible": "Eligible: a person may approve",
    "rejected": "Rejected",
    "not_yet": "Not yet",
    "inconclusive": "Inconclusive",
    "error": "Error",
}
"""Verdicts, the one that matters most first, and their headings."""


@dataclass(frozen=True)
class ForestArm:
    """The nearest treatment of one experiment; lifts are fractions, infinite where the interval has no end."""

    name: str
    group: str
    lift: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Line:
    """An arm as it is drawn: places from 0 to SPAN."""

    arm: ForestArm
    start: float
    at: float
    end: float
    is_cut_left: bool
    """The interval goes on beyond the picture."""
    is_cut_right: bool
    is_outside: bool
    """The lift itself is beyond the picture."""
    said: str
    """Lift and interval in words."""


@dataclass(frozen=True)
class AxisMark:
    """A mark of the axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Group:
    """Experiments of one verdict."""

    name: str
    title: str
    lines: tuple[Line, ...]
    total: int
    """All of them, drawn or not."""

    @property
    def heading(self) -> str:
        """The title, with how many there are."""
        shown = len(self.lines)
        return f"{self.title} ({self.total:,})" if shown == self.total else f"{self.title} ({shown} of {self.total:,})"


@dataclass(frozen=True)
class Forest:
    """The whole picture."""

    groups: tuple[Group, ...]
    ticks: tuple[AxisMark, ...]
    zero: float
    total: int
    """Experiments, drawn or not."""

    @property
    def drawn(self) -> int:
        """Experiments that have a line."""
        return sum(len(group.lines) for group in self.groups)

    @property
    def left_out(self) -> str:
        """How many have no line."""
        left = self.total - self.drawn
        return f"{left:,} more are not drawn: they matter less, or have no interval yet." if left else ""


def forest(arms: Iterable[ForestArm], totals: Mapping[str, int] | None = None, most: int = MOST) -> Forest | None:
    """The picture of the arms that matter; None where no arm has a lift and an interval.

    Args:
        arms: at least the `most` that matter of each group; those without a lift or an interval are not drawn.
        totals: experiments by group, where `arms` are not all of them.
        most: lines at most.
    """
    given = list(arms)
    counts = dict(totals) if totals is not None else _counts(given)
    chosen = _chosen([arm for arm in given if _is_drawable(arm)], most)
    if not chosen:
        return None
    low, high = _range([arm for of_group in chosen.values() for arm in of_group])
    groups = [
        Group(name, GROUPS.get(name, name), tuple(_line(arm, low, high) for arm in found), counts.get(name, len(found)))
        for name, found in chosen.items()
    ]
    ticks = tuple(AxisMark(_place(value, low, high), _signed(value)) for value in _round_values(low, high))
    return Forest(tuple(groups), ticks, _place(0.0, low, high), sum(counts.values()))


def _counts(arms: Sequence[ForestArm]) -> dict[str, int]:
    return {name: sum(arm.group == name for arm in arms) for name in {arm.group for arm in arms}}


def _is_drawable(arm: ForestArm) -> bool:
    return math.isfinite(arm.lift) and not math.isnan(arm.lower) and not math.isnan(arm.upper)


def _chosen(arms: Sequence[ForestArm], most: int) -> dict[str, list[ForestArm]]:
    """By group, in order: as many of each as there is room for, what a small one leaves is for the others."""
    order = [*GROUPS, *sorted({arm.group for arm in arms} - GROUPS.keys())]
    ranked = {name: sorted((a for a in arms if a.group == name), key=_rank) for name in order}
    shares = dict.fromkeys(order, 0)
    room = min(most, len(arms))
    while room > 0:
        for name in order:
            if shares[name] < len(ranked[name]) and room > 0:
                shares[name], room = shares[name] + 1, room - 1
    return {
        name: sorted(ranked[name][:share], key=lambda arm: (-arm.lift, arm.name))
        for name, share in shares.items()
        if share
    }


def _rank(arm: ForestArm) -> tuple[float, float, str]:
    """Small: matters. What is surely better comes first, of the rejected what is surely worse."""
    if arm.group == "rejected":
        return arm.upper, arm.lift, arm.name
    return -arm.lower, -arm.lift, arm.name


def _range(arms: Sequence[ForestArm]) -> tuple[float, float]:
    lifts = sorted(arm.lift for arm in arms)
    low = min(_quantile(sorted(arm.lower for arm in arms), CROWD), _quantile(lifts, OUTLIERS), -NARROWEST)
    high = max(_quantile(sorted(arm.upper for arm in arms), 1 - CROWD), _quantile(lifts, 1 - OUTLIERS), NARROWEST)
    low, high = max(low, LOWEST), min(high, HIGHEST)
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _quantile(values: Sequence[float], share: float) -> float:
    """One of the values, infinite ones too."""
    return values[round(share * (len(values) - 1))]


def _line(arm: ForestArm, low: float, high: float) -> Line:
    return Line(
        arm=arm,
        start=_place(arm.lower, low, high),
        at=_place(arm.lift, low, high),
        end=_place(arm.upper, low, high),
        is_cut_left=arm.lower < low,
        is_cut_right=arm.upper > high,
        is_outside=not low <= arm.lift <= high,
        said=f"{rate_text(arm.lift, 1, signed=True)} ({interval_text(arm.lower, arm.upper, unknown=NO_END)})",
    )


def _place(value: float, low: float, high: float) -> float:
    return round(SPAN * (min(max(value, low), high) - low) / (high - low), 1)


def _round_values(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round percentages in [low, high] as fractions, about as many as wanted."""
    rough = 100 * (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    return [number * step / 100 for number in range(math.ceil(100 * low / step), math.floor(100 * high / step) + 1)]


def _signed(value: float) -> str:
    return setting_text(round(100 * value, 6), signed=bool(value))
