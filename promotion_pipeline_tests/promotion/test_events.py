"""Events that no trigger saw, that came late, or that cannot be read: nothing is promoted on a part of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promotion_pipeline.errors import WithheldError
from promotion_pipeline.evaluation.codes import MetricReason
from promotion_pipeline.evaluation.unattended import WithheldReason
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.history.verify import verify_history
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.record.models import Outcome, SweepEntry
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.adoption.grants import runtime_grants
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, seed_experiment

HOUR = timedelta(hours=1)
ARMS = (
    VariantSpec("control", is_control=True, requests=2_000, conversions=400),
    VariantSpec("treatment", requests=2_000, conversions=600),
)
TICKETS = {"name": "tickets", "kind": "user_count", "event": "ticket", "role": "guardrail", "direction": "decrease"}


def add_tickets(connection: Connection, seeded: Seeded, arm: str, modulo: int, hours: float = 1) -> None:
    """A ticket of each user of an arm whose number is divisible, some hours after each of their first requests."""
    connection.execute(
        "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)"
        " SELECT gen_random_uuid(), experiment_id, user_id, min(created_at) + %s, 'ticket', 1 FROM ai_requests"
        " WHERE variant_id = %s AND abs(hashtext(user_id)) %% %s = 0 AND created_at < %s GROUP BY 2, 3",
        (hours * HOUR, seeded.variant_ids[arm], modulo, seeded.start + 40 * HOUR),
    )


@pytest.fixture
def shop(store: Store, connection: Connection) -> Seeded:
    """A winner with a guardrail of tickets, of which both arms have as many; rolled up."""
    seeded = seed_experiment(store, "shop", ARMS, users=2_000, promotion_config={"metrics": [TICKETS]})
    for arm in ("control", "treatment"):
        add_tickets(connection, seeded, arm, 5)
    rollup_window(store, seeded.start, seeded.end)
    return seeded


def past_the_triggers(connection: Connection, seeded: Seeded) -> None:
    """Many tickets of the treatment, as logical replication writes them."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        add_tickets(connection, seeded, "treatment", 3, 2)


def sweep(store: Store) -> dict[str, SweepEntry]:
    return {entry.experiment_name: entry for entry in auto_check_promotions("cron", store=store).results}


def test_events_past_the_triggers_withhold_until_the_next_run_counts_them(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    assert check_promotion_eligibility("shop", store=store).evidence.withheld == ()
    past_the_triggers(connection, shop)
    assert check_promotion_eligibility("shop", store=store).evidence.withheld == (WithheldReason.INCOMPLETE_DATA,)
    entry = sweep(store)["shop"]
    assert entry.outcome is Outcome.WITHHELD
    assert "events in ai_events are not in the sums of its metrics; they came past" in entry.message
    rollup_window(store, shop.end - HOUR, shop.end)
    (guardrail,) = check_promotion_eligibility("shop", store=store).metrics
    assert guardrail.estimate is not None and guardrail.estimate > 0.25
    assert guardrail.guardrail == "not_kept"


def test_the_hourly_run_itself_finds_them_in_its_window(store: Store, connection: Connection, shop: Seeded) -> None:
    past_the_triggers(connection, shop)
    rollup_window(store, shop.start, shop.end)
    answer = check_promotion_eligibility("shop", store=store)
    assert WithheldReason.INCOMPLETE_DATA not in answer.evidence.withheld
    assert answer.metrics[0].guardrail == "not_kept"


def test_events_that_are_gone_withhold_and_stay_in_the_sums(store: Store, connection: Connection, shop: Seeded) -> None:
    connection.execute("DELETE FROM ai_events WHERE created_at < %s", (shop.start + 5 * HOUR,))
    with pytest.raises(WithheldError, match="are gone from ai_events"):
        promote_winner("shop", "auto", "cron", store=store)
    rollup_window(store, shop.start, shop.end)
    assert "are gone from ai_events" in sweep(store)["shop"].message


def test_sums_that_something_else_wrote_withhold(store: Store, connection: Connection, shop: Seeded) -> None:
    connection.execute("UPDATE hourly_metric_rollups SET samples = samples + 1 WHERE samples > 0")
    assert "were changed in" in sweep(store)["shop"].message


def test_late_events_that_were_noted_count_before_the_next_run(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    add_tickets(connection, shop, "treatment", 3, 2)
    answer = check_promotion_eligibility("shop", store=store)
    assert answer.evidence.withheld == (WithheldReason.EVIDENCE,)
    assert answer.metrics[0].guardrail == "not_kept"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE ai_events RENAME TO something_else",
        "ALTER TABLE ai_events ALTER created_at TYPE date",
        "DROP TABLE ai_events",
    ],
)
def test_without_readable_events_their_guardrails_are_not_kept_and_nobody_else_is_stopped(
    store: Store, connection: Connection, shop: Seeded, change: str
) -> None:
    seed_experiment(store, "plain", ARMS)
    connection.execute(change)
    rollup_window(store, shop.start, shop.end)
    entries = sweep(store)
    assert entries["plain"].outcome is Outcome.PROMOTED
    assert entries["shop"].outcome is Outcome.AWAITING_APPROVAL
    (guardrail,) = check_promotion_eligibility("shop", store=store).metrics
    assert guardrail.reason is MetricReason.EVENTS_UNREADABLE
    assert guardrail.guardrail == "not_measured"
    assert "GRANT SELECT ON ai_events" in guardrail.message


def test_without_the_right_to_read_events_nobody_else_is_stopped(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    seed_experiment(store, "plain", ARMS)
    role = f"reader_of_{connection.info.dbname}"
    connection.execute(f'CREATE ROLE "{role}" LOGIN'.encode())
    for statement in runtime_grants(connection, role):
        connection.execute(statement.encode())
    connection.execute(f'REVOKE SELECT ON ai_events FROM "{role}"'.encode())
    limited = Store(f"{store.url}&options=-crole%3D{role}", store.settings)
    entries = sweep(limited)
    assert entries["plain"].outcome is Outcome.PROMOTED
    assert entries["shop"].outcome is Outcome.AWAITING_APPROVAL
    assert "guardrail" in entries["shop"].message
    connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"'.encode())


def test_verify_sums_up_events_anew_and_names_the_guardrail_that_flipped(
    store: Store, connection: Connection, shop: Seeded
) -> None:
    assert sweep(store)["shop"].outcome is Outcome.PROMOTED
    assert [found.summary for found in verify_history("shop", store=store)] == ["same"]
    connection.execute("DELETE FROM hourly_metric_rollups")
    assert [found.summary for found in verify_history("shop", store=store)] == ["same"]
    past_the_triggers(connection, shop)
    (found,) = verify_history("shop", store=store)
    assert found.is_flipped
    named = {one.field: (one.recorded, one.recomputed) for one in found.differences}
    assert named["treatment.tickets.guardrail"] == ("kept", "not_kept")
    assert named["is_promotable"] == (True, False)
    connection.execute("ALTER TABLE ai_events RENAME TO theirs")
    (unread,) = verify_history("shop", store=store)
    assert not unread.is_flipped and unread.summary.startswith("cannot be recomputed: the table ai_events")
    assert found.summary == (
        "another decision: it would not go unattended; guardrail 'tickets' of treatment was kept and is not kept:"
        " events or rows came late / were removed since"
    )


def test_values_that_cannot_be_used_are_said_beside_their_metric(store: Store, connection: Connection) -> None:
    revenue = {"name": "revenue", "kind": "user_mean", "event": "ticket", "role": "secondary"}
    seeded = seed_experiment(store, "till", ARMS, users=500, promotion_config={"metrics": [revenue]})
    add_tickets(connection, seeded, "control", 5)
    bad = "UPDATE ai_events SET value = %s WHERE id IN (SELECT id FROM ai_events ORDER BY id OFFSET %s LIMIT 1)"
    for offset, value in enumerate(("NaN", "Infinity", "1e200")):
        connection.execute(bad, (value, offset))
    (found,) = check_promotion_eligibility("till", store=store).metrics
    assert "3 values of its events cannot be used and are left out" in found.message
