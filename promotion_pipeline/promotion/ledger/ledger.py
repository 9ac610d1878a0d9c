"""The ledger: each promotion's promise and outcome, and what the programme's promises were worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.config import Evidence, MetricRole, parse_config
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.ledger.awaited import number_from
from promotion_pipeline.promotion.ledger.promise import Promise, promise_of
from promotion_pipeline.promotion.ledger.states import REASONS, RealisedSource, RealisedState, Unmeasurable
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.result import Measured, Result
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.statistics import calibration, critical_z, holds
from promotion_pipeline.store.database import Store


class LedgerEntry(Result):
    """One promotion: what it promised and what came; lifts are fractions, positive where the winner is better."""

    promotion_id: UUID
    experiment_name: str
    winner: str
    control: str
    promoted_at: datetime
    promotion_state: PromotionState
    metric: str | None = None
    """The primary metric: every lift here is of it; None: the record does not say."""
    goals: tuple[str, ...] = ()
    """Goals that carried the promotion in its place. What came of them is not measured here."""
    promised_lift: Measured = None
    """As measured at the decision: too large on average, because it won."""
    promised_lower: Measured = None
    promised_upper: Measured = None
    always_valid_lower: Measured = None
    always_valid_upper: Measured = None
    shrunken_lift: Measured = None
    """What was to be expected, by the fixed prior."""
    shrunken_lower: Measured = None
    shrunken_upper: Measured = None
    learned_lift: Measured = None
    """What was to be expected by the prior that the team's own past had taught; None: too little past."""
    state: RealisedState
    source: RealisedSource | None = None
    number_from: datetime | None = None
    """While nothing is known yet: from when there can be a number; None: none is awaited."""
    reason: Unmeasurable | None = None
    because: str | None = None
    """The reason in words."""
    as_of: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    realised_lift: Measured = None
    realised_lower: Measured = None
    realised_upper: Measured = None
    realised_error: Measured = None
    """Its standard error."""
    control_requests: int | None = None
    winner_requests: int | None = None
    analysis_unit: str | None = None
    held: bool | None = None
    """Whether what came lies where the shrunken promise said, both errors considered; None: not measured."""


class PromiseRecord(Result):
    """What one kind of promise was worth, over all promotions that were measured."""

    promise: str
    """`measured` (the lift as it won), `shrunken` (the fixed prior) or `learned` (the team's own past)."""
    promotions: int
    held: int
    held_share: Measured = None
    held_lower: Measured = None
    """Exact 95 % interval of the share."""
    held_upper: Measured = None
    promised_sum: Measured = None
    realised_sum: Measured = None
    came_true: Measured = None
    """realised / promised; a fraction."""
    came_true_error: Measured = None
    """Its standard error, from the measurement of what came."""


class Ledger(Result):
    """Every promotion, the newest first, and the programme as a whole."""

    entries: tuple[LedgerEntry, ...]
    measured: int
    measuring: int
    not_measurable: int
    programme: tuple[PromiseRecord, ...]


def read_ledger(experiment_name: str | None = None, *, store: Store | None = None) -> Ledger:
    """The ledger as it stands; nothing is measured by reading it.

    Args:
        experiment_name: only this experiment's promotions.
        store: the database; default that of the environment.

    Raises:
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        outcomes = {row["promotion_id"]: row for row in connection.execute("SELECT * FROM realised_lift")}
        whose, values = ("", []) if experiment_name is None else (" AND experiment_name = %s", [experiment_name])
        promotions = promotions_where(connection, f"state <> 'shadow'{whose}", values)
    return ledger_of([(promotion, outcomes.get(promotion.id)) for promotion in promotions])


def ledger_of(rows: Sequence[tuple[Promotion, dict[str, Any] | None]]) -> Ledger:
    """The ledger of promotions and their rows of `realised_lift`; pure."""
    known = [(promotion, promise_of(promotion), outcome) for promotion, outcome in rows]
    entries = tuple(_entry(*one) for one in known)
    states = [entry.state for entry in entries]
    return Ledger(
        entries=entries,
        measured=states.count(RealisedState.MEASURED),
        measuring=states.count(RealisedState.MEASURING),
        not_measurable=states.count(RealisedState.NOT_MEASURABLE),
        programme=_programme(
            [one for one in known if one[2] is not None and one[2]["state"] == RealisedState.MEASURED]
        ),
    )


_PROMISES: dict[str, Callable[[Promise], tuple[float | None, float | None]]] = {
    "measured": lambda promise: (promise.lift, promise.standard_error),
    "shrunken": lambda promise: (promise.shrunken, promise.shrunken_error),
    "learned": lambda promise: (promise.learned, promise.learned_error),
}


def _programme(known: Sequence[tuple[Promotion, Promise | None, dict[str, Any] | None]]) -> tuple[PromiseRecord, ...]:
    records = []
    for name, of in _PROMISES.items():
        pairs = [
            (*of(promise), outcome["lift"], outcome["standard_error"])
            for _, promise, outcome in known
            if promise and outcome
        ]
        columns = [
            [math.nan if value is None else float(value) for value in column] for column in zip(*pairs, strict=True)
        ]
        found = calibration(*(columns or [[], [], [], []]))
        if name == "learned" and not found.promises:
            continue
        share = found.held / found.promises if found.promises else math.nan
        numbers = {
            "held_share": share,
            "held_lower": found.held_lower,
            "held_upper": found.held_upper,
            "promised_sum": found.promised_sum,
            "realised_sum": found.realised_sum,
            "came_true": found.came_true,
            "came_true_error": found.came_true_error,
        }
        finite = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        records.append(PromiseRecord(promise=name, promotions=found.promises, held=found.held, **finite))
    return tuple(records)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _entry(promotion: Promotion, promise: Promise | None, outcome: dict[str, Any] | None) -> LedgerEntry:
    values: dict[str, Any] = {
        "promotion_id": promotion.id,
        "experiment_name": promotion.experiment_name,
        "winner": promotion.promoted_variant_name,
        "control": promotion.control_variant_name,
        "promoted_at": promotion.promoted_at.astimezone(UTC),
        "promotion_state": promotion.state,
        "state": RealisedState.MEASURING,
    }
    came = _came(promise, outcome)
    awaited = number_from(promotion, outcome) if promise is not None else None
    return LedgerEntry(**values | _measures(promotion) | _promised(promise) | came | {"number_from": awaited})


def _measures(promotion: Promotion) -> dict[str, Any]:
    """What the promise is of, by the thresholds that the promotion was decided with."""
    try:
        config = parse_config(promotion.config, source="recorded config")
    except PromotionError:
        return {}
    by_goals = config.evidence is not Evidence.FIXED_HORIZON and promotion.evidence != "contract"
    goals = tuple(one.name for one in config.metrics if by_goals and one.role is MetricRole.GOAL)
    return {"metric": config.primary_metric.value, "goals": goals}


def _promised(promise: Promise | None) -> dict[str, Any]:
    if promise is None:
        return {}
    found: dict[str, Any] = {
        "promised_lift": promise.lift,
        "promised_lower": promise.lower,
        "promised_upper": promise.upper,
        "always_valid_lower": promise.always_valid_lower,
        "always_valid_upper": promise.always_valid_upper,
        "shrunken_lift": promise.shrunken,
        "learned_lift": promise.learned,
    }
    if promise.shrunken is not None and promise.shrunken_error is not None:
        half = float(critical_z(0.05)) * promise.shrunken_error
        found |= {"shrunken_lower": promise.shrunken - half, "shrunken_upper": promise.shrunken + half}
    return found


def _came(promise: Promise | None, outcome: dict[str, Any] | None) -> dict[str, Any]:
    if outcome is None:
        return {}
    reason = None if outcome["reason"] is None else Unmeasurable(outcome["reason"])
    found: dict[str, Any] = {
        "state": RealisedState(outcome["state"]),
        "source": None if outcome["source"] is None else RealisedSource(outcome["source"]),
        "reason": reason,
        "because": None if reason is None else REASONS[reason],
        "realised_lift": outcome["lift"],
        "realised_lower": outcome["lift_lower"],
        "realised_upper": outcome["lift_upper"],
        "realised_error": outcome["standard_error"],
        **{name: outcome[name] for name in ("control_requests", "winner_requests", "analysis_unit")},
        **{
            name: None if outcome[name] is None else outcome[name].astimezone(UTC)
            for name in ("as_of", "since", "until")
        },
    }
    if found["state"] is RealisedState.MEASURED and promise is not None and promise.shrunken is not None:
        within = float(
            holds(promise.shrunken, promise.shrunken_error or math.nan, outcome["lift"], outcome["standard_error"])
        )
        found["held"] = None if math.isnan(within) else bool(within)
    return found


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
