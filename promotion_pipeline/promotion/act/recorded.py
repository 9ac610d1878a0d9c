"""The decisions that were acted upon, kept as those of record of their hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.config import Mode, Settings
from promotion_pipeline.decisions.environment import Environment, environment_id, environments, keep_environment
from promotion_pipeline.decisions.frames import WriteResult, write_decisions
from promotion_pipeline.decisions.labels import RECORD, record_label
from promotion_pipeline.evaluation import Reason
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.judge.assess import Assessment, Judgement
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.store.arrays import us_of
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR


def write_decision_of_record(
    connection: Connection,
    assessment: Assessment,
    settings: Settings | None = None,
    made_by: MadeBy = MadeBy.AUTOMATION,
) -> None:
    """Keep the decision that was acted upon as the one of record, unless its hour has one.

    Not where what was in force at the as-of has been changed since: the hour is then decided on what it was.

    Args:
        settings: those that the decision was made with; kept for its hour.
        made_by: what acted.
    """
    assert assessment.decision is not None
    hour = assessment.as_of - HOUR
    if settings is not None:
        (layer,) = environments(connection, settings, hour, assessment.as_of)
        changed = connection.execute(
            "SELECT 1 FROM ab_experiment_history WHERE experiment_id = %s AND valid_from >= %s",
            [assessment.experiment.id, assessment.as_of],
        ).fetchone()
        if changed is not None or layer.id != environment_id(settings.thresholds):
            return
        if settings.mode is not Mode.SHADOW:
            keep_environment(connection, layer)
    known = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'eligibility_decisions'::regclass AND attnum > 0"
        " AND NOT attisdropped AND attname NOT IN ('label', 'decided_at', 'made_by')"
    )
    row = {name: assessment.decision[name] for name in (r["attname"] for r in known) if name in assessment.decision}
    row |= {"label": RECORD if settings is None else record_label(settings), "made_by": made_by.value}
    connection.execute(
        sql.SQL("INSERT INTO eligibility_decisions ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
            sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
        ),
        row,
    )


def record_decisions(store: Store, judged: Judgement) -> int:
    """Record what was decided about the newest complete hour, for every experiment that has no record of it.

    Not where what was in force at the hour's end has been changed since: that hour is to be decided on what it was.
    The thresholds must be those of the environment and of the experiments alone.

    Returns:
        Decisions that became the decision of record.

    Raises:
        DependencyError: the database is down.
    """
    if judged.decisions.empty:
        return 0
    hour, sums = judged.as_of - HOUR, judged.rollups.sums
    if not ((sums.hour_us == us_of(hour)) & (sums.sums["requests"] > 0)).any():
        # No request of the hour has landed yet. A later run decides it, when its data is there.
        return 0
    with store.connect() as connection, database_errors():
        (layer,) = environments(connection, store.settings, hour, judged.as_of)
        settled = _settled(connection, judged, record_label(store.settings))
    if layer.id != environment_id(store.settings.thresholds):
        return 0
    frame = judged.decisions
    begun = frame["reasons"].map(lambda codes: Reason.NOT_STARTED.value not in codes)
    frame = frame[begun & ~frame["experiment_id"].astype(str).isin(settled)]
    if frame.empty:
        return 0
    record = record_label(store.settings)
    return write_decisions(store, frame, made_by=MadeBy.SWEEP, record=record, within=_keeping(store, layer)).recorded


def _settled(connection: Connection, judged: Judgement, record: str) -> set[str]:
    """Experiments whose hour is decided already, or that were changed since it ended."""
    rows = connection.execute(
        "SELECT experiment_id::text AS id FROM eligibility_decisions WHERE hour = %s AND label = %s"
        " UNION SELECT experiment_id::text FROM ab_experiment_history WHERE valid_from >= %s",
        [judged.as_of - HOUR, record, judged.as_of],
    )
    return {row["id"] for row in rows}


def _keeping(store: Store, layer: Environment) -> Callable[[psycopg.Connection[Any], WriteResult], None]:
    def within(connection: psycopg.Connection[Any], written: WriteResult) -> None:
        if written.recorded and store.settings.mode is not Mode.SHADOW:
            keep_environment(connection, layer)

    return within
