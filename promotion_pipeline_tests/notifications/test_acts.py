"""From the act to the message: what the lifecycle writes is what people read."""

from __future__ import annotations

import pytest

from promotion_pipeline.notifications import enqueue_run_failure, enqueue_run_recovery, enqueue_summary
from promotion_pipeline.promotion.act.holds import release_hold
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import CANARIES, deliver, settings_with, write
from promotion_pipeline_tests.notifications.servers import Mailbox, Web
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, seed_experiment


def test_promotion_rollback_and_release_tell_everybody_the_whole_story(
    channels: Store, slack: Web, pagerduty: Web, mailbox: Mailbox
) -> None:
    seed_experiment(channels, "new checkout", WINNER, users=2000)
    promote_winner("new checkout", "manual", "user-123", store=channels)
    rollback_promotion("new checkout", "errors in production", "oncall", store=channels)
    release_hold("new checkout", "user-123", reason="fixed", store=channels)
    deliver(channels)

    promoted, rolled_back, released = sorted((body["text"] for body in slack.confirmed), key=order)
    assert "new checkout: treatment promoted" in promoted
    assert "Lift over control: +30.00 %" in promoted
    assert "Requests in the smaller arm: 10,000" in promoted
    assert "errors in production" in rolled_back
    assert "control 50 %, treatment 50 %" in rolled_back
    assert "Lift it was promoted for: +30.00 %" in rolled_back
    assert "user-123 lifted the hold on automatic promotion: fixed" in released
    assert "https://experiments.example.com/experiments/new%20checkout" in promoted
    assert [body["event_action"] for body in pagerduty.confirmed] == ["trigger", "resolve"]
    assert {mail["Subject"] for _, mail in mailbox.confirmed} == {
        "[info] new checkout: treatment promoted",
        "[critical] new checkout: treatment rolled back",
    }


def order(text: str) -> int:
    return [word in text for word in (" promoted\n", "rolled back", "hold lifted")].index(True)


def test_a_request_for_approval_says_what_is_missing(channels: Store, slack: Web) -> None:
    seed_experiment(channels, "checkout", UNPROVEN)
    auto_check_promotions("cron", store=channels)
    deliver(channels)
    (body,) = slack.confirmed
    assert "treatment waits for approval" in body["text"]
    assert "evidence" in body["text"]
    assert "approve checkout" in body["text"]


def test_an_act_that_is_undone_tells_nobody(channels: Store, slack: Web) -> None:
    with pytest.raises(RuntimeError), channels.connect() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO notification_outbox (event, level, dedup_key, payload) VALUES ('promotion', 'info', 'a', '{}')"
        )
        raise RuntimeError
    deliver(channels)
    assert slack.requests == []


def test_a_failed_run_is_told_once_whatever_was_retried(channels: Store, slack: Web, pagerduty: Web) -> None:
    failed = {"job": "hourly_promotion_job", "root_run_id": "run-1", "error": f"it broke: {CANARIES[0]}", "step": "x"}
    assert enqueue_run_failure(channels, run_id="run-3", attempts=3, **failed)
    assert not enqueue_run_failure(channels, run_id="run-3", attempts=3, **failed)
    assert enqueue_run_recovery(channels, job="hourly_promotion_job", run_id="run-4")
    assert not enqueue_run_recovery(channels, job="hourly_promotion_job", run_id="run-5")
    deliver(channels)
    assert [body["event_action"] for body in pagerduty.confirmed] == ["trigger", "resolve"]
    assert "https://dagster.example.com/runs/run-3" in slack.confirmed[0]["text"]
    assert count(channels, "SELECT count(*) FROM notification_outbox WHERE payload::text LIKE '%%canary%%'") == 0


def test_a_job_that_never_failed_does_not_recover(channels: Store) -> None:
    assert not enqueue_run_recovery(channels, job="hourly_promotion_job", run_id="run-1")


def test_an_hour_is_summed_up_once_by_mail(channels: Store, mailbox: Mailbox, slack: Web) -> None:
    seed_experiment(channels, "checkout", WINNER, users=2000)
    assert not enqueue_summary(channels)
    promote_winner("checkout", "manual", "user-123", store=channels)
    assert enqueue_summary(channels)
    assert not enqueue_summary(channels)
    deliver(channels)
    (mail,) = [mail for _, mail in mailbox.confirmed if "Experiments at" in mail["Subject"]]
    assert "1 promoted" in mail["Subject"]
    page = mail.get_body(("html",))
    assert page is not None
    html = page.get_content()
    assert "<td" in html
    assert "checkout" in html
    assert not [body for body in slack.confirmed if "Experiments at" in body["text"]]


def test_no_summary_is_written_where_nobody_wants_one(channels: Store) -> None:
    seed_experiment(channels, "checkout", WINNER, users=2000)
    promote_winner("checkout", "manual", "user-123", store=channels)
    assert not enqueue_summary(settings_with(channels, summary_hours=0))
    assert not enqueue_summary(settings_with(channels, smtp_host=None))


def test_what_is_written_twice_is_told_once(channels: Store, slack: Web) -> None:
    write(channels, "promotion", key="same")
    with pytest.raises(AssertionError):
        write(channels, "promotion", key="same")
    deliver(channels)
    assert len(slack.confirmed) == 1
