"""The decisions that a sweep made, kept as those of record of their hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from promotion_pipeline.config import Mode
from promotion_pipeline.decisions.environment import Environment, environment_id, environments, keep_environment
from promotion_pipeline.decisions.frames import WriteResult, write_decisions
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.evaluation import Reason
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.judge.assess import Judgement
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR


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
    hour = judged.as_of - HOUR
    if not ((judged.rollups["hour"] == hour) & (judged.rollups["requests"] > 0)).any():
        # No request of the hour has landed: it is decided when its data is there.
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
