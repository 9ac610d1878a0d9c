"""Hours that are decided, decided again: because rows came late, or to see what other thresholds would change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from promotion_pipeline.config import Mode
from promotion_pipeline.decisions.blocks import Tell
from promotion_pipeline.decisions.comparison import LabelDiff, compare_labels
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.decisions.late import LateVerdict, forget_changes, late_changes
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR

log = logging.getLogger(__name__)


def redecide_late(
    store: Store, experiments: Sequence[str] = (), *, tell: Tell = log.warning
) -> tuple[LateVerdict, ...]:
    """Decide again, beside the record, every decided hour whose sums have changed since, and tell what flips.

    From the first changed hour of an experiment on, to its newest decision: each is about all hours before it. A
    deployment in shadow mode leaves this to a live one.

    Args:
        experiments: of these alone; empty: of all.

    Raises:
        DependencyError: the database cannot be reached.
    """
    found: list[LateVerdict] = []
    if store.settings.mode is Mode.SHADOW:
        return ()
    wanted = [change for change in late_changes(store) if not experiments or change.name in experiments]
    for _, same_day in groupby(wanted, key=lambda change: change.first_hour.astimezone(UTC).date()):
        changes = list(same_day)
        ids = [str(change.experiment_id) for change in changes]
        start = min(change.first_hour for change in changes)
        end = _newest_decided(store, ids)
        if end > start:
            names = [change.name for change in changes]
            tables = [Table.DECISIONS]
            found += evaluate_window(
                store, start, end, experiments=names, tables=tables, decided_only=True, tell=tell
            ).late
        forget_changes(store, changes)
    return tuple(found)


def what_if_diff(
    store: Store, label: str, start: datetime, end: datetime, experiments: Sequence[str] = ()
) -> LabelDiff | None:
    """What a what-if that was just stored changes of the record; None where there is nothing to compare.

    Raises as `compare_labels`.
    """
    try:
        return compare_labels(store, record_label(store.settings), label, start, end, experiments)
    except NotFoundError:
        return None


def _newest_decided(store: Store, ids: list[str]) -> datetime:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT max((SELECT max(hour) FROM eligibility_decisions WHERE experiment_id = wanted.id"
            " AND label = 'record')) AS hour FROM unnest(%s::uuid[]) AS wanted(id)",
            [ids],
        ).fetchone()
    assert row is not None
    hour: datetime = row["hour"]
    return hour + HOUR
