"""People are told what happened, in its order, once; and what a pager began somebody can end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.notifications import enqueue_summary
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.act.warnings import acknowledge_warnings
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import deliver
from promotion_pipeline_tests.notifications.servers import Web
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, VariantSpec, seed_experiment

SLOWER = (WINNER[0], VariantSpec("treatment", requests=10_000, conversions=1_300, errors=100, latency_ms=200.0))


def test_slack_tells_of_an_experiment_in_the_order_of_what_happened(only: Callable[[str], Store], slack: Web) -> None:
    store = only("slack")
    seed_experiment(store, "other", WINNER)
    promote_winner("other", "manual", "maria", store=store)
    seed_experiment(store, "checkout", WINNER)
    promote_winner("checkout", "manual", "maria", store=store)
    rollback_promotion("checkout", "errors", "maria", store=store)
    deliver(store)
    told = [body["text"].splitlines()[0] for body in slack.confirmed if "checkout" in body["text"]]
    assert ["promoted" in told[0], "rolled back" in told[1], len(told)] == [True, True, 2]
    # What is critical still goes before what is not about it.
    assert "other" in slack.confirmed[-1]["text"].splitlines()[0]


def events(pagerduty: Web) -> list[tuple[str, str]]:
    return [(body["event_action"], body["dedup_key"].split("/")[2]) for body in pagerduty.confirmed]


def test_the_incident_of_a_promotion_with_warnings_ends_when_a_person_looked(
    only: Callable[[str], Store], pagerduty: Web
) -> None:
    store = only("pagerduty")
    seed_experiment(store, "checkout", SLOWER)
    promote_winner("checkout", "manual", "maria", store=store)
    acknowledge_warnings("checkout", "maria", "the cache was cold", store=store)
    with pytest.raises(ConflictError, match="no warnings that wait"):
        acknowledge_warnings("checkout", "maria", "again", store=store)
    deliver(store)
    assert events(pagerduty) == [("trigger", "warnings"), ("resolve", "warnings")]


def test_the_incident_of_a_promotion_with_warnings_ends_when_it_is_rolled_back(
    only: Callable[[str], Store], pagerduty: Web
) -> None:
    store = only("pagerduty")
    seed_experiment(store, "checkout", SLOWER)
    promote_winner("checkout", "manual", "maria", store=store)
    rollback_promotion("checkout", "errors", "maria", store=store)
    deliver(store)
    assert sorted(events(pagerduty)) == [("resolve", "warnings"), ("trigger", "incident"), ("trigger", "warnings")]


def test_the_summary_names_what_was_promoted_since_the_one_before(channels: Store) -> None:
    seed_experiment(channels, "checkout", WINNER)
    seed_experiment(channels, "unproven", UNPROVEN)
    auto_check_promotions("cron", store=channels)
    assert enqueue_summary(channels)
    with channels.connect() as connection:
        row = connection.execute(
            "UPDATE notification_outbox SET dedup_key = 'summary:the hour before'"
            " WHERE event = 'hourly_summary' RETURNING payload -> 'promoted_names' AS names"
        ).fetchone()
        assert row == {"names": ["checkout (treatment)"]}
        assert enqueue_summary(channels)
        newest = connection.execute(
            "SELECT payload -> 'promoted_names' AS names, payload -> 'promoted' AS promoted FROM notification_outbox"
            " WHERE event = 'hourly_summary' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert newest == {"names": [], "promoted": 0}
