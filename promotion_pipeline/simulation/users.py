"""Running totals of users, which the moments over users are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """The rows of each user, one after the other: where each user's begin, and how many there are."""

    start: Ints
    length: Ints

    @classmethod
    def of(cls, user: Ints) -> Runs:
        """Of rows in order of the user."""
        is_first = np.ones(len(user), dtype=bool)
        is_first[1:] = user[1:] != user[:-1]
        start = np.flatnonzero(is_first)
        return cls(start, np.diff(np.append(start, len(user))))

    def before(self, share: Floats) -> Floats:
        """Each user's total before each of its rows."""
        through = np.cumsum(share)
        through -= share
        # Taken off again user by user: what is left is exact for counts, and to rounding for money.
        through -= np.repeat(through[self.start], self.length)
        return through

    def is_first(self) -> Floats:
        """1 in each user's first row."""
        first = np.zeros(int(self.length.sum()))
        first[self.start] = 1.0
        return first
