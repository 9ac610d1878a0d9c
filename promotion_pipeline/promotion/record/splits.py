"""Arithmetic of traffic splits in exact cents of a percent; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

HUNDRED = Decimal("100.00")
CENT = Decimal("0.01")

Split = dict[str, Decimal]
"""Variant id -> percent of traffic, two decimals."""


def winner_takes(
    before: Mapping[str, Decimal], winner: str, percent: float, fallback: str, unit: Decimal = CENT
) -> Split:
    """The split that gives `winner` this percent and the rest to the others as they shared it before.

    Units that do not divide go to the largest remainders (ties: the smaller id), so the sum is exactly 100.
    `unit` is what the others' shares are multiples of: where whole percents are kept, one.
    If the others had nothing before, `fallback` (control) gets the rest.

        >>> split = winner_takes({"a": Decimal(40), "b": Decimal(40), "c": Decimal(20)}, "c", 75, "a")
        >>> {name: str(share) for name, share in sorted(split.items())}
        {'a': '12.50', 'b': '12.50', 'c': '75.00'}
    """
    share = Decimal(str(percent)).quantize(CENT)
    others = {name: before[name] for name in sorted(before) if name != winner}
    split = {winner: share} | _shared_out(HUNDRED - share, others, fallback, unit)
    return {name: split[name] for name in before}


def _shared_out(total: Decimal, weights: Mapping[str, Decimal], fallback: str, unit: Decimal) -> Split:
    """`total` in the proportion of `weights`, in whole units that sum to it as far as it is of whole units."""
    whole = sum(weights.values(), Decimal(0))
    if whole == 0:
        return {name: total if name == fallback else Decimal("0.00") for name in weights}
    exact = {name: total * weight / whole for name, weight in weights.items()}
    shares = {name: (value // unit * unit).quantize(CENT) for name, value in exact.items()}
    missing = int((total - sum(shares.values(), Decimal(0))) / unit)
    for name in sorted(exact, key=lambda name: (shares[name] - exact[name], name))[:missing]:
        shares[name] += unit
    return shares


def steps_above(steps: tuple[float, ...], share: Decimal) -> tuple[float, ...]:
    """The ramp steps that give the winner more than it has; the last one always stays.

    >>> steps_above((25, 75, 100), Decimal(50))
    (75, 100)
    """
    return tuple(step for step in steps if Decimal(str(step)) > share) or steps[-1:]


@dataclass(frozen=True)
class Step:
    """One stretch of a promotion's way to all traffic."""

    percent: float
    """Of the traffic, that the winner gets."""
    is_holdback: bool = False
    """Control alone keeps the rest, so that the winner can be measured against it."""


def steps_of(ramp_steps: tuple[float, ...], share: Decimal, holdback_percent: float) -> tuple[Step, ...]:
    """The steps of a winner that has `share` percent: the ramp, the holdback, all traffic.

    Ramp steps that would leave the others no more than the holdback leaves control are left out. A winner that has
    more than the holdback would leave it keeps what it has; one that has everything leaves nothing to hold back.

    >>> [int(step.percent) for step in steps_of((75, 98, 100), Decimal(50), 5)]
    [75, 95, 100]
    """
    steps = tuple(Step(percent) for percent in steps_above(ramp_steps, share))
    kept = max(HUNDRED - Decimal(str(holdback_percent)).quantize(CENT), share)
    if kept == HUNDRED:
        return steps
    before = tuple(step for step in steps if Decimal(str(step.percent)) < kept)
    return (*before, Step(float(kept), is_holdback=True), Step(100.0))


def held_back(before: Mapping[str, Decimal], winner: str, control: str, percent: float) -> Split:
    """The split of a holdback: the winner has `percent`, control the rest, every other variant nothing."""
    share = Decimal(str(percent)).quantize(CENT)
    given = {winner: share, control: HUNDRED - share}
    return {name: given.get(name, Decimal("0.00")) for name in before}


def as_text(split: Mapping[str, Decimal]) -> dict[str, str]:
    """The split as JSON keeps it: cents exact, no binary fraction."""
    return {name: str(share.quantize(CENT)) for name, share in split.items()}


def from_text(split: Mapping[str, str]) -> Split:
    """The inverse of `as_text`."""
    return {name: Decimal(share) for name, share in split.items()}


def split_before(snapshot: dict[str, Any]) -> Split:
    """The split to restore."""
    return from_text(snapshot["split_before"])


def is_holdback(snapshot: Mapping[str, Any], step: int) -> bool:
    """Whether a step is the holdback."""
    return bool(snapshot["ramp"][step].get("is_holdback", False))


def split_of_step(snapshot: dict[str, Any], step: int) -> Split:
    """The split that a ramp step set."""
    return from_text(snapshot["ramp"][step]["split"])
