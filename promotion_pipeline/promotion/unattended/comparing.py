"""Decided, served and observed, compared: every hour, by the asset, the sweep or a person's command.

The targets are asked first, all at once and bounded in time; then the log, in one question. An edit that is found is
written under the experiment's lock, as every act is, and told at once; it never waits for the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError, InputError, PromotionError
from promotion_pipeline.promotion.act.serving import start_clocks
from promotion_pipeline.promotion.record.transaction import database_errors, in_transaction, lock_experiment
from promotion_pipeline.rollups.log import RequestLog, Span
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.traffic.comparing import (
    Compared,
    TrafficFinding,
    is_comparison_due,
    keep_findings,
    read_compared,
)
from promotion_pipeline.traffic.deliveries import TrafficState, newest_delivery
from promotion_pipeline.traffic.found import LAG, lags, note_agreement, note_edit
from promotion_pipeline.traffic.observed import Observed, observed_of
from promotion_pipeline.traffic.reading import Question, Reading, read_targets
from promotion_pipeline.traffic.serving import read_flags
from promotion_pipeline.traffic.splits import TrafficSplit, traffic_splits
from promotion_pipeline.traffic.targets.registry import missing_settings

log = logging.getLogger(__name__)


def compare_traffic(store: Store) -> tuple[TrafficSplit, ...]:
    """Read every target back, ask the log who arrived where, write and tell what differs; the splits as they are then.

    It takes about a minute at most for the targets, whatever they do; one that cannot be read hinders no other.
    Idempotent, and safe to run twice at a time: each incident is told once.

    Raises:
        DependencyError: the product's database is down.
        ConfigError: the configuration of the log is wrong.
    """
    with store.connect() as connection, database_errors():
        found = read_compared(connection)
        refused = read_flags(connection).flags.refused
        at = database_now(connection).astimezone(UTC)
    readings = _readings(found, store.settings)
    for compared in found:
        reading = readings.get(compared.experiment.id)
        if reading is not None and reading.split is not None:
            _settle(store, compared, reading, at)
    with store.connect() as connection, database_errors():
        # As they are now: what was found to be in conflict is not held against the log as well.
        found = read_compared(connection)
    observed, unobserved = _observed(store, found, at)
    findings = [
        TrafficFinding(
            compared=one,
            reading=readings.get(one.experiment.id),
            read_at=at,
            observed=observed.get(one.experiment.id),
            unobserved=unobserved.get(one.experiment.id),
            refused=_refused(one, refused),
        )
        for one in found
    ]
    with store.connect() as connection, database_errors(), connection.transaction():
        keep_findings(connection, findings)
    with store.connect() as connection, database_errors():
        return tuple(split for split in traffic_splits(connection) if split.is_compared)


def compare_traffic_when_due(store: Store) -> tuple[TrafficSplit, ...]:
    """`compare_traffic` where the last time is an hour ago; empty where it is not.

    Raises:
        DependencyError: the product's database is down.
    """
    return compare_traffic(store) if is_comparison_due(store) else ()


def _readings(found: Sequence[Compared], settings: Settings) -> dict[UUID, Reading]:
    """What the targets say; those that a delivery is just being brought to are not asked."""
    questions, lacking = [], {}
    for one in found:
        wanted = one.wanted
        if not one.is_elsewhere or wanted is None or (one.delivery is not None and one.delivery.is_under_way):
            continue
        assert one.kind is not None
        missing = missing_settings(one.kind, settings)
        if missing is None:
            questions.append(Question(one.experiment, one.named(wanted)))
        elif one.read_at is None:
            # Where another process knows the target, what it read counts.
            lacking[one.experiment.id] = Reading(unread=f"set {missing} where this runs", needs_a_person=True)
    return lacking | read_targets(questions, settings)


def _settle(store: Store, compared: Compared, reading: Reading, at: datetime) -> None:
    """Write what a read-back says of the newest delivery, if that is news."""
    delivery = compared.delivery
    is_current = delivery is not None and delivery.wanted == compared.wanted
    stuck = delivery is not None and delivery.state in (TrafficState.CONFLICTED, TrafficState.FAILED)
    if reading.is_wanted and not (is_current and stuck):
        return
    if not reading.is_wanted and is_current and delivery is not None and delivery.state is TrafficState.FAILED:
        return
    if not reading.is_wanted and _is_early(compared, reading, at):
        return
    try:
        in_transaction(store, partial(_write, store, compared, reading))
    except DependencyError:
        raise
    except (PromotionError, psycopg.Error) as error:
        # It concerns one experiment, and is found again the next time.
        log.warning("what serves %s was compared, and not written: %s", compared.experiment.name, error)


def _is_early(compared: Compared, reading: Reading, at: datetime) -> bool:
    """Whether the split was decided just now: a copy that lags may answer, or the application sets it itself."""
    if compared.delivery is not None and lags(compared.delivery, reading, compared.experiment.names, at):
        return True
    is_delivered = compared.delivery is not None and compared.delivery.wanted == compared.wanted
    begun = compared.phase_started_at
    return not is_delivered and begun is not None and at - begun < LAG


def _write(store: Store, compared: Compared, reading: Reading, connection: Connection) -> None:
    """Under the lock, and only if nobody acted since the target was read."""
    context = lock_experiment(connection, store, compared.experiment.id)
    delivery = newest_delivery(connection, compared.experiment.id)
    seen = compared.delivery
    same = (None if delivery is None else delivery.id) == (None if seen is None else seen.id)
    if not same or {**context.split} != compared.decided or (delivery is not None and delivery.is_under_way):
        return
    if not reading.is_wanted:
        note_edit(connection, compared.experiment, delivery, compared.decided, reading)
    elif delivery is not None:
        note_agreement(connection, compared.experiment, delivery, start_clocks)


def _observed(store: Store, found: Sequence[Compared], at: datetime) -> tuple[dict[UUID, Observed], dict[UUID, str]]:
    """Who arrived where, by the log; and for whom it could not be asked, and why."""
    spans: dict[UUID, Span] = {}
    for one in found:
        since = one.observed_since(at)
        if since is not None:
            spans[one.experiment.id] = Span(str(one.experiment.id), one.experiment.id, since.astimezone(UTC), at)
    if not spans:
        return {}, {}
    variants = {one.experiment.id: list(one.experiment.names) for one in found}
    try:
        with open_log(store) as request_log:
            rows, unobserved = _arrivals(request_log, list(spans.values()))
    except PromotionError as error:
        return {}, dict.fromkeys(spans, " ".join(str(error).split()))
    return {
        key: observed_of(rows.get(span.key, ()), variants[key], span.since, span.until)
        for key, span in spans.items()
        if key not in unobserved
    }, unobserved


def _arrivals(
    request_log: RequestLog, spans: Sequence[Span]
) -> tuple[dict[str, list[Mapping[str, Any]]], dict[UUID, str]]:
    """In one question; in halves where the engine takes no question that long.

    Raises:
        PromotionError: the log cannot be asked at all.
    """
    try:
        frame = request_log.arrivals(spans)
    except InputError as error:
        if len(spans) == 1:
            return {}, {spans[0].experiment_id: " ".join(str(error).split())}
        middle = len(spans) // 2
        (first, wrong), (second, also) = _arrivals(request_log, spans[:middle]), _arrivals(request_log, spans[middle:])
        return {**first, **second}, {**wrong, **also}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in frame.to_dict("records"):
        found.setdefault(str(row["key"]), []).append({str(name): value for name, value in row.items()})
    return found, {}


def _refused(compared: Compared, refused: Mapping[str, str]) -> str | None:
    configured = compared.experiment.configured
    flag = configured.get("flag") if isinstance(configured, Mapping) else None
    return refused.get(str(flag)) if flag is not None and not compared.is_elsewhere else None
