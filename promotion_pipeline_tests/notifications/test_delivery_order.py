"""Many messages, several workers, several channels: nothing lost, nothing twice, nobody waits for another."""

from __future__ import annotations

import dataclasses
import itertools
import random
import threading
from collections import Counter

from promotion_pipeline.notifications import deliver_due, fan_out
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import Level, enqueue
from promotion_pipeline_tests.notifications.helpers import IMPATIENT, ONE_TRY, SHORT_WAIT, deliver, rows, states, write
from promotion_pipeline_tests.notifications.servers import Behaviour, Mailbox, Web

EVENTS = 1000
RESTLESS = dataclasses.replace(
    IMPATIENT, first_wait_seconds=0.01, longest_wait_seconds=0.05, longest_pause_seconds=0.05, max_attempts=10_000
)


def write_many(store: Store, count: int) -> None:
    """Notifications of all levels and experiments, as acts would write them."""
    levels: list[Level] = ["info", "warning", "critical"]
    with store.connect() as connection, connection.transaction():
        for number in range(count):
            payload = {"experiment_name": f"experiment {number}", "message": f"event {number}"}
            enqueue(connection, "anything", levels[number % 3], None, None, f"key-{number}", payload)


def test_a_thousand_events_survive_channels_that_go_down_and_up(
    channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox
) -> None:
    chance = random.Random(5)
    bad = [Behaviour.BROKEN, Behaviour.RATE_LIMITED, Behaviour.CUTS, Behaviour.MAYBE]
    for web in (slack, pagerduty):
        outage = itertools.cycle([False] * 120 + [True] * 10)
        web.behaviour = lambda body, outage=outage: chance.choice(bad) if next(outage) else Behaviour.WELL  # type: ignore[misc]
    mail_outage = itertools.cycle([False] * 120 + [True] * 10)
    mailbox.data_answer = lambda mail: "451 not now" if next(mail_outage) else "250 ok"

    write_many(channels, EVENTS)
    fan_out(channels)
    for _ in range(400):
        deliver_due(channels, policy=RESTLESS)
        if all_delivered(channels):
            break
    assert all_delivered(channels)

    keys = {f"key-{number}" for number in range(EVENTS)}
    said_to_slack = Counter(str(body["metadata"]) for body in slack.posted)
    assert len(said_to_slack) == EVENTS
    assert set(said_to_slack.values()) == {1}
    pages = Counter(body["dedup_key"] for body in pagerduty.confirmed)
    assert set(pages) == {f"promotion-pipeline/{key}" for key in keys if int(key[4:]) % 3}
    assert set(pages.values()) == {1}
    mails = Counter(mail["Message-ID"] for _, mail in mailbox.confirmed)
    assert len(mails) == sum(number % 3 == 2 for number in range(EVENTS))
    assert set(mails.values()) == {1}


def all_delivered(store: Store) -> bool:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT count(*) AS n FROM notification_deliveries WHERE state <> 'delivered'"
        ).fetchone()
    return row is not None and row["n"] == 0


def test_a_channel_that_hangs_delays_no_other(channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox) -> None:
    slack.always(Behaviour.HANGS)
    patient = dataclasses.replace(ONE_TRY, answer_seconds=20.0)
    write_many(channels, 30)
    fan_out(channels)
    running = threading.Thread(target=deliver_due, args=(channels,), kwargs={"policy": patient}, daemon=True)
    running.start()
    wait_until(lambda: len(pagerduty.confirmed) == 20 and len(mailbox.confirmed) == 10)
    assert running.is_alive()
    assert len(slack.posted) == 1
    slack.stop.set()
    running.join(20)
    assert not running.is_alive()


def test_a_channel_that_hangs_rests_after_one_message(channels: Store, slack: Web) -> None:
    slack.always(Behaviour.HANGS)
    write_many(channels, 30)
    deliver(channels, dataclasses.replace(ONE_TRY, answer_seconds=SHORT_WAIT))
    assert len(slack.posted) == 1


def test_writing_a_notification_asks_no_channel(channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox) -> None:
    write(channels, "rollback", "critical")
    fan_out(channels)
    assert (slack.requests, pagerduty.requests, mailbox.mails) == ([], [], [])


def test_several_passes_at_once_send_every_message_once(channels: Store, slack: Web, pagerduty: Web) -> None:
    write_many(channels, 60)
    threads = [threading.Thread(target=deliver, args=(channels,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    deliver(channels)
    assert len(slack.posted) == 60
    assert len(pagerduty.posted) == 40
    assert all_delivered(channels)


def test_the_urgent_goes_first(channels: Store, slack: Web) -> None:
    write_many(channels, 9)
    deliver(channels)
    levels = [int(body["text"].split("event ")[1].split("\n")[0]) % 3 for body in slack.posted]
    assert levels == sorted(levels, reverse=True)


def test_an_incident_is_not_resolved_before_it_was_raised(channels: Store, pagerduty: Web) -> None:
    pagerduty.always(Behaviour.BROKEN)
    write(channels, "rollback", "critical")
    deliver(channels, ONE_TRY)
    pagerduty.always(Behaviour.WELL)
    write(channels, "hold_released", key="later")
    with channels.connect() as connection:
        connection.execute("UPDATE notification_channels SET paused_until = NULL")
    deliver(channels, ONE_TRY)
    assert pagerduty.confirmed == []
    with channels.connect() as connection:
        connection.execute("UPDATE notification_deliveries SET next_attempt_at = now() WHERE state = 'pending'")
    deliver(channels)
    assert [body["event_action"] for body in pagerduty.confirmed] == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in pagerduty.confirmed}) == 1


def test_a_payload_that_cannot_be_worded_stops_no_other(channels: Store, slack: Web) -> None:
    write(channels, "promotion", key="odd", warnings={"not": "a list"}, metadata=["x"], split=7, improvement="many")
    write(channels, "promotion", key="good", winner="green")
    deliver(channels)
    assert len(slack.confirmed) == 2
    assert set(states(channels).values()) == {"delivered"}
    assert rows(channels)["slack"]["attempts"] == 1


def wait_until(holds) -> None:  # type: ignore[no-untyped-def]
    """Wait for what another thread does."""
    never = threading.Event()
    for _ in range(1500):
        if holds():
            return
        never.wait(0.01)
    raise AssertionError("it did not happen")
