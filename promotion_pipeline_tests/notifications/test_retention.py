"""What becomes of notifications that everybody was told of long ago."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promotion_pipeline.notifications import deliver_everything
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import Level, enqueue
from promotion_pipeline_tests.notifications.helpers import IMPATIENT, deliver, settings_with, write
from promotion_pipeline_tests.notifications.servers import Behaviour, Web
from promotion_pipeline_tests.seeding import seed_experiment


def age(store: Store, days: int) -> None:
    """Let so many days pass for every notification."""
    with store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE notification_outbox SET created_at = created_at - %s * interval '1 day'", [days])
        connection.execute(
            "UPDATE notification_deliveries SET delivered_at = delivered_at - %s * interval '1 day'", [days]
        )


def kept(store: Store) -> list[str]:
    with store.connect() as connection:
        rows = connection.execute("SELECT dedup_key FROM notification_outbox ORDER BY id").fetchall()
    return [row["dedup_key"] for row in rows]


def test_what_was_delivered_long_ago_is_removed_by_the_next_delivery(channels: Store) -> None:
    write(channels, "promotion", key="old")
    deliver(channels)
    age(channels, 60)
    write(channels, "promotion", key="younger")
    deliver(channels)
    age(channels, 31)

    assert deliver_everything(channels, policy=IMPATIENT).removed == 1

    assert kept(channels) == ["younger"]


def test_what_was_not_delivered_is_kept(only: Callable[[str], Store], slack: Web) -> None:
    store = only("slack")
    slack.always(Behaviour.REJECTS_FORM)
    write(store, "promotion", key="dead")
    deliver(store)
    age(store, 1000)

    assert deliver_everything(store, policy=IMPATIENT).removed == 0

    assert kept(store) == ["dead"]


def test_the_days_can_be_set_and_switched_off(channels: Store) -> None:
    write(channels, "promotion")
    deliver(channels)
    age(channels, 8)

    assert deliver_everything(settings_with(channels, notification_retention_days=0)).removed == 0
    assert deliver_everything(settings_with(channels, notification_retention_days=7)).removed == 1


@pytest.mark.parametrize(("end", "left"), [(None, ["begin"]), ("hold_released", [])])
def test_an_alarm_is_kept_until_the_pager_was_told_of_its_end(
    channels: Store, pagerduty: Web, end: str | None, left: list[str]
) -> None:
    experiment = seed_experiment(channels, "checkout", ()).id
    events: list[tuple[str, Level, str]] = [("rollback", "critical", "begin")]
    events += [(end, "info", "end")] if end else []
    with channels.connect() as connection:
        for event, level, key in events:
            enqueue(connection, event, level, experiment, None, key, {})
    deliver(channels)
    assert len(pagerduty.confirmed) == len(events)
    age(channels, 91)

    deliver_everything(channels, policy=IMPATIENT)

    assert kept(channels) == left
