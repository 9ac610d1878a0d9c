"""The newest hour decided as the hourly run decides it, and what the sensor then finds to do."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.unattended.pending import Pending
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.rollups.catching_up import roll_up
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR


def decide(store: Store, made_by: MadeBy = MadeBy.SCHEDULE) -> None:
    """Write the first decisions about the newest complete hour with what the hourly run calls."""
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    first = end - timedelta(hours=store.settings.lookback_hours)
    roll_up(store, first, end)
    catch_up(store, first)
    refresh_totals(store, end)
    evaluate_window(store, end - HOUR, end, made_by=made_by)


def names(pending: tuple[Pending, ...]) -> list[tuple[str, str, int]]:
    return [(p.kind.value, p.experiment_name, p.attempt) for p in pending]
