"""Channels on loopback, and a delivery that does not wait."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import CRON_SECRET, ROUTING_KEY, SLACK_TOKEN, SMTP_PASSWORD
from promotion_pipeline_tests.notifications.servers import Mailbox, Web, mail_server, web_server


@pytest.fixture
def slack() -> Iterator[Web]:
    with web_server() as web:
        yield web


@pytest.fixture
def pagerduty() -> Iterator[Web]:
    with web_server() as web:
        yield web


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def channel_settings(slack: Web, pagerduty: Web, mailbox: Mailbox) -> dict[str, Any]:
    """Every channel on, each on loopback."""
    return {
        "slack_token": SecretStr(SLACK_TOKEN),
        "slack_base_url": slack.slack_url,
        "pagerduty_routing_key": SecretStr(ROUTING_KEY),
        "pagerduty_base_url": pagerduty.url,
        "smtp_host": "127.0.0.1",
        "smtp_port": mailbox.port,
        "smtp_password": SecretStr(SMTP_PASSWORD),
        "smtp_starttls": False,
        "email_to": ("ann@example.com", "bob@example.com"),
        "cron_secret": SecretStr(CRON_SECRET),
        "public_url": "https://experiments.example.com/",
        "dagster_url": "https://dagster.example.com",
    }


@pytest.fixture
def channels(store: Store, channel_settings: dict[str, Any]) -> Store:
    """The test's store with every channel on."""
    return dataclasses.replace(store, settings=store.settings.model_copy(update=channel_settings))


@pytest.fixture
def only(channels: Store) -> Callable[[str], Store]:
    """The store with one channel on."""
    switches = {"slack": "slack_token", "pagerduty": "pagerduty_routing_key", "email": "smtp_host"}

    def with_only(channel: str) -> Store:
        off = {setting: None for name, setting in switches.items() if name != channel}
        return dataclasses.replace(channels, settings=channels.settings.model_copy(update=off))

    return with_only
