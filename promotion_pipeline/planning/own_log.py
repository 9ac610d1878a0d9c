"""The users of an experiment's own log, wherever the log is: what `simulate --like` deals anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.arms import MOST_WITHOUT_USER
from promotion_pipeline.planning.own_metrics import log_with_metrics
from promotion_pipeline.promotion.record.experiments import Variant, experiments_named, thresholds_of, variants_of
from promotion_pipeline.rollups import Span, open_log
from promotion_pipeline.rollups.log import RequestLog
from promotion_pipeline.simulation import UserLog
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import rate_text

MOST_REQUESTS = 5_000_000
"""Of a log that is dealt anew; a longer one is cut to its newest whole days. About 200 bytes each at most."""
DAY = timedelta(days=1)
OF_METRICS = "its stated metrics are dealt with their users: what the hourly run has summed up, by user and hour"


@dataclass(frozen=True)
class OwnLog:
    """What is simulated like an experiment, and what of its log was not."""

    log: UserLog
    split: tuple[float, ...]
    """Declared percent of each variant, control first."""
    config: PromotionConfig
    """The thresholds that the experiment is judged with."""
    notes: tuple[str, ...]
    requests: int = 0
    """Of the stretch that is dealt anew."""
    requests_without_user: int = 0
    """Of these, left out."""

    def __post_init__(self) -> None:
        assert 0 <= self.requests_without_user <= self.requests


def own_log(store: Store, name: str, request: PromotionConfig | None = None) -> OwnLog:
    """The users of the newest phase of an experiment, out of the log that the hourly run reads.

    Raises:
        NotFoundError: no experiment is called so.
        InputError: it has no phase or no traffic yet, its sums are imported, or its log names no users.
        ConfigError: its thresholds, or the mapping of the log, are not valid.
        DependencyError: the database or the log cannot be reached.
    """
    with store.connect() as connection:
        (experiment,) = experiments_named(connection, [name])
        variants = variants_of(connection, experiment.id)
        end = newest_complete_hour(connection)
        begun = connection.execute(
            "SELECT id, started_at AS at, coalesce(ended_at, %(end)s) AS ended FROM ab_experiment_phases"
            " WHERE experiment_id = %(id)s AND is_running ORDER BY started_at DESC LIMIT 1",
            {"id": experiment.id, "end": end},
        ).fetchone()
    if experiment.rollup_source == "imported":
        raise InputError(f"{name} was imported as sums: its users are not known, so they cannot be dealt anew")
    if begun is None or len(variants) < 2:
        raise InputError(f"{name} has not started yet: there is no log to simulate like")
    start = begun["at"].replace(minute=0, second=0, microsecond=0)
    end = min(end, begun["ended"].replace(minute=0, second=0, microsecond=0) + HOUR)
    config = thresholds_of(store.settings, experiment, request).used
    if config.metrics:
        users = log_with_metrics(store, name, begun["id"], config.metrics, start, end)
        requests = _summed_up(store, begun["id"], end)
        return _own(users, variants, config, [OF_METRICS], requests)
    with open_log(store) as log:
        first, requests, notes = _newest_part(log, name, experiment.id, start, end)
        users = _read(log, experiment.id, first, end)
    return _own(users, variants, config, notes, requests)


def _own(
    users: UserLog, variants: Sequence[Variant], config: PromotionConfig, notes: list[str], requests: int
) -> OwnLog:
    # What came in between the two counts is no request without a user.
    known = int(users.adds["requests"].sum())
    left_out = max(requests - known, 0)
    share = left_out / requests if requests else 0.0
    if left_out:
        notes.append(f"{left_out:,} of {requests:,} requests name no user and are left out")
    if share > MOST_WITHOUT_USER:
        notes.append(
            f"under {rate_text(1.0 - MOST_WITHOUT_USER)} of the requests name a user, so that the experiment itself is"
            " judged by request: what is dealt here, and judged by user, is another experiment than that one"
        )
    split = tuple(float(variant.traffic) for variant in variants)
    return OwnLog(users, split, config, tuple(notes), known + left_out, left_out)


def _summed_up(store: Store, phase_id: UUID, end: datetime) -> int:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(requests), 0)::bigint AS requests FROM hourly_variant_rollups"
            " WHERE phase_id = %s AND hour < %s",
            [phase_id, end],
        ).fetchone()
    assert row is not None
    return int(row["requests"])


def _newest_part(
    log: RequestLog, name: str, experiment_id: UUID, start: datetime, end: datetime
) -> tuple[datetime, int, list[str]]:
    """From when on the log is read, the requests since, and what is said of it."""
    first = start
    while True:
        requests = log.counts([Span("all", experiment_id, first, end)])["all"] if first < end else 0
        if requests == 0:
            raise InputError(
                f"{name} has no requests in {log.name} yet: let it run for some days, or simulate by numbers"
            )
        if requests <= MOST_REQUESTS:
            break
        days = max(1, int((end - first) / DAY * MOST_REQUESTS / requests))
        if end - days * DAY <= first:
            raise InputError(
                f"{name} has {requests:,} requests a day, more than the {MOST_REQUESTS:,} that are dealt anew at a"
                " time; simulate by numbers"
            )
        first = end - days * DAY
    return (
        first,
        requests,
        [] if first == start else [f"only the newest {(end - first) / DAY:g} days: {requests:,} requests"],
    )


def _read(log: RequestLog, experiment_id: UUID, start: datetime, end: datetime) -> UserLog:
    """The log, a day at a time: the ids of a day are text, and become numbers before the next is read."""
    keys, hours = list[NDArray[np.uint64]](), list[NDArray[np.int64]]()
    sums: dict[str, list[NDArray[np.float64]]] = {"requests": [], "conversions": [], "value": []}
    first = start
    while first < end:
        rows = log.user_hours(experiment_id, first, min(first + DAY, end))
        # Two of some millions of users have the same number of 64 bits with a chance of one in a million.
        keys.append(pd.util.hash_array(rows["user_id"].to_numpy(dtype=object)))
        since = (rows["hour"] - pd.Timestamp(start)) // pd.Timedelta(hours=1)
        hours.append(since.to_numpy().astype(np.int64))
        for name, parts in sums.items():
            parts.append(rows[name].to_numpy(dtype=np.float64))
        first += DAY
    joined = {name: np.concatenate(parts) for name, parts in sums.items()}
    return UserLog.of(np.concatenate(keys), np.concatenate(hours), joined)
