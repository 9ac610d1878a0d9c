"""Splits: cents exact, sums exact, proportions kept."""

from __future__ import annotations

import doctest
import itertools
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.promotion.record import splits
from promotion_pipeline.promotion.record.splits import CENT, HUNDRED, as_text, from_text, steps_above, winner_takes


@st.composite
def split(draw: st.DrawFn) -> dict[str, Decimal]:
    """Two to six variants that share 100 percent in cents."""
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=5)))
    edges = [0, *cuts, 10_000]
    return {f"v{i}": Decimal(b - a) / 100 for i, (a, b) in enumerate(itertools.pairwise(edges))}


@given(split(), st.integers(1, 10_000))
def test_shares_sum_to_100_and_the_winner_gets_its_percent(before: dict[str, Decimal], cents: int) -> None:
    after = winner_takes(before, "v0", cents / 100, "v1")
    assert sum(after.values()) == HUNDRED
    assert after["v0"] == Decimal(cents) / 100
    assert all(share >= 0 and share == share.quantize(CENT) for share in after.values())
    assert after.keys() == before.keys()


@given(split(), st.integers(1, 9_999))
def test_the_others_keep_their_proportions_to_the_cent(before: dict[str, Decimal], cents: int) -> None:
    after = winner_takes(before, "v0", cents / 100, "v1")
    rest, whole = HUNDRED - after["v0"], HUNDRED - before["v0"]
    if whole == 0:
        assert after["v1"] == rest
        return
    for name in before.keys() - {"v0"}:
        assert abs(after[name] - rest * before[name] / whole) < CENT
        assert not (before[name] == 0 and after[name] != 0)


@given(split())
def test_text_keeps_every_cent(before: dict[str, Decimal]) -> None:
    assert from_text(as_text(before)) == before


def test_a_ramp_never_takes_traffic_from_the_winner() -> None:
    assert steps_above((10, 50, 75, 100), Decimal(50)) == (75, 100)
    assert steps_above((10, 100), Decimal(100)) == (100,)


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(splits).failed == 0
