"""The registry of channels is the only list of them."""

from __future__ import annotations

import re

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.doctor.examine import CHECKS
from promotion_pipeline.errors import InputError
from promotion_pipeline.notifications import CHANNELS, channel_named
from promotion_pipeline.notifications.channels.registry import how_to_switch_on
from promotion_pipeline.store.database import Store

NAMES = {channel.name for channel in CHANNELS}


@pytest.mark.parametrize("table", ["notification_deliveries", "notification_channels"])
def test_the_database_takes_the_channels_of_the_registry_and_no_other(store: Store, table: str) -> None:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = %s",
            [f"{table}_channel_check"],
        ).fetchone()
    assert row is not None, f"{table} has no check of its channel"
    taken = set(re.findall(r"'(\w+)'", row["definition"]))
    assert taken == NAMES, f"a migration has to change the check of {table}.channel: {taken ^ NAMES}"


def test_the_database_keeps_the_health_of_every_channel_of_the_registry(store: Store) -> None:
    with store.connect() as connection:
        rows = connection.execute("SELECT channel FROM notification_channels").fetchall()
    assert {row["channel"] for row in rows} == NAMES, "a migration has to insert the new channel's row"


def test_no_two_channels_share_a_name_or_title() -> None:
    assert len({channel.name for channel in CHANNELS}) == len({channel.title for channel in CHANNELS}) == len(CHANNELS)


@pytest.mark.parametrize("channel", CHANNELS, ids=str)
def test_a_channel_is_off_until_its_settings_switch_it_on(channel: object) -> None:
    found = channel_named(str(channel))
    assert not found.is_on(Settings())
    names = re.findall(r"AUTO_PROMOTION_(\w+)", found.switch)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
    assert found.switch in how_to_switch_on()


def test_the_doctor_looks_at_every_channel() -> None:
    assert {channel.title for channel in CHANNELS} <= {check.name for check in CHECKS}


def test_an_unknown_channel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'teams' is no channel: it is one of slack, pagerduty, email"):
        channel_named("teams")
