"""What a promoted winner did since, asked of the log wherever it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pandas as pd

from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.watched import HourSeen
from promotion_pipeline.promotion.watch.rules import WINDOWS, Sums, Window
from promotion_pipeline.rollups.log import Span
from promotion_pipeline.rollups.opening import open_log
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.windows import HOUR

HOURS_SHOWN = 24

_IMPORTED = """
    SELECT r.variant_id::text AS variant_id, r.hour, sum(r.requests)::bigint AS requests,
        sum(r.errors)::bigint AS errors, sum(r.requests)::bigint AS matured_requests,
        sum(r.conversions)::bigint AS conversions, sum(r.latency_samples)::bigint AS latency_samples,
        sum(r.latency_ms_sum) AS latency_ms_sum, sum(r.latency_ms_sum_squares) AS latency_ms_sum_squares,
        sum(r.value_sum) AS value_sum, sum(r.value_sum_squares) AS value_sum_squares
    FROM hourly_variant_rollups r WHERE r.experiment_id = %s AND r.hour >= %s GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Observation:
    """What each variant did in each window of the watch, by variant id."""

    windows: dict[Window, dict[str, Sums]] = field(default_factory=dict)
    unreadable: str | None = None
    """Why the log could not be asked; None: it was."""
    quiet_hours: float = 1.0
    """Hours without a request after which the watch is blind; sums that are imported come in batches."""

    def of(self, window: Window, variant_id: object) -> Sums:
        """One variant in one window; zeros where it had no request."""
        return self.windows.get(window, {}).get(str(variant_id), Sums())


def observe(store: Store, promotions: Sequence[Promotion], at: datetime) -> dict[UUID, Observation]:
    """The sums since the current step of each promotion, and of the last hour and minutes of it.

    A log that cannot be read makes the observations that needed it `unreadable`, never empty.

    Raises:
        DependencyError: the product's own database is down.
    """
    if not promotions:
        return {}
    with store.connect() as connection:
        imported = _imported_ones(connection, promotions)
        seen = {p.id: _imported(connection, p, at) for p in promotions if p.experiment_id in imported}
    logged = [promotion for promotion in promotions if promotion.id not in seen]
    return seen | _logged(store, logged, at)


def hours_seen(store: Store, promotion: Promotion, at: datetime) -> tuple[HourSeen, ...]:
    """The winner in each hour since the promotion, at most the newest `HOURS_SHOWN`; the last one is not over.

    Raises:
        PromotionError: the log cannot be read.
    """
    first = max(promotion.promoted_at, at - (HOURS_SHOWN - 1) * HOUR)
    starts = pd.date_range(first.replace(minute=0, second=0, microsecond=0), at, freq="h").to_pydatetime()
    winner = str(promotion.promoted_variant_id)
    with store.connect() as connection:
        if promotion.experiment_id in _imported_ones(connection, [promotion]):
            rows = connection.execute(_IMPORTED, [promotion.experiment_id, starts[0]]).fetchall()
            return tuple(_hour(row["hour"], _sums(row)) for row in rows if row["variant_id"] == winner)
    # Each span is one hour, named by its start, so that its sums are found again in the answer.
    spans = [
        Span(start.isoformat(), promotion.experiment_id, max(start, promotion.promoted_at), min(start + HOUR, at))
        for start in starts
        if start < at
    ]
    with open_log(store) as log:
        found = {row["key"]: _sums(row) for row in _rows(log.sums(spans)) if str(row["variant_id"]) == winner}
    return tuple(_hour(start, found.get(start.isoformat(), Sums())) for start in starts if start < at)


def _hour(start: datetime, sums: Sums) -> HourSeen:
    def over(part: float | None, whole: float) -> float | None:
        return part / whole if part is not None and whole > 0 else None

    return HourSeen(
        hour=start,
        requests=int(sums.requests),
        error_rate=over(sums.errors, sums.requests),
        mean_latency_ms=over(sums.latency_ms_sum, sums.latency_samples),
        conversion_rate=over(sums.conversions, sums.matured_requests),
    )


def _logged(store: Store, promotions: Sequence[Promotion], at: datetime) -> dict[UUID, Observation]:
    """All in one question; one by one where that fails, so that one cannot make the watch blind for the others."""
    if not promotions:
        return {}
    try:
        return _asked(store, promotions, at)
    except PromotionError as error:
        if len(promotions) == 1:
            return {promotions[0].id: Observation(unreadable=" ".join(str(error).split()))}
    found: dict[UUID, Observation] = {}
    for promotion in promotions:
        found |= _logged(store, [promotion], at)
    return found


def _asked(store: Store, promotions: Sequence[Promotion], at: datetime) -> dict[UUID, Observation]:
    spans = [span for promotion in promotions for span in _spans(promotion, at)]
    seen = {promotion.id: Observation({window: {} for window in WINDOWS}) for promotion in promotions}
    with open_log(store) as log:
        rows = _rows(log.sums(spans))
    for row in rows:
        promotion_id, _, window = str(row["key"]).partition("/")
        windows, variant, sums = seen[UUID(promotion_id)].windows, str(row["variant_id"]), _sums(row)
        # The step's span comes in two rows, the last hour apart: added up they are the step, the newer one is `recent`.
        both: tuple[Window, ...] = ("step", "recent") if row["is_recent"] else ("step",)
        targets: tuple[Window, ...] = ("now",) if window == "now" else both
        for target in targets:
            before = windows[target].get(variant)
            windows[target][variant] = sums if before is None else before + sums
    return seen


def _spans(promotion: Promotion, at: datetime) -> Iterable[Span]:
    config = parse_config(promotion.config, source="recorded config")
    mature = at - timedelta(hours=config.attribution_window_hours)
    hour, minutes = WINDOWS["recent"].length, WINDOWS["now"].length
    assert hour is not None
    assert minutes is not None
    since, key = _watched_since(promotion, config, at), str(promotion.id)
    if since < at:
        yield Span(f"{key}/step", promotion.experiment_id, since, at, mature, at - hour)
        yield Span(f"{key}/now", promotion.experiment_id, max(since, at - minutes), at, mature)


def _watched_since(promotion: Promotion, config: PromotionConfig, at: datetime) -> datetime:
    """The step's start; of a holdback, which lasts for weeks, no more than the newest `watch_hours`."""
    since = promotion.step_started_at
    newest = at - timedelta(hours=max(config.watch_hours, HOURS_SHOWN))
    return max(since, newest) if promotion.is_held_back else since


def _imported_ones(connection: Connection, promotions: Sequence[Promotion]) -> set[UUID]:
    """The experiments whose sums are imported: no log has them."""
    rows = connection.execute(
        "SELECT id FROM ab_experiments WHERE id = ANY(%s) AND rollup_source = 'imported'",
        [[promotion.experiment_id for promotion in promotions]],
    )
    return {row["id"] for row in rows}


def _imported(connection: Connection, promotion: Promotion, at: datetime) -> Observation:
    """The stored hours since the step; the newest is the one that began less than two hours ago."""
    windows: dict[Window, dict[str, Sums]] = {window: {} for window in WINDOWS}
    for row in connection.execute(_IMPORTED, [promotion.experiment_id, promotion.step_started_at]):
        variant, sums = row["variant_id"], _sums(row)
        windows["step"][variant] = windows["step"].get(variant, Sums()) + sums
        if row["hour"] > at - 2 * HOUR:
            windows["recent"][variant] = windows["recent"].get(variant, Sums()) + sums
    return Observation(windows, quiet_hours=24.0)


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _sums(row: dict[Any, Any]) -> Sums:
    errors = row["errors"]
    known = {name: float(row[name] or 0) for name in vars(Sums()) if name != "errors"}
    return Sums(**known, errors=None if errors is None or pd.isna(errors) else float(errors))
