"""How old the newest request of every running experiment is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import require_hours

_SQL = statements(__file__)


@dataclass(frozen=True)
class Freshness:
    """How old one experiment's newest request was at an instant."""

    name: str
    newest_request_at: datetime | None
    staleness_hours: float
    """Since the newest request, or since the phase's start where there is none."""


def freshness(store: Store, at: datetime) -> list[Freshness]:
    """How stale every experiment was that was running at `at`, the stalest first; imported ones are left out.

    Raises:
        InputError: `at` is naive or not a whole hour.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, at)
    rows = store.rows(
        _SQL["freshness"],
        {"at": at},
    )
    return [Freshness(**row) for row in rows]
