"""Rows that come late: what they would change is stored beside the record, told once, and rewrites nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from promotion_pipeline.decisions.late import late_changes
from promotion_pipeline.decisions.redecide import redecide_late
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, Seeded, VariantSpec, add_requests, count, seed_experiment

HOUR = timedelta(hours=1)
CONTROL_CONVERTS = VariantSpec("control", requests=400, conversions=400)


def decided(store: Store, hours: int = 6) -> Seeded:
    """A winner, decided in the last hours, and another experiment beside it."""
    seed_experiment(store, "other", NO_DIFFERENCE)
    seeded = seed_experiment(store, "checkout")
    rollup_window(store, seeded.start, seeded.end)
    evaluate_window(store, seeded.end - hours * HOUR, seeded.end)
    return seeded


def rows_come_late(store: Store, seeded: Seeded, hours_ago: int, rows: VariantSpec = CONTROL_CONVERTS) -> None:
    at = seeded.end - hours_ago * HOUR
    add_requests(store, seeded, rows, start=at, end=at + HOUR)
    rollup_window(store, seeded.end - 48 * HOUR, seeded.end)


def record(connection: Connection) -> pd.DataFrame:
    query = "SELECT * FROM eligibility_decisions WHERE label = 'record' ORDER BY hour, experiment_id"
    return pd.DataFrame(connection.execute(query).fetchall())


def alerts(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute("SELECT * FROM notification_outbox WHERE event = 'late_verdict' ORDER BY id").fetchall()


def test_decisions_that_flip_are_told_once_and_nothing_of_record_changes(store: Store, connection: Connection) -> None:
    seeded = decided(store)
    before = record(connection)
    rows_come_late(store, seeded, 3)
    assert [(change.name, change.first_hour) for change in late_changes(store)] == [("checkout", seeded.end - 3 * HOUR)]

    (late,) = redecide_late(store)
    assert late.experiment_name == "checkout"
    assert [flip.hour for flip in late.flips] == [seeded.end - hours * HOUR for hours in (3, 2, 1)]
    assert {(flip.recorded, flip.outcome) for flip in late.flips} == {("promotable: treatment", "not_yet")}
    (alert,) = alerts(connection)
    assert (alert["level"], alert["promotion_id"]) == ("warning", None)
    assert "promotable: treatment -> not_yet (3)" in alert["payload"]["messages"][0]

    pd.testing.assert_frame_equal(record(connection), before)
    beside = "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest' AND experiment_id = %s"
    assert count(store, beside, seeded.id) == 3
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label <> 'record'") == 3
    assert redecide_late(store) == ()
    evaluate_window(store, seeded.end - 6 * HOUR, seeded.end)
    assert len(alerts(connection)) == 1


def test_a_regular_evaluation_of_decided_hours_tells_them_too(store: Store, connection: Connection) -> None:
    seeded = decided(store)
    rows_come_late(store, seeded, 2)
    assert [late.experiment_name for late in evaluate_window(store, seeded.end - 6 * HOUR, seeded.end).late] == [
        "checkout"
    ]
    assert redecide_late(store) == ()
    assert len(alerts(connection)) == 1


@pytest.mark.parametrize(
    ("is_rolled_back", "level", "words"), [(False, "critical", "is live"), (True, "warning", "was rolled back")]
)
def test_a_live_promotion_that_stood_on_a_flipped_decision_is_critical(
    store: Store, connection: Connection, is_rolled_back: bool, level: str, words: str
) -> None:
    seeded = decided(store)
    promotion = promote_winner("checkout", "auto", "anna", store=store)
    if is_rolled_back:
        rollback_promotion("checkout", "errors", "bert", store=store)
    rows_come_late(store, seeded, 2)
    (late,) = redecide_late(store)
    assert [stood.id for stood in late.promotions] == [promotion.id]
    (alert,) = alerts(connection)
    assert (alert["level"], alert["promotion_id"]) == (level, promotion.id)
    assert words in alert["payload"]["messages"][1]
    assert ("rollback checkout" in alert["payload"]["next_step"]) is not is_rolled_back


def test_the_alert_says_what_changed_and_what_to_do(store: Store, connection: Connection) -> None:
    seeded = decided(store)
    promote_winner("checkout", "auto", "anna", store=store)
    rows_come_late(store, seeded, 2)
    redecide_late(store)
    (alert,) = alerts(connection)
    given = {"experiment_name": "checkout", "variant_names": {}} | dict.fromkeys(
        ("confidence", "improvement", "promoted_at", "rollback_at")
    )
    message = compose(Notification.from_row({**alert, **given}), store.settings)
    assert message.title == "checkout: late rows would change 2 decisions"
    assert any("would not be eligible with these rows" in sentence for sentence in message.what_happened)
    assert "promotion-pipeline diff record latest --experiment checkout" in message.next_step


def test_more_late_rows_are_told_of_hours_that_flip_anew_or_to_something_else(
    store: Store, connection: Connection
) -> None:
    seeded = decided(store)
    rows_come_late(store, seeded, 2)
    redecide_late(store)
    rows_come_late(store, seeded, 4)
    (late,) = redecide_late(store)
    # With both batches the treatment is worse beyond chance in the last two hours, which were told as `not_yet` before.
    assert [(flip.hour, flip.outcome) for flip in late.flips] == [
        (seeded.end - 4 * HOUR, "not_yet"),
        (seeded.end - 3 * HOUR, "not_yet"),
        (seeded.end - 2 * HOUR, "rejected"),
        (seeded.end - 1 * HOUR, "rejected"),
    ]
    assert redecide_late(store) == ()
    assert len(alerts(connection)) == 2


def test_late_rows_that_flip_nothing_alarm_nobody(store: Store, connection: Connection) -> None:
    seeded = decided(store)
    rows_come_late(store, seeded, 2, VariantSpec("control", requests=10, conversions=1))
    assert redecide_late(store) == ()
    assert alerts(connection) == []
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'latest'") == 2
    assert late_changes(store) == ()


def test_other_thresholds_are_no_late_rows(store: Store, connection: Connection) -> None:
    from promotion_pipeline.config import PromotionConfig

    seeded = decided(store)
    strict = PromotionConfig(min_improvement_percent=50)
    assert evaluate_window(store, seeded.end - 6 * HOUR, seeded.end, config=strict).late == ()
    assert alerts(connection) == []


def test_hours_that_are_not_decided_have_no_late_rows(store: Store) -> None:
    seeded = decided(store, hours=1)
    rollup_window(store, seeded.start, seeded.end)
    assert late_changes(store) == ()
