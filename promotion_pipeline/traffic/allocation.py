"""Which users a split gives to which variant: 10,000 buckets, moved as little as a new split allows.

A user's bucket never changes (it is a hash of the flag and the user), so a user changes variant only where the list of
buckets does. Plain weights, one stretch a variant in a fixed order, shift every stretch behind one that grows, and so
move users between variants that both only shrink. A list that is kept does not: buckets go from a variant that shrinks
to one that grows, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, pairwise
from typing import TypeAlias

from promotion_pipeline.errors import InputError

BUCKETS = 10_000
"""A hundredth of a percent each: the finest split that `ab_variants.traffic_percentage` holds."""
BUCKETS_A_PERCENT = BUCKETS // 100


@dataclass(frozen=True)
class Stretch:
    """Neighbouring buckets of one variant."""

    variant: str
    width: int
    """Buckets, at least 1."""


Allocation: TypeAlias = tuple[Stretch, ...]
"""All buckets in their order; the widths sum to `BUCKETS`, and neighbours are of different variants."""


def widths_of(split: Mapping[str, Decimal]) -> dict[str, int]:
    """Buckets a variant, from percent.

    Raises:
        InputError: a share is negative, is finer than a hundredth of a percent, or the shares do not sum to 100.
    """
    widths = {}
    for variant, percent in split.items():
        exact = Decimal(percent) * BUCKETS_A_PERCENT
        if exact != exact.to_integral_value() or exact < 0:
            raise InputError(
                f"{variant} gets {percent} %: a share must be at least 0 and a whole number of hundredths of a percent"
            )
        widths[variant] = int(exact)
    if sum(widths.values()) != BUCKETS:
        raise InputError(f"the shares of {', '.join(split)} sum to {sum(split.values())} %, they must sum to 100")
    return widths


def first_allocation(split: Mapping[str, Decimal]) -> Allocation:
    """One stretch a variant, in the order of their names: where an experiment begins.

    Raises:
        InputError: the split is none (`widths_of`).
    """
    widths = widths_of(split)
    return tuple(Stretch(variant, widths[variant]) for variant in sorted(widths) if widths[variant])


def reallocated(current: Allocation, split: Mapping[str, Decimal]) -> Allocation:
    """`current` with as few buckets given away as the new split needs.

    A variant that shrinks gives its last buckets; those that grow take them in the order of their names. No bucket
    goes between two variants that both shrink or both grow. The way back is not computed: whoever goes back puts the
    very list of before in place again. O(stretches x variants).

    Raises:
        InputError: the split is none (`widths_of`).
    """
    widths = widths_of(split)
    held = shares(current)
    keeps = {variant: min(width, widths.get(variant, 0)) for variant, width in held.items()}
    misses = {variant: widths[variant] - held.get(variant, 0) for variant in sorted(widths)}
    pieces: list[Stretch] = []
    for stretch in current:
        stays = min(stretch.width, keeps[stretch.variant])
        keeps[stretch.variant] -= stays
        pieces.append(Stretch(stretch.variant, stays))
        pieces.extend(_handed_over(stretch.width - stays, misses))
    return merged(pieces)


def _handed_over(width: int, misses: dict[str, int]) -> list[Stretch]:
    """`width` buckets for those that miss some, the first first; what they miss is counted down."""
    given = []
    for variant in misses:
        taken = max(min(width, misses[variant]), 0)
        given.append(Stretch(variant, taken))
        misses[variant] -= taken
        width -= taken
    return given


def merged(stretches: Sequence[Stretch]) -> Allocation:
    """The same buckets with neighbours of one variant joined and empty stretches left out."""
    present = [stretch for stretch in stretches if stretch.width]
    groups = groupby(present, key=lambda stretch: stretch.variant)
    return tuple(Stretch(variant, sum(stretch.width for stretch in group)) for variant, group in groups)


def shares(allocation: Allocation) -> dict[str, int]:
    """Buckets a variant that has any."""
    widths: dict[str, int] = {}
    for stretch in allocation:
        widths[stretch.variant] = widths.get(stretch.variant, 0) + stretch.width
    return widths


def variant_of(allocation: Allocation, bucket: int) -> str:
    """Who has a bucket.

    Raises:
        InputError: there is no such bucket.
    """
    end = 0
    for stretch in allocation:
        end += stretch.width
        if 0 <= bucket < end:
            return stretch.variant
    raise InputError(f"bucket {bucket} is none of 0 to {BUCKETS - 1}")


def moved(before: Allocation, after: Allocation) -> dict[tuple[str, str], int]:
    """Buckets that change hands, by (from, to)."""
    moves: dict[tuple[str, str], int] = {}
    edges = sorted({0, *_ends(before), *_ends(after)})
    for start, end in pairwise(edges):
        pair = variant_of(before, start), variant_of(after, start)
        if pair[0] != pair[1]:
            moves[pair] = moves.get(pair, 0) + end - start
    return moves


def _ends(allocation: Allocation) -> list[int]:
    ends, end = [], 0
    for stretch in allocation:
        end += stretch.width
        ends.append(end)
    return ends
