"""The phases that state metrics beside the primary one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.rollups.metrics.definitions import PhaseMetrics, fixed_metrics
from promotion_pipeline.store.bulk import ids_filter
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)


def phases_with_metrics(
    connection: psycopg.Connection[Any], experiment_ids: Sequence[str] | None = None
) -> tuple[PhaseMetrics, ...]:
    """Every phase with metrics that can be read, past ones too: an event may be late for them."""
    wanted = ids_filter(sql.SQL("phase.experiment_id"), experiment_ids)
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        rows = cursor.execute(_SQL["phases_with_metrics"].format(wanted=wanted)).fetchall()
    found = (
        PhaseMetrics(phase, experiment, name, start, end, fixed_metrics(fixed))
        for phase, experiment, name, start, end, fixed in rows
    )
    return tuple(phase for phase in found if phase.metrics)
