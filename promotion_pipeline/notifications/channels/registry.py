"""Every channel, one line each. The database's checks of `channel` are tested to be equal to it."""

from __future__ import annotations

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import InputError
from promotion_pipeline.notifications.channels.mail import EMAIL
from promotion_pipeline.notifications.channels.pagerduty import PAGERDUTY
from promotion_pipeline.notifications.channels.port import Channel
from promotion_pipeline.notifications.channels.slack import SLACK

CHANNELS: tuple[Channel, ...] = (
    SLACK,
    PAGERDUTY,
    EMAIL,
)


def configured_channels(settings: Settings) -> tuple[Channel, ...]:
    """The channels that the settings switch on."""
    return tuple(channel for channel in CHANNELS if channel.is_on(settings))


def channel_named(name: str) -> Channel:
    """The channel of this name.

    Raises:
        InputError: there is none.
    """
    for channel in CHANNELS:
        if channel.name == name:
            return channel
    known = ", ".join(channel.name for channel in CHANNELS)
    raise InputError(f"{name!r} is no channel: it is one of {known}")


def how_to_switch_on() -> str:
    """What to set where no channel is on."""
    *others, last = (channel.switch for channel in CHANNELS)
    return f"set {', '.join(others)}, or {last}"
