"""What the log shows of a split, and whether that is the split that is decided. Pure.

The question is asked every hour of every experiment, for good, about the newest day: so it takes both a difference that
chance does not explain (at 1e-6 about one false alarm a year among a thousand experiments) and one that matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from promotion_pipeline.statistics import srm_chi_square
from promotion_pipeline.text.numbers import count_text, p_sentence, split_text

WINDOW = timedelta(hours=24)
"""What is looked at is at most that old: what changed an hour ago must not drown in a month of before."""
SETTLES = timedelta(minutes=10)
"""Applications that ask now and then, and requests under way, serve the split of before for a while."""
ALPHA = 1e-6
FEWEST_UNITS = 100


class ObservedUnit(StrEnum):
    """What is counted."""

    USERS = "users"
    """Who is assigned: most requests name a user."""
    REQUESTS = "requests"
    """Most requests name no user."""


LEAST_DEVIATION = {ObservedUnit.USERS: Decimal(1), ObservedUnit.REQUESTS: Decimal(5)}
"""Percentage points that matter. Requests of one user go together, so their shares stray further."""


@dataclass(frozen=True)
class Observed:
    """Who arrived where, in one span."""

    unit: ObservedUnit
    counts: Mapping[str, int]
    """Units by variant id; a variant that nobody came to has 0."""
    since: datetime
    until: datetime

    @property
    def total(self) -> int:
        """All units."""
        return sum(self.counts.values())

    @property
    def shares(self) -> dict[str, Decimal] | None:
        """Percent by variant id, two digits; None: nobody came."""
        total = self.total
        if not total:
            return None
        return {key: round(Decimal(100 * count) / total, 2) for key, count in self.counts.items()}

    def p_value(self, decided: Mapping[str, Decimal]) -> float | None:
        """Chi-square against the decided split; None: nothing can be tested."""
        shares = [float(decided.get(key, Decimal(0))) for key in self.counts]
        if sum(share > 0 for share in shares) == 1 and not self._stray(decided):
            # All go to one variant, and all came there.
            return 1.0 if self.total else None
        p_value = float(srm_chi_square([float(count) for count in self.counts.values()], shares).p_value)
        return None if p_value != p_value else p_value

    def difference(self, decided: Mapping[str, Decimal], names: Mapping[str, str]) -> str | None:
        """What is wrong, in words; None: it is the decided split, or too little came to say."""
        p_value, shares = self.p_value(decided), self.shares
        if p_value is None or shares is None or self.total < FEWEST_UNITS or p_value >= ALPHA:
            return None
        if max(abs(shares[key] - decided.get(key, Decimal(0))) for key in shares) < LEAST_DEVIATION[self.unit]:
            return None
        seen = split_text(dict(sorted((names.get(key, key), share) for key, share in shares.items())))
        return (
            f"the log shows {seen} of {count_text(self.total)} {self.unit.value}"
            f"{'' if p_value == 0 else f' ({p_sentence(p_value)})'}"
        )

    def _stray(self, decided: Mapping[str, Decimal]) -> bool:
        return any(count for key, count in self.counts.items() if not decided.get(key, Decimal(0)))


def observed_of(
    rows: Sequence[Mapping[str, Any]], variants: Sequence[str], since: datetime, until: datetime
) -> Observed:
    """The units of one span, from its rows of `RequestLog.arrivals`: users where most requests name one."""
    requests = sum(int(row["requests"]) for row in rows)
    unit = (
        ObservedUnit.USERS if 2 * sum(int(row["user_requests"]) for row in rows) > requests else ObservedUnit.REQUESTS
    )
    counts = {str(row["variant_id"]): int(row[unit.value]) for row in rows}
    return Observed(unit, {key: counts.get(key, 0) for key in variants}, since, until)
