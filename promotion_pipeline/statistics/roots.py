"""Bisection for the two places that need a root; scipy.optimize would add 0.4 s to every start of the program."""

from __future__ import annotations

from collections.abc import Callable


def decreasing_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a decreasing function that is positive at `low` and negative at `high` is 0, to the last bit."""
    while low < (middle := (low + high) / 2.0) < high:
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return middle
