"""What the property tests draw from: plausible arms, and every degenerate number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

DEGENERATE = (0.0, 1.0, -1.0, 0.5, 10.0, 1e12, 1e300, 1e-310, np.nan, np.inf, -np.inf)


class Arms(NamedTuple):
    """Conversions and requests of control and treatment, each rate strictly between 0 and 1."""

    x0: int
    n0: int
    x1: int
    n1: int


@st.composite
def arms(draw: st.DrawFn, *, largest: int = 1_000_000) -> Arms:
    n0, n1 = (draw(st.integers(10, largest)) for _ in range(2))
    return Arms(draw(st.integers(1, n0 - 1)), n0, draw(st.integers(1, n1 - 1)), n1)


def alphas(largest: float = 0.3) -> st.SearchStrategy[float]:
    return st.floats(1e-6, largest)
