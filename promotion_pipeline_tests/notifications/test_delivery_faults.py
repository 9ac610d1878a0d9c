"""What each kind of failure of a channel does to a message."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable

import pytest

from promotion_pipeline.notifications import DeliveryState, confirm, deliver_due, fan_out, list_deliveries, replay
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import (
    CANARIES,
    IMPATIENT,
    ONE_TRY,
    SHORT_WAIT,
    deliver,
    make_all_due,
    rows,
    settings_with,
    states,
    write,
)
from promotion_pipeline_tests.notifications.servers import Behaviour, Mailbox, Web, mail_server, web_server

ONLY = Callable[[str], Store]


def test_a_critical_event_reaches_every_channel_once(
    channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox
) -> None:
    write(channels, "rollback", "critical", reason="errors")
    report = deliver(channels)
    assert report.delivered == 3
    assert deliver(channels).delivered == 0
    assert (len(slack.posted), len(pagerduty.posted), len(mailbox.mails)) == (1, 1, 1)
    assert mailbox.mails[0][0] == ("ann@example.com", "bob@example.com")
    assert set(states(channels).values()) == {"delivered"}


def test_a_broken_channel_is_tried_again_until_it_works(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.once(Behaviour.BROKEN)
    write(store, "promotion")
    report = deliver(store)
    assert report.channels["slack"].delivered == 1
    assert report.channels["slack"].retried == 1
    assert len(slack.confirmed) == 1


def test_what_finds_nobody_there_is_delivered_when_somebody_is(channels: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        web_port, mail_port = one.getsockname()[1], other.getsockname()[1]
    address = f"http://127.0.0.1:{web_port}"
    store = settings_with(channels, slack_base_url=f"{address}/api/", pagerduty_base_url=address, smtp_port=mail_port)
    write(store, "rollback", "critical")
    deliver(store, ONE_TRY)
    assert set(states(store).values()) == {"pending"}
    assert all("cannot be reached" in row["last_error"] for row in rows(store).values())
    make_all_due(store)
    with web_server(web_port) as web, mail_server(mail_port) as mailbox:
        assert deliver(store).delivered == 3
    assert (len(web.confirmed), len(mailbox.confirmed)) == (2, 1)


def test_retry_after_is_honoured_and_rests_the_whole_channel(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.retry_after = "120"
    slack.once(Behaviour.RATE_LIMITED)
    write(store, "promotion", key="a")
    write(store, "promotion", key="b")
    deliver(store)
    assert len(slack.requests) == 1
    with store.connect() as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM c.paused_until - clock_timestamp()) AS rest,"
            " extract(epoch FROM d.next_attempt_at - clock_timestamp()) AS wait"
            " FROM notification_channels c JOIN notification_deliveries d USING (channel) WHERE d.attempts = 1"
        ).fetchone()
    assert row is not None
    assert row["rest"] > 60
    assert row["wait"] > 60
    make_all_due(store)
    deliver(store)
    assert len(slack.confirmed) == 2


def test_a_message_is_dead_after_the_last_attempt_and_can_be_replayed(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.always(Behaviour.BROKEN)
    write(store, "promotion")
    deliver(store, dataclasses.replace(IMPATIENT, max_attempts=4))
    assert len(slack.requests) == 4
    (dead,) = list_deliveries(store, [DeliveryState.DEAD])
    assert "HTTP 500" in str(dead.last_error)
    slack.always(Behaviour.WELL)
    assert deliver(store).delivered == 0
    assert replay(store, [dead.id]).replayed == (dead.id,)
    assert deliver(store).delivered == 1
    assert replay(store, [dead.id]).skipped == {dead.id: "it is delivered"}


def test_a_rejected_form_is_sent_again_as_plain_text(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.behaviour = lambda body: Behaviour.REJECTS_FORM if "blocks" in body else Behaviour.WELL
    write(store, "promotion", winner="green", experiment_name="checkout")
    deliver(store)
    assert states(store) == {"slack": "delivered"}
    assert "green" in slack.confirmed[0]["text"]
    assert "blocks" not in slack.confirmed[0]


def test_a_rejected_event_goes_to_the_pager_in_its_shortest_form(only: ONLY, pagerduty: Web) -> None:
    store = only("pagerduty")
    pagerduty.behaviour = lambda body: Behaviour.REJECTS_FORM if "links" in body else Behaviour.WELL
    write(store, "ramp_blocked", "warning")
    deliver(store)
    assert set(pagerduty.confirmed[0]["payload"]) == {"summary", "source", "severity"}


def test_rejected_html_is_sent_again_as_plain_text(only: ONLY, mailbox: Mailbox) -> None:
    store = only("email")
    mailbox.data_answer = lambda mail: "554 no HTML" if mail.is_multipart() else "250 ok"
    write(store, "promotion")
    deliver(store)
    assert [mail.get_content_type() for _, mail in mailbox.confirmed] == ["text/plain"]


def test_a_form_rejected_twice_is_dead(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.always(Behaviour.REJECTS_FORM)
    write(store, "promotion")
    deliver(store)
    assert states(store) == {"slack": "dead"}
    assert len(slack.requests) == 2


def test_an_unknown_owners_channel_falls_back_to_the_default_one(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.behaviour = lambda body: Behaviour.UNKNOWN_PLACE if body["channel"] == "#gone" else Behaviour.WELL
    with store.connect() as connection:
        row = connection.execute(
            "INSERT INTO ab_experiments (name, owner_channel) VALUES ('checkout', '#gone') RETURNING id"
        ).fetchone()
        assert row is not None
        connection.execute(
            "INSERT INTO notification_outbox (event, level, experiment_id, dedup_key, payload)"
            " VALUES ('promotion', 'info', %s, 'a', '{}')",
            [row["id"]],
        )
    deliver(store)
    assert [body["channel"] for body in slack.confirmed] == ["#experiments"]


@pytest.mark.parametrize("behaviour", [Behaviour.HANGS, Behaviour.CUTS, Behaviour.MAYBE])
def test_a_slack_message_that_may_have_arrived_is_looked_up_and_not_repeated(
    only: ONLY, slack: Web, behaviour: Behaviour
) -> None:
    store = only("slack")
    write(store, "promotion", key="first")
    deliver(store)
    slack.once(behaviour)
    write(store, "promotion", key="second")
    deliver(store, dataclasses.replace(ONE_TRY, answer_seconds=SHORT_WAIT))
    assert states(store) == {"slack": "uncertain"}
    make_all_due(store)
    deliver(store)
    assert states(store) == {"slack": "delivered"}
    assert len(slack.posted) == 2


def test_a_slack_message_that_did_not_arrive_is_found_missing_and_sent_again(only: ONLY, slack: Web) -> None:
    store = only("slack")
    write(store, "promotion", key="first")
    deliver(store)
    slack.once(Behaviour.CUTS)
    write(store, "promotion", key="second")
    deliver(store, ONE_TRY)
    slack.posted.pop()
    make_all_due(store)
    deliver(store)
    assert states(store) == {"slack": "delivered"}
    assert len(slack.posted) == 2


def test_a_slack_message_that_cannot_be_looked_up_is_left_to_a_person(only: ONLY, slack: Web) -> None:
    store = only("slack")
    slack.can_be_searched = False
    slack.once(Behaviour.CUTS)
    write(store, "promotion")
    deliver(store)
    assert states(store) == {"slack": "uncertain"}
    assert rows(store)["slack"]["next_attempt_at"] is None
    assert len(slack.posted) == 1
    (held,) = list_deliveries(store)
    assert confirm(store, [held.id]) == (held.id,)
    assert deliver(store).delivered == 0
    assert states(store) == {"slack": "delivered"}


def test_the_pager_may_hear_twice_under_one_dedup_key(only: ONLY, pagerduty: Web) -> None:
    store = only("pagerduty")
    pagerduty.once(Behaviour.HANGS)
    write(store, "rollback", "critical")
    deliver(store, dataclasses.replace(ONE_TRY, answer_seconds=SHORT_WAIT))
    make_all_due(store)
    deliver(store)
    assert len(pagerduty.confirmed) == 1
    assert len(pagerduty.posted) == 2
    assert len({body["dedup_key"] for body in pagerduty.posted}) == 1


def test_a_mail_repeated_after_a_cut_keeps_its_message_id(only: ONLY, mailbox: Mailbox) -> None:
    store = only("email")
    mailbox.cuts_after_data = True
    write(store, "promotion")
    deliver(store, ONE_TRY)
    assert states(store) == {"email": "pending"}
    mailbox.cuts_after_data = False
    make_all_due(store)
    deliver(store)
    assert len(mailbox.mails) == 2
    assert len({mail["Message-ID"] for _, mail in mailbox.mails}) == 1


def test_a_mail_that_was_accepted_is_not_repeated_because_the_goodbye_failed(only: ONLY, mailbox: Mailbox) -> None:
    store = only("email")
    mailbox.hangs_at_quit = True
    write(store, "promotion")
    deliver(store, dataclasses.replace(IMPATIENT, answer_seconds=2.0))
    assert states(store) == {"email": "delivered"}
    assert len(mailbox.mails) == 1


def test_only_receivers_who_were_refused_for_now_get_a_mail_again(only: ONLY, mailbox: Mailbox) -> None:
    store = only("email")
    mailbox.refused = {"bob@example.com": "451 try later"}
    write(store, "promotion")
    deliver(store, ONE_TRY)
    mailbox.refused = {}
    make_all_due(store)
    deliver(store)
    assert [receivers for receivers, _ in mailbox.mails] == [("ann@example.com",), ("bob@example.com",)]


def test_a_receiver_refused_for_good_does_not_hold_the_mail_up(only: ONLY, mailbox: Mailbox) -> None:
    store = only("email")
    mailbox.refused = {"bob@example.com": "550 no such user"}
    write(store, "promotion")
    deliver(store)
    assert states(store) == {"email": "delivered"}
    assert "550 no such user" in rows(store)["email"]["last_error"]


def test_a_wrong_credential_keeps_the_message_for_when_it_is_right(channels: Store, slack: Web, pagerduty: Web) -> None:
    slack.always(Behaviour.BAD_TOKEN)
    pagerduty.always(Behaviour.BAD_TOKEN)
    write(channels, "ramp_blocked", "warning")
    deliver(channels, ONE_TRY)
    assert states(channels) == {"slack": "pending", "pagerduty": "pending"}
    slack.always(Behaviour.WELL)
    pagerduty.always(Behaviour.WELL)
    make_all_due(channels)
    assert deliver(channels).delivered == 2


def test_nobody_is_told_a_secret_when_channels_fail(
    channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox
) -> None:
    slack.always(Behaviour.BAD_TOKEN)
    pagerduty.always(Behaviour.BAD_TOKEN)
    mailbox.is_up = False
    write(channels, "rollback", "critical", reason=f"leaked {' '.join(CANARIES)}")
    deliver(channels, ONE_TRY)
    for web in (slack, pagerduty):
        web.always(Behaviour.WELL)
    mailbox.is_up = True
    stored = [str(row["last_error"]) for row in rows(channels).values()]
    assert len(stored) == 3
    make_all_due(channels)
    report = deliver(channels)
    assert report.delivered == 3
    said = [
        *stored,
        str(slack.confirmed),
        str([{**body, "routing_key": ""} for body in pagerduty.confirmed]),
        *(str(part.get_content()) for part in mailbox.confirmed[0][1].walk() if not part.is_multipart()),
        str(report),
    ]
    assert not [canary for canary in CANARIES for text in said if canary in text]


def test_a_sender_that_died_leaves_a_claim_that_lapses(only: ONLY, slack: Web) -> None:
    store = only("slack")
    write(store, "promotion")
    fan_out(store)
    with store.connect() as connection:
        connection.execute("UPDATE notification_deliveries SET state = 'sending', claim = gen_random_uuid()")
        connection.execute("UPDATE notification_deliveries SET next_attempt_at = now() + interval '1 hour'")
    assert deliver_due(store, policy=IMPATIENT).delivered == 0
    make_all_due(store)
    deliver_due(store, policy=IMPATIENT)
    assert states(store) == {"slack": "uncertain"}
    assert slack.posted == []
