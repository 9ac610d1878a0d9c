"""Where the hours begin, and how much a window of them is: what is to be known before a long run is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import sql

from promotion_pipeline.store.bulk import ids_filter, time_literal
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import age_text, count_text

_SQL = statements(__file__)

LARGE_HOURS = 1_000
"""A longer window says its size first, and its requests are summed up in steps of so many hours."""
ROWS_A_SECOND = 9_000
"""Rows that were read, judged and written in a second on two busy cores (432,000 in 50 s). It says whether a window
takes minutes or hours, no more."""


def first_hour(connection: Connection, earliest: datetime) -> datetime | None:
    """The hour in which the first experiment began, or of which the first sums are; None where there is neither.

    It never lies after the present hour, and never before `earliest`.
    """
    row = connection.execute(_SQL["first_hour"].format(earliest=time_literal(earliest))).fetchone()
    return None if row is None else row["hour"].astimezone(UTC)


@dataclass(frozen=True)
class WindowSize:
    """How much a window is."""

    hours: int
    experiments: int
    """That run in it."""
    decisions: int
    """Hours of experiments: each is judged once."""
    rows: int
    """That metrics, significance and decisions get."""

    @property
    def sentence(self) -> str:
        """The size, and how long it takes about."""
        seconds = self.rows / ROWS_A_SECOND
        return (
            f"{count_text(self.hours)} hours x {count_text(self.experiments)} experiments:"
            f" {count_text(self.decisions)} decisions, about {count_text(self.rows)} rows and"
            f" {age_text(seconds) if seconds >= 60 else 'a minute'} beside the reading of the requests. It goes in"
            " steps: one that is cut off goes on where it was when the same hours are started again"
        )


def tell_of_large(
    store: Store, start: datetime, end: datetime, ids: Sequence[str] | None, tell: Callable[[str], object]
) -> None:
    """Say how much a window of more than `LARGE_HOURS` is, before it begins; of a shorter one nothing is asked or said.

    Args:
        ids: of the experiments that are meant; None: all.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if end - start > LARGE_HOURS * HOUR:
        tell(window_size(store, start, end, ids).sentence)


def window_size(store: Store, start: datetime, end: datetime, ids: Sequence[str] | None = None) -> WindowSize:
    """How much the hours in [start, end) are.

    Args:
        ids: of the experiments that are meant; None: all.

    Raises:
        DependencyError: the database cannot be reached.
    """
    query = _SQL["window_size"].format(
        start=time_literal(start), end=time_literal(end), wanted=ids_filter(sql.SQL("experiment.id"), ids)
    )
    with store.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return WindowSize((end - start) // HOUR, row["experiments"], row["decisions"], row["rows"])


def steps(start: datetime, end: datetime, hours: int = LARGE_HOURS) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in windows of at most `hours`, in order."""
    while start < end:
        until = min(start + timedelta(hours=hours), end)
        yield start, until
        start = until
