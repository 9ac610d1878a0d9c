"""Measuring what promotions brought: reads the log's sums since, writes `realised_lift`; changes no traffic."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import sql

from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.decisions.past_lifts import rollups_of
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.promotion.ledger.compared import combined, compared, has_broken_split
from promotion_pipeline.promotion.ledger.promise import promise_of
from promotion_pipeline.promotion.ledger.states import RealisedSource, RealisedState, Unmeasurable
from promotion_pipeline.promotion.ledger.stretches import MeasuredStretch, first_hour, is_over, stretches_of
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR

log = logging.getLogger(__name__)
_SQL = statements(__file__)

LOOK_EVERY = timedelta(hours=24)
"""A promotion that is being measured is looked at so often: its requests are read again for it."""
FEWEST_REQUESTS = 100
"""Of the smaller arm; with fewer nothing is said."""


@dataclass(frozen=True)
class Realised:
    """What came of one promotion, as far as is known; lifts are fractions."""

    promotion_id: UUID
    experiment_id: UUID
    state: RealisedState
    as_of: datetime
    reason: Unmeasurable | None = None
    source: RealisedSource | None = None
    since: datetime | None = None
    until: datetime | None = None
    lift: float | None = None
    lift_lower: float | None = None
    lift_upper: float | None = None
    standard_error: float | None = None
    control_requests: int | None = None
    winner_requests: int | None = None
    analysis_unit: str | None = None


def due_measurements(store: Store, *, every: timedelta = LOOK_EVERY) -> list[UUID]:
    """The promotions that `measure_realised` would look at now. Writes nothing.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        return list(_due(connection, every))


def measure_realised(store: Store, *, every: timedelta = LOOK_EVERY) -> tuple[Realised, ...]:
    """Look at each promotion whose outcome is not final and was not looked at for `every`; one evaluation for all.

    What counts of a promotion, the first that there is: the holdback; the ramp's steps with traffic on control; the
    hours of the experiment's own phase that the decision had not judged. Where its log cannot be read a promotion keeps
    what is known of it and is looked at again. It is final once the last of its requests had the attribution window and
    AUTO_PROMOTION_LOOKBACK_HOURS to arrive. Idempotent.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        looked = _due(connection, every)
        if not looked:
            return ()
        as_of = newest_complete_hour(connection).astimezone(UTC)
        promotions = promotions_where(connection, "id = ANY(%s)", [list(looked)])
        phases = _phases(connection, list(looked))
        logged = _ids(connection, _SQL["logged"], [promotion.experiment_id for promotion in promotions])
    asked = [_asked(promotion, phases.get(promotion.id, [])) for promotion in promotions]
    read = [one for one in asked if _read(store, one, looked[one.promotion.id], as_of, one.is_of(logged))]
    stretches = [stretch for one in read for stretch in one.stretches]
    with store.connect() as connection, database_errors():
        rollups = rollups_of(connection, sorted({stretch.phase_id for stretch in stretches}))
        lifts = compared(rollups, stretches, as_of)
        arms = [key for p in promotions for key in (p.promoted_variant_id, p.control_variant_id)]
        present = _ids(connection, _SQL["present"], arms)
        found = tuple(_realised(store, one, lifts, as_of, present) for one in read)
        with connection.transaction():
            for one in found:
                connection.execute(_SQL["keep"], vars(one))
    return found


@dataclass(frozen=True)
class _Measurement:
    """One promotion and the stretches that count."""

    promotion: Promotion
    stretches: tuple[MeasuredStretch, ...] = ()
    config: PromotionConfig | None = None
    """None: its record does not say."""

    def is_of(self, experiments: set[UUID]) -> bool:
        return self.promotion.experiment_id in experiments


def _due(connection: Connection, every: timedelta) -> dict[UUID, datetime | None]:
    """Promotion -> when it was looked at last."""
    looked_before = newest_complete_hour(connection) - every
    return {row["id"]: row["as_of"] for row in connection.execute(_SQL["due"], {"looked_before": looked_before})}


def _phases(connection: Connection, ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    rows = connection.execute(_SQL["phases"], {"ids": ids}).fetchall()
    return {key: list(of_one) for key, of_one in groupby(rows, key=lambda row: row["promotion_id"])}


def _ids(connection: Connection, query: sql.SQL, ids: list[UUID]) -> set[UUID]:
    return {row["id"] for row in connection.execute(query, {"ids": ids})}


def _asked(promotion: Promotion, phases: Sequence[Mapping[str, Any]]) -> _Measurement:
    if promise_of(promotion) is None or not promotion.snapshot.get("ramp"):
        return _Measurement(promotion)
    try:
        config = parse_config(promotion.config, source="recorded config")
    except PromotionError:
        return _Measurement(promotion)
    return _Measurement(promotion, stretches_of(promotion, phases, config), config)


def _read(store: Store, one: _Measurement, looked: datetime | None, as_of: datetime, is_logged: bool) -> bool:
    """Bring the stored sums of the stretches up to date: nobody else does, where no experiment runs any more."""
    late = timedelta(hours=store.settings.lookback_hours)
    try:
        for stretch in one.stretches if is_logged else ():
            start = first_hour(stretch)
            if looked is not None:
                start = max(start, looked - late)
            end = (
                as_of if stretch.until is None else min(as_of, first_hour(replace(stretch, since=stretch.until)) + HOUR)
            )
            if start < end:
                with open_log(store) as requests:
                    requests.roll_up(start, end, [str(one.promotion.experiment_id)])
    except DependencyError:
        # The log, or the database: whichever it is, the next query to the database tells.
        log.warning("what came of %s cannot be read now", one.promotion.experiment_name, exc_info=True)
        return False
    except PromotionError as error:
        log.warning("what came of %s cannot be read now: %s", one.promotion.experiment_name, error)
        return False
    return True


def _realised(
    store: Store, one: _Measurement, lifts: Mapping[str, Mapping[Any, Any]], as_of: datetime, present: set[UUID]
) -> Realised:
    promotion, config = one.promotion, one.config
    found = Realised(promotion.id, promotion.experiment_id, RealisedState.NOT_MEASURABLE, as_of)
    if config is None:
        return replace(found, reason=Unmeasurable.NOT_RECORDED)
    ends = [stretch.until for stretch in one.stretches if stretch.until is not None]
    own = [lifts[stretch.key] for stretch in one.stretches if stretch.key in lifts]
    found = replace(
        found,
        source=one.stretches[0].source if one.stretches else None,
        since=min((first_hour(stretch) for stretch in one.stretches), default=None),
        until=max(ends) if ends and len(ends) == len(one.stretches) else None,
        **combined(own, config.min_confidence_level),
    )
    waits = timedelta(hours=store.settings.lookback_hours + config.attribution_window_hours)
    settled = is_over(promotion, one.stretches) and as_of >= max(ends, default=promotion.promoted_at) + waits
    reason = _why_not(found, is_broken=has_broken_split(own))
    if {promotion.promoted_variant_id, promotion.control_variant_id} - present and reason is not None:
        return replace(found, reason=Unmeasurable.VARIANT_DELETED)
    if not settled:
        return replace(found, state=RealisedState.MEASURING)
    return replace(found, reason=reason) if reason is not None else replace(found, state=RealisedState.MEASURED)


def _why_not(found: Realised, *, is_broken: bool) -> Unmeasurable | None:
    """Why what was found is no answer; None: it is one."""
    if not found.control_requests:
        return Unmeasurable.NO_TRAFFIC_ON_CONTROL
    if min(found.control_requests, found.winner_requests or 0) < FEWEST_REQUESTS:
        return Unmeasurable.TOO_FEW_REQUESTS
    if is_broken:
        return Unmeasurable.BROKEN_SPLIT
    return Unmeasurable.NOT_COMPUTABLE if found.lift is None or found.standard_error is None else None
