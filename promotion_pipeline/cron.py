"""The sweep without Dagster, for cron: everything that the hourly run and its sensors do about promotions."""

from __future__ import annotations

import logging
from collections import Counter

import psycopg

from promotion_pipeline.decisions.phases import note_unnoted
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.notifications import DeliveryPolicy, deliver_everything
from promotion_pipeline.notifications.channels.registry import configured_channels
from promotion_pipeline.promotion.act.ramp import advance_ramps
from promotion_pipeline.promotion.act.serving import deliver_due
from promotion_pipeline.promotion.ledger.keeping import keep_ledger
from promotion_pipeline.promotion.record.inputs import ConfigLike, request_config, required_text
from promotion_pipeline.promotion.record.models import AutoCheckResult, Delivered, Outcome, Watched
from promotion_pipeline.promotion.record.transaction import store_or_current
from promotion_pipeline.promotion.unattended.comparing import compare_traffic_when_due
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store

log = logging.getLogger(__name__)

DELIVERY = DeliveryPolicy(budget_seconds=20.0)
"""A scheduler waits for the answer; what is not delivered by then is delivered by the next sweep."""


def run_sweep(user_id: str, config: ConfigLike = None, *, store: Store | None = None) -> AutoCheckResult:
    """Watch what was promoted, take the ramp steps that are due, check every running experiment, tell people.

    Before the check, what came into hours that were read before is read: a load after the hourly run decides as one
    before it. A log that cannot be read stops nothing else; `unread` says so.
    `auto_check_promotions` in between promotes or asks, and keeps the decisions. Idempotent: whatever was done is
    found done. With thresholds in `config` the decisions are not those of record, so they are not kept.

    Raises:
        ConfigError, InputError: a value cannot be used.
        DependencyError: the database is down.
    """
    actor, request, where = required_text(user_id, "user_id"), request_config(config), store_or_current(store)
    # The watch comes first, so that a winner that got worse is rolled back before its ramp takes the next step.
    watched = watch_promotions(where)
    steps = advance_ramps(where, actor=actor)
    unread = _catch_up(where)
    result = auto_check_promotions(actor, request, store=where)
    deliver_due(where)
    # Last of what acts, so that a target that hangs keeps nobody from being promoted.
    compare_traffic_when_due(where)
    _keep_ledger(where)
    told = _tell(where)
    outcomes = Counter(entry.outcome for entry in steps)
    return result.model_copy(
        update={
            "ramped": outcomes[Outcome.RAMPED],
            "failed": result.failed + outcomes[Outcome.FAILED],
            "results": tuple(sorted((*result.results, *steps), key=lambda entry: entry.experiment_name)),
            "watched": tuple(
                Watched(
                    experiment_name=found.experiment_name,
                    status=found.status.value,
                    action=found.action.value,
                    message=found.message,
                )
                for found in watched
            ),
            "notifications": told,
            "unread": unread,
        }
    )


def _catch_up(store: Store) -> str | None:
    """Read what is missing of the running phases; or why it could not be read."""
    try:
        note_unnoted(store)
        with store.connect() as connection:
            newest = newest_complete_hour(connection)
        catch_up(store, newest)
    except (PromotionError, psycopg.Error) as error:
        # If it was the database, not the log, the check that follows raises.
        unread = " ".join(str(error).split())
        log.warning("what is missing of the log was not read: %s", unread)
        return unread
    return None


def _keep_ledger(store: Store) -> None:
    """Measure what promotions brought, where that is due; what goes wrong with it is no matter of the sweep."""
    try:
        keep_ledger(store)
    except (PromotionError, psycopg.Error) as error:
        log.warning("what promotions brought was not measured: %s", " ".join(str(error).split()))


def _tell(store: Store) -> Delivered | None:
    """One pass of the delivery. Where no channel is on, none: a message is routed once, and would reach nobody."""
    if not configured_channels(store.settings):
        return None
    report = deliver_everything(store, policy=DELIVERY)
    return Delivered(
        delivered=report.delivered,
        waiting=sum(done.retried + done.uncertain for done in report.channels.values()),
        dead=report.dead,
    )
