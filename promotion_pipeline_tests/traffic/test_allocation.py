"""Who gets which variant when a split changes: as few users move as must, and none between two losers."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.errors import InputError
from promotion_pipeline.traffic.allocation import (
    BUCKETS,
    Allocation,
    Stretch,
    first_allocation,
    moved,
    reallocated,
    shares,
    variant_of,
    widths_of,
)


@st.composite
def walks_of_splits(draw: st.DrawFn) -> list[dict[str, Decimal]]:
    """Splits of 2 to 20 variants, one after the other; a share may be 0."""
    variants = [f"v{number:02}" for number in range(draw(st.integers(2, 20)))]
    return [_split(draw, variants) for _ in range(draw(st.integers(2, 6)))]


def _split(draw: st.DrawFn, variants: list[str]) -> dict[str, Decimal]:
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=len(variants) - 1, max_size=len(variants) - 1)))
    edges = [0, *cuts, BUCKETS]
    return {name: Decimal(end - start) / 100 for name, start, end in zip(variants, edges, edges[1:], strict=False)}


def allocations(walk: list[dict[str, Decimal]]) -> list[Allocation]:
    found = [first_allocation(walk[0])]
    for split in walk[1:]:
        found.append(reallocated(found[-1], split))
    return found


@given(walks_of_splits())
def test_every_allocation_has_the_shares_of_its_split(walk: list[dict[str, Decimal]]) -> None:
    for split, allocation in zip(walk, allocations(walk), strict=True):
        assert shares(allocation) == {name: width for name, width in widths_of(split).items() if width}


@given(walks_of_splits())
def test_buckets_go_only_from_a_variant_that_shrinks_to_one_that_grows(walk: list[dict[str, Decimal]]) -> None:
    steps = allocations(walk)
    for (was, now), (before, after) in zip(pairwise(walk), pairwise(steps), strict=True):
        for giver, taker in moved(before, after):
            assert now[giver] < was[giver]
            assert now[taker] > was[taker]


@given(walks_of_splits())
def test_as_few_buckets_move_as_the_splits_differ(walk: list[dict[str, Decimal]]) -> None:
    steps = allocations(walk)
    for (was, now), (before, after) in zip(pairwise(walk), pairwise(steps), strict=True):
        must = sum(max(widths_of(now)[name] - widths_of(was)[name], 0) for name in was)
        assert sum(moved(before, after).values()) == must


def test_a_ramp_of_one_of_three_moves_nobody_between_the_losers() -> None:
    third = {"a": Decimal(33), "b": Decimal(33), "c": Decimal(34)}
    start = first_allocation(third)
    ramped = reallocated(start, {"a": Decimal(15), "b": Decimal(70), "c": Decimal(15)})
    assert moved(start, ramped) == {("a", "b"): 1800, ("c", "b"): 1900}


def test_a_variant_that_joins_takes_buckets_from_those_that_shrink() -> None:
    start = first_allocation({"a": Decimal(50), "b": Decimal(50)})
    joined = reallocated(start, {"a": Decimal(40), "b": Decimal(50), "c": Decimal(10)})
    assert joined == (Stretch("a", 4000), Stretch("c", 1000), Stretch("b", 5000))


def test_a_variant_that_leaves_gives_all_its_buckets() -> None:
    start = first_allocation({"a": Decimal(50), "b": Decimal(30), "c": Decimal(20)})
    assert moved(start, reallocated(start, {"a": Decimal(80), "c": Decimal(20)})) == {("b", "a"): 3000}


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (
            {"a": Decimal("33.333"), "b": Decimal("66.667")},
            "a gets 33.333 %: a share must be",
        ),
        ({"a": Decimal(-10), "b": Decimal(110)}, "a gets -10 %: a share must be at least 0"),
        ({"a": Decimal(50), "b": Decimal(40)}, "the shares of a, b sum to 90 %, they must sum to 100"),
    ],
)
def test_what_is_no_split_is_refused(split: dict[str, Decimal], said: str) -> None:
    with pytest.raises(InputError, match=said):
        first_allocation(split)


def test_a_bucket_beyond_the_last_is_refused() -> None:
    with pytest.raises(InputError, match="bucket 10000 is none of 0 to 9999"):
        variant_of(first_allocation({"a": Decimal(100)}), BUCKETS)
