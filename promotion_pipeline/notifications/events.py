"""Events about the system itself, and which events begin and end an incident."""

from __future__ import annotations

from enum import StrEnum

from promotion_pipeline.promotion.record.events import Event


class SystemEvent(StrEnum):
    """Notifications about the system itself, beside those of the lifecycle."""

    HOURLY_SUMMARY = "hourly_summary"
    """What an hour decided, for everybody's inbox; info."""
    RUN_FAILURE = "run_failure"
    """A run of our own jobs failed for good; warning."""
    RUN_RECOVERED = "run_recovered"
    """The job that had failed succeeded again; info."""
    TEST = "test"
    """Sent by hand to see whether a channel works; info."""


AnyEvent = Event | SystemEvent


def event_named(name: str) -> AnyEvent | None:
    """The event of this name; None for one that has no words of its own, perhaps of another version."""
    return _BY_NAME.get(name)


_BY_NAME: dict[str, AnyEvent] = {event.value: event for event in (*Event, *SystemEvent)}


ON_REQUEST: frozenset[AnyEvent] = frozenset({SystemEvent.HOURLY_SUMMARY, Event.WARNINGS_SETTLED})
"""Events that only those channels get which name them."""

OPENS: frozenset[AnyEvent] = frozenset(
    {Event.WATCH_BREACH, Event.ROLLBACK, Event.RAMP_BLOCKED, SystemEvent.RUN_FAILURE}
)
"""Events that begin an incident which one of those below ends."""

RESOLVES: frozenset[AnyEvent] = frozenset(
    {
        Event.BREACH_ACKNOWLEDGED,
        Event.HOLD_RELEASED,
        Event.RAMP_STEP,
        Event.WARNINGS_SETTLED,
        SystemEvent.RUN_RECOVERED,
    }
)
"""Events that end an incident; a pager hears of them only where it was told of the incident."""
