"""`promotion-pipeline notifications`: see, replay, confirm, test."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from promotion_pipeline.cli.main import app
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import CANARIES, ROUTING_KEY, SLACK_TOKEN, states, write
from promotion_pipeline_tests.notifications.servers import Behaviour, Mailbox, Web


@pytest.fixture
def environment(
    channels: Store,
    store_environment: dict[str, str],
    slack: Web,
    pagerduty: Web,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables: dict[str, Any] = {
        "SLACK_TOKEN": SLACK_TOKEN,
        "SLACK_BASE_URL": slack.slack_url,
        "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        "PAGERDUTY_BASE_URL": pagerduty.url,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": mailbox.port,
        "SMTP_STARTTLS": "false",
        "EMAIL_TO": "ann@example.com",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"AUTO_PROMOTION_{name}", str(value))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["notifications", *arguments])


@pytest.mark.usefixtures("environment")
def test_dead_notifications_are_listed_and_replayed(channels: Store, slack: Web) -> None:
    slack.always(Behaviour.REJECTS_FORM)
    write(channels, "approval_requested", experiment_name="checkout")
    assert run("deliver").exit_code == 1
    listed = json.loads(run("list", "--state", "dead", "--json").stdout)
    assert [(one["state"], one["experimentName"]) for one in listed] == [("dead", "checkout")]
    assert "invalid_blocks" in run("list").stdout
    slack.always(Behaviour.WELL)
    assert json.loads(run("replay", "--all", "--json").stdout)["replayed"] == [listed[0]["id"]]
    assert "slack: 1 delivered" in run("deliver").stdout
    assert run("replay", listed[0]["id"]).exit_code == 1
    assert states(channels) == {"slack": "delivered"}


@pytest.mark.usefixtures("environment")
def test_a_test_message_goes_to_every_channel_and_leaves_no_incident_open(
    slack: Web, pagerduty: Web, mailbox: Mailbox
) -> None:
    result = run("test")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["slack: OK", "pagerduty: OK", "email: OK"]
    assert [body["event_action"] for body in pagerduty.confirmed] == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in pagerduty.confirmed}) == 1
    assert (len(slack.confirmed), len(mailbox.confirmed)) == (1, 1)


@pytest.mark.usefixtures("environment")
def test_a_test_message_that_fails_says_why_without_a_secret(slack: Web) -> None:
    slack.always(Behaviour.BAD_TOKEN)
    result = run("test", "--channel", "slack")
    assert result.exit_code == 1
    assert "invalid_auth" in result.stdout
    assert not [canary for canary in CANARIES if canary in result.output]


def test_without_a_channel_the_test_says_what_to_set(store_environment: dict[str, str]) -> None:
    result = run("test")
    assert result.exit_code == 1
    assert "AUTO_PROMOTION_SLACK_TOKEN" in result.stderr


@pytest.mark.parametrize("arguments", [["replay"], ["replay", "17"], ["list", "--state", "lost"], ["confirm"]])
def test_a_wrong_argument_is_answered_with_what_is_right(
    store_environment: dict[str, str], arguments: list[str]
) -> None:
    result = run(*arguments)
    assert result.exception is not None
    assert result.exit_code != 0


@pytest.mark.usefixtures("environment")
def test_a_pass_in_which_nothing_arrives_fails_and_what_arrived_waits_for_nobody(channels: Store, slack: Web) -> None:
    write(channels, "approval_requested", experiment_name="checkout")
    assert run("deliver").exit_code == 0
    shown = run("list", "--state", "delivered").stdout
    assert ("approval_requested" in shown, "a person decides" in shown) == (True, False)
    slack.always(Behaviour.REJECTS_FORM)
    write(channels, "approval_requested", key="another", experiment_name="checkout")
    assert run("deliver").exit_code == 1
    assert "a person decides" in run("list").stdout
