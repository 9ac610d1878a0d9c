"""The watch after a promotion: look at the winner, alert on a breach, roll back where that is on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

import psycopg

from promotion_pipeline.errors import ConflictError, DependencyError, PromotionError
from promotion_pipeline.promotion.act.payload import SplitDriftPayload, WatchBlindPayload, WatchBreachPayload
from promotion_pipeline.promotion.act.rollback import RollbackOrder, RollbackTarget, roll_back
from promotion_pipeline.promotion.act.serving import deliver_due
from promotion_pipeline.promotion.record.events import Action, Event
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import live_promotion
from promotion_pipeline.promotion.record.transaction import ActContext, database_errors, in_transaction, lock_experiment
from promotion_pipeline.promotion.record.watched import HourSeen, command
from promotion_pipeline.promotion.watch.drift import drift_in
from promotion_pipeline.promotion.watch.due import (
    Due,
    blind_since,
    due,
    is_open,
    over_since,
    rolls_back,
    unacknowledged,
)
from promotion_pipeline.promotion.watch.look import Look, breach_message, look
from promotion_pipeline.promotion.watch.observing import hours_seen
from promotion_pipeline.promotion.watch.rules import WatchCheck, WatchStatus
from promotion_pipeline.promotion.watch.state import keep
from promotion_pipeline.store.database import Connection, Store


class WatchAction(StrEnum):
    """What the watch did about what it found."""

    NONE = "none"
    """Nothing to do."""
    ALERTED = "alerted"
    """People are told."""
    ALERTED_BEFORE = "alerted_before"
    """The same was told before."""
    ROLLED_BACK = "rolled_back"
    """The promotion was rolled back."""


@dataclass(frozen=True)
class WatchResult:
    """One watched promotion."""

    promotion_id: UUID
    experiment_name: str
    winner: str
    state: str
    status: WatchStatus
    action: WatchAction
    checks: tuple[WatchCheck, ...]
    requests: int
    """Of the winner, since the current step."""
    message: str
    due: tuple[str, ...] = ()
    """What was to be done about it."""
    is_blind: bool = False
    """Nothing of the winner could be seen."""
    has_drifted: bool = False
    """Somebody else changed the split since."""
    has_open_breach: bool = False
    """A breach was raised, now or before, that nobody dealt with."""

    is_unreadable: bool = False
    """The log could not be read."""

    @property
    def is_harmed(self) -> bool:
        """Worse than it was, not rolled back and not acknowledged."""
        return self.has_open_breach and self.action is not WatchAction.ROLLED_BACK

    def to_json(self) -> dict[str, Any]:
        """JSON values by camelCase names."""
        return {
            "promotionId": str(self.promotion_id),
            "experimentName": self.experiment_name,
            "winner": self.winner,
            "state": self.state,
            "status": self.status.value,
            "action": self.action.value,
            "requests": self.requests,
            "message": self.message,
            "isBlind": self.is_blind,
            "hasDrifted": self.has_drifted,
            "checks": [asdict(check) for check in self.checks],
        }


def watch_promotions(store: Store, *, actor: str = "promotion_watch") -> tuple[WatchResult, ...]:
    """Look at every live promotion that is watched, has drifted or has something open, and do what is due about it.

    A breach is one alert, whatever metrics it has; where the promotion's `auto_rollback` is on all traffic goes to
    control, because the split of before would leave users on the broken variant. In shadow mode people are only
    told, since no traffic changes; AUTO_PROMOTION_ENABLED makes no difference: it is about promotions. Idempotent.

    Raises:
        DependencyError: the product's database is down. (A log that is down makes promotions blind, which is told.)
    """
    found = tuple(_watch(store, one, actor) for one in look(store))
    # Last, so that a target that hangs delays no look, and what the watch rolled back is on its way at once.
    deliver_due(store)
    return found


def watches_due(store: Store) -> tuple[tuple[Look, ...], tuple[Look, ...]]:
    """What is looked at, and those of it that `watch_promotions` would do something about. Writes nothing.

    Raises:
        DependencyError: the product's database is down.
    """
    looks = look(store)
    return looks, tuple(one for one in looks if due(one, store.settings.mode))


def _watch(store: Store, seen: Look, actor: str) -> WatchResult:
    promotion, what = seen.promotion, due(seen, store.settings.mode)
    action, message = WatchAction.NONE, f"{seen.drift}; {seen.message}" if seen.drift else seen.message
    if seen.breaches or seen.drift:
        action = WatchAction.ALERTED_BEFORE
    try:
        hours = _hours(store, seen, what)
        if what:
            action, note = in_transaction(store, partial(_act, store, seen, what, hours, actor))
            message += note
        else:
            with store.connect() as connection:
                keep(connection, promotion.id, _seen(seen))
    except DependencyError:
        raise
    except (PromotionError, psycopg.Error) as error:
        # Only this promotion could not be dealt with; the loop goes on to the others.
        message += f" (nothing could be done: {' '.join(str(error).split())})"
    return WatchResult(
        promotion_id=promotion.id,
        experiment_name=promotion.experiment_name,
        winner=promotion.promoted_variant_name,
        state=promotion.state.value,
        status=seen.status,
        action=action,
        checks=seen.checks,
        requests=seen.requests,
        message=message,
        due=tuple(sorted(what)),
        is_blind=seen.blind is not None,
        has_drifted=seen.drift is not None,
        has_open_breach=is_open(seen) or bool(unacknowledged(seen)),
        is_unreadable=seen.is_unreadable,
    )


def _hours(store: Store, seen: Look, what: frozenset[Due]) -> tuple[HourSeen, ...]:
    """The winner by hour, where a breach is or was raised; empty where the log does not say."""
    if not what & {Due.BREACH, Due.REFRESH}:
        return ()
    try:
        return hours_seen(store, seen.promotion, seen.at)
    except PromotionError:
        return ()


def _act(
    store: Store,
    seen: Look,
    what: frozenset[Due],
    hours: tuple[HourSeen, ...],
    actor: str,
    connection: Connection,
) -> tuple[WatchAction, str]:
    """Keep what was seen, tell people, and roll back where that is on; the note says why not."""
    context = lock_experiment(connection, store, seen.promotion.experiment_id)
    live = live_promotion(connection, seen.promotion.experiment_id)
    if live is None or live.id != seen.promotion.id or live.ramp_step != seen.promotion.ramp_step:
        return WatchAction.NONE, " (changed meanwhile)"
    # Before the lock was granted another look may have acted, or the split have changed: decide again what is due.
    drift = None if seen.drift is None else drift_in(context, live)
    current = replace(seen, promotion=live, drift=drift)
    what &= due(current, store.settings.mode)
    values = _seen(current) | ({"hours": [hour.model_dump(mode="json") for hour in hours]} if hours else {})
    keep(connection, live.id, values | _sight(current, what) | _drift(current, what))
    notified = [
        what & {Due.BREACH} and _tell_breach(context, current, actor),
        what & {Due.TELL_BLIND} and _tell_blind(context, current),
        what & {Due.DRIFT} and _tell_drift(context, current),
    ]
    action = WatchAction.ALERTED if any(notified) else WatchAction.NONE
    if not unacknowledged(current):
        return action, ""
    if action is WatchAction.NONE:
        action = WatchAction.ALERTED_BEFORE
    why_not = rolls_back(current, store.settings.mode)
    if why_not is not None:
        return action, f" (not rolled back: {why_not})"
    return _roll_back(context, current, actor, action)


def _roll_back(context: ActContext, seen: Look, actor: str, action: WatchAction) -> tuple[WatchAction, str]:
    """All traffic to control: the split of before would leave users on what breaks."""
    reason = f"watch: {breach_message(unacknowledged(seen))}"
    try:
        # A savepoint, so that a refused rollback does not undo the alert. Deferred constraints are checked inside
        # of it, because at COMMIT their refusal would undo the alert too.
        with database_errors(), context.connection.transaction():
            roll_back(context, seen.promotion, RollbackOrder(reason, actor, RollbackTarget.CONTROL))
            context.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except ConflictError as error:
        _tell_stuck(context, seen, str(error))
        return action, f" (not rolled back: {error})"
    return WatchAction.ROLLED_BACK, ""


def _seen(seen: Look) -> dict[str, Any]:
    """The columns that every look rewrites."""
    return {
        "looked_at": seen.at,
        "status": seen.status.value,
        "message": seen.message,
        "requests": seen.requests,
        "muted": [metric for metric in (seen.before.muted if seen.before else ()) if metric not in over_since(seen)],
    }


def _sight(seen: Look, what: frozenset[Due]) -> dict[str, Any]:
    """Since when and why nothing can be seen."""
    if what & {Due.SEES_AGAIN}:
        return {"blind_since": None, "blind_because": None, "blind_told_at": None}
    if not what & {Due.BLIND, Due.TELL_BLIND}:
        return {}
    at: dict[str, datetime] = {"blind_told_at": seen.at} if what & {Due.TELL_BLIND} else {}
    return {"blind_since": blind_since(seen), "blind_because": seen.blind, **at}


def _drift(seen: Look, what: frozenset[Due]) -> dict[str, Any]:
    if what & {Due.DRIFT_OVER}:
        return {"drifted_at": None, "drift": None}
    return {"drifted_at": seen.at, "drift": seen.drift} if what & {Due.DRIFT} else {}


def _tell_breach(context: ActContext, seen: Look, actor: str) -> bool:
    """One alarm for everything that is worse; what becomes worse while it is open joins it."""
    checks, promotion = unacknowledged(seen), seen.promotion
    metrics = sorted({check.metric.value for check in checks})
    why_not = rolls_back(seen, context.store.settings.mode)
    rollback = "it is rolled back by itself" if why_not is None else f"it is not rolled back by itself: {why_not}"
    found = _breach(seen, rollback)
    keep(context.connection, promotion.id, {**_seen(seen), "breached_at": seen.at, "breach": found})
    context.audit(actor, Action.WATCH_BREACH, promotion.id, found)
    payload = _breach_payload(seen, found, is_automatic=why_not is None)
    return context.notify(Event.WATCH_BREACH, "critical", promotion.id, _key(seen, "watch", "+".join(metrics)), payload)


def _tell_stuck(context: ActContext, seen: Look, why: str) -> bool:
    """The rollback that was announced is refused; told once a step, though it is tried at every look."""
    promotion = seen.promotion
    found = _breach(seen, f"it could not be rolled back by itself: {why}")
    key = f"watch_stuck:{promotion.id}:{promotion.ramp_step}"
    payload = _breach_payload(seen, found, is_automatic=False)
    return context.notify(Event.WATCH_BREACH, "critical", promotion.id, key, payload)


def _breach(seen: Look, rollback: str) -> dict[str, Any]:
    checks = unacknowledged(seen)
    return {
        "metrics": sorted({check.metric.value for check in checks}),
        "message": breach_message(checks),
        "checks": [asdict(check) for check in checks],
        "rollback": rollback,
    }


def _breach_payload(seen: Look, found: dict[str, Any], *, is_automatic: bool) -> WatchBreachPayload:
    promotion, to = seen.promotion, "control" if seen.has_control else "close"
    return WatchBreachPayload(
        **found,
        winner=promotion.promoted_variant_name,
        control_name=promotion.control_variant_name,
        is_automatic=is_automatic,
        to=to,
        command=command("rollback", promotion.experiment_name, f"--to {to}"),
    )


def _tell_blind(context: ActContext, seen: Look) -> bool:
    payload = WatchBlindPayload(
        winner=seen.promotion.promoted_variant_name, message=_said(seen.blind), since=blind_since(seen)
    )
    return context.notify(Event.WATCH_BLIND, "warning", seen.promotion.id, _key(seen, "watch_blind"), payload)


def _tell_drift(context: ActContext, seen: Look) -> bool:
    payload = SplitDriftPayload(winner=seen.promotion.promoted_variant_name, message=_said(seen.drift))
    return context.notify(Event.SPLIT_DRIFT, "warning", seen.promotion.id, _key(seen, "split_drift"), payload)


def _said(sentence: str | None) -> tuple[str, ...]:
    return (sentence,) if sentence else ()


def _key(seen: Look, kind: str, *more: str) -> str:
    """Names one telling: the state that is kept sees to it that there is one an incident."""
    promotion: Promotion = seen.promotion
    return ":".join([kind, str(promotion.id), str(promotion.ramp_step), *more, seen.at.isoformat()])
