"""The port for the log of the requests: what the hourly run, the watch, the ramp and the live check ask it.

    with open_log(store) as log:
        sums = log.sums([Span("checkout", experiment_id, since=step_started_at, until=now)])

An engine that cannot answer raises an error that names the log; an empty answer means that there are no requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pandas as pd

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.log_gaps import Unreadable
from promotion_pipeline.rollups.postgresql.unusable import Unusable
from promotion_pipeline.store.clock import require_utc

TABLE = "ai_requests"
SUMS_COLUMNS = (
    "key",
    "variant_id",
    "is_recent",
    "requests",
    "errors",
    "matured_requests",
    "conversions",
    "latency_samples",
    "latency_ms_sum",
    "latency_ms_sum_squares",
    "value_sum",
    "value_sum_squares",
)
"""Columns of `RequestLog.sums`; `errors` is null where the log does not say which requests failed."""
ARRIVALS_COLUMNS = ("key", "variant_id", "requests", "user_requests", "users")
"""Columns of `RequestLog.arrivals`: requests, those of them that name a user, and the users that these name."""


@dataclass(frozen=True)
class Span:
    """What is asked about one experiment: its requests in [since, until)."""

    key: str
    """The asker's own name for the answer; no two spans of a question have the same."""
    experiment_id: UUID
    since: datetime
    until: datetime
    mature_before: datetime | None = None
    """Conversions and values of requests from here on are not counted (attribution window); None: all are counted."""
    recent_since: datetime | None = None
    """Requests from here on are `is_recent`; None: none is."""

    def __post_init__(self) -> None:
        for name in ("since", "until", "mature_before", "recent_since"):
            if (at := getattr(self, name)) is not None:
                require_utc(at, f"{name} of span {self.key!r}")


@dataclass(frozen=True)
class RollupResult:
    """What a rollup of a window did."""

    rows: int
    """Rollup rows that the window has now."""
    requests: int
    """Requests of the source in the window."""
    unassigned_requests: int
    """Those of no known variant, of an imported experiment, or of before their experiment's first phase."""
    changed_rows: int
    """Rollup rows that were added, changed or removed."""
    kept_rows: int = 0
    """Rollup rows that stay as they were counted, although the log has lost their requests."""
    unusable: tuple[Unusable, ...] = ()
    """Numbers of the product's own table that were left out of the sums."""
    told: tuple[str, ...] = ()
    """What people should know of metrics and their events, a sentence each."""


def added_up(parts: Sequence[RollupResult]) -> RollupResult:
    """What several rollups did together."""
    return RollupResult(
        rows=sum(part.rows for part in parts),
        requests=sum(part.requests for part in parts),
        unassigned_requests=sum(part.unassigned_requests for part in parts),
        changed_rows=sum(part.changed_rows for part in parts),
        kept_rows=sum(part.kept_rows for part in parts),
        unusable=tuple(found for part in parts for found in part.unusable),
        told=tuple(dict.fromkeys(said for part in parts for said in part.told)),
    )


class RequestLog(ABC):
    """The requests, wherever they are.

    Every method raises ConfigError (the mapping of the log does not fit it), DependencyError (the log cannot be
    reached or refuses the question) or InputError (there is no such table or file); the message names the log.
    """

    name: str
    """For messages: `ai_requests`, or `requests/*.parquet (duckdb)`."""

    @abstractmethod
    def roll_up(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> RollupResult:
        """Bring the stored rollups of [start, end) in line with the log, and mark its hours as rolled up.

        Args:
            experiment_ids: only the rollups of these; no hour is marked then.

        Raises:
            InputError: the window is naive, not of whole hours, or ends after the newest complete hour, or an id is no
                UUID.
        """

    @abstractmethod
    def rollups(self, start: datetime, end: datetime, experiment_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """The sums of [start, end) by (hour, experiment, phase, variant), columns ROLLUP_COLUMNS; nothing is written.

        Requests of no known variant or phase are left out, and so are imported experiments. User-level sums are
        increments against the log as it is now; of `ai_requests` they are 0, and `store.live` makes them.

        Raises:
            InputError: the window is naive or not of whole hours, or an id is no UUID.
        """

    @abstractmethod
    def sums(self, spans: Sequence[Span]) -> pd.DataFrame:
        """The sums of each span by variant, columns SUMS_COLUMNS: two rows a variant where a part of it is recent.

        Latencies that are negative or no finite number, and values that are none, are no samples. A variant without
        requests has no row. The sums of imported experiments are those of their stored hours that lie in the span.
        """

    @abstractmethod
    def counts(self, spans: Sequence[Span]) -> dict[str, int]:
        """The number of requests of known variants in each span, by its key; 0 where there is none."""

    @abstractmethod
    def arrivals(self, spans: Sequence[Span]) -> pd.DataFrame:
        """Who arrived in each span by variant, columns ARRIVALS_COLUMNS: what the split looks like in the log.

        A user counts once in each variant that served them in the span; where the log names no users, or they are not
        asked for, there are none. A variant without requests has no row. Of imported experiments the requests of
        stored hours that lie in the span are counted, and no users.
        """

    @abstractmethod
    def requests_by_hour(self, start: datetime, end: datetime) -> pd.Series[int]:
        """The number of requests in each hour of [start, end) that has any, of whatever experiment.

        Raises:
            InputError: the window is naive or not of whole hours.
        """

    @abstractmethod
    def user_hours(self, experiment_id: UUID, start: datetime, end: datetime) -> pd.DataFrame:
        """What each known user of an experiment did in each hour of [start, end), whichever variant served it.

        Columns user_id, hour, requests, conversions and value (the sum); no row where a user made no request. Requests
        without a user are left out. An imported experiment has no rows.

        Raises:
            InputError: the log names no users, or the window is naive or not of whole hours.
        """

    def unreadable(self, start: datetime, end: datetime) -> Sequence[Unreadable]:  # noqa: ARG002
        """The parts of the log that may hold requests of [start, end) and cannot be read: no answer has them."""
        return ()

    @abstractmethod
    def ends(self) -> tuple[datetime, datetime] | None:
        """The times of the oldest and of the newest row of the log, of whatever experiment; None if it has none.

        Rows of before 1970, and of more than an hour from now, say nothing about what has landed: they are passed over.
        """

    def newest_request(self) -> datetime | None:
        """The time of the newest row of the log, of whatever experiment; None if it has none."""
        found = self.ends()
        return None if found is None else found[1]

    def rows_estimate(self) -> int | None:
        """About how many rows the log has, where something keeps count; None: it would have to be read."""
        return None

    @abstractmethod
    def columns(self) -> dict[str, str | None]:
        """The log's column for each of ours: None where it has none; "never" where no request can be an error."""

    def files_of(self, start: datetime, end: datetime) -> list[str] | None:  # noqa: ARG002
        """The files that may hold requests of [start, end); None: the log is no files, or they cannot be looked at."""
        return None


def require_distinct(spans: Sequence[Span]) -> None:
    """Refuse a question whose answers could not be told apart.

    Raises:
        InputError: two spans have the same key.
    """
    keys = [span.key for span in spans]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"two spans are called {twice!r}: give each a key of its own")
