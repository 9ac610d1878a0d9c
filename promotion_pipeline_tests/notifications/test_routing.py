"""Who is told of what."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest

from promotion_pipeline.notifications import CHANNELS, SystemEvent, channel_named, fan_out
from promotion_pipeline.notifications.routing import PRIORITY, channels_for
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import Level
from promotion_pipeline_tests.notifications.helpers import deliver, states, write
from promotion_pipeline_tests.notifications.servers import Web

SLACK, PAGERDUTY, EMAIL = channel_named("slack"), channel_named("pagerduty"), channel_named("email")

TABLE: list[tuple[str, Level, set[str]]] = [
    (Event.PROMOTION, "info", {"slack", "email"}),
    (Event.APPROVAL_REQUESTED, "info", {"slack"}),
    (Event.PROMOTION_WITH_WARNINGS, "warning", {"slack", "pagerduty"}),
    (Event.ROLLBACK, "critical", {"slack", "pagerduty", "email"}),
    (Event.WATCH_BREACH, "critical", {"slack", "pagerduty", "email"}),
    (SystemEvent.HOURLY_SUMMARY, "info", {"email"}),
]


@pytest.mark.parametrize(("event", "level", "expected"), TABLE)
def test_an_event_goes_where_the_specification_says(event: str, level: Level, expected: set[str]) -> None:
    assert {channel.name for channel in channels_for(event, level, (SLACK, PAGERDUTY, EMAIL))} == expected


@pytest.mark.parametrize("level", PRIORITY)
def test_an_unknown_event_goes_where_its_level_says(level: Level) -> None:
    assert SLACK in channels_for("new_event", level, CHANNELS)
    assert (PAGERDUTY in channels_for("new_event", level, CHANNELS)) == (level != "info")


def test_people_are_told_somewhere_when_the_right_channel_is_off_but_not_paged_for_news() -> None:
    on = [PAGERDUTY, EMAIL]
    assert channels_for(Event.APPROVAL_REQUESTED, "info", on) == (EMAIL,)
    assert channels_for(SystemEvent.HOURLY_SUMMARY, "info", [SLACK]) == ()


def test_a_row_is_routed_once_and_not_again_when_a_channel_comes_on(store: Store, channels: Store) -> None:
    write(store, "promotion")
    assert fan_out(store) == 0
    assert fan_out(channels) == 0
    write(channels, "promotion", key="later")
    assert fan_out(channels) == 2


def test_several_processes_route_every_row_once(channels: Store) -> None:
    for number in range(40):
        write(channels, "promotion", key=f"key-{number}")
    threads = [threading.Thread(target=fan_out, args=(channels,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    fan_out(channels)
    with channels.connect() as connection:
        row = connection.execute("SELECT count(*) AS n FROM notification_deliveries").fetchone()
    assert row is not None
    assert row["n"] == 80


def test_an_experiment_with_a_channel_of_its_own_is_told_there(channels: Store, slack: Web) -> None:
    with channels.connect() as connection:
        connection.execute("INSERT INTO ab_experiments (name, owner_channel) VALUES ('checkout', '#team-checkout')")
        connection.execute("INSERT INTO ab_experiments (name) VALUES ('search')")
        connection.execute(
            "INSERT INTO notification_outbox (event, level, experiment_id, dedup_key, payload)"
            " SELECT 'promotion', 'info', id, name, '{}' FROM ab_experiments ORDER BY name"
        )
    deliver(channels)
    assert [body["channel"] for body in slack.confirmed] == ["#team-checkout", "#experiments"]


def test_the_end_of_an_incident_is_paged_only_where_its_begin_was(channels: Store, pagerduty: Web) -> None:
    first, second = experiment(channels, "first"), experiment(channels, "second")
    about(channels, first, Event.WATCH_BREACH, "critical", "a")
    about(channels, first, Event.ROLLBACK, "critical", "b")
    about(channels, first, Event.HOLD_RELEASED, "info", "c")
    about(channels, second, Event.HOLD_RELEASED, "info", "d")
    deliver(channels)
    assert [body["event_action"] for body in pagerduty.confirmed] == ["trigger", "trigger", "resolve"]
    assert len({body["dedup_key"] for body in pagerduty.confirmed}) == 1


def test_a_warning_and_a_rollback_are_different_incidents(channels: Store, pagerduty: Web) -> None:
    one = experiment(channels, "first")
    about(channels, one, Event.PROMOTION_WITH_WARNINGS, "warning", "a")
    about(channels, one, Event.ROLLBACK, "critical", "b")
    deliver(channels)
    assert {body["payload"]["severity"] for body in pagerduty.confirmed} == {"warning", "critical"}
    assert len({body["dedup_key"] for body in pagerduty.confirmed}) == 2
    assert states(channels)["pagerduty"] == "delivered"


def experiment(store: Store, name: str) -> UUID:
    with store.connect() as connection:
        row = connection.execute("INSERT INTO ab_experiments (name) VALUES (%s) RETURNING id", [name]).fetchone()
    assert row is not None
    found: Any = row["id"]
    assert isinstance(found, UUID)
    return found


def about(store: Store, experiment_id: UUID, event: str, level: Level, key: str) -> None:
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO notification_outbox (event, level, experiment_id, dedup_key, payload)"
            " VALUES (%s, %s, %s, %s, '{}')",
            [event, level, experiment_id, key],
        )
