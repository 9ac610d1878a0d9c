"""PagerDuty: Events API v2, idempotent by its dedup key."""

from __future__ import annotations

from typing import Any

import httpx2

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels.port import (
    ANSWER_SECONDS,
    Attempt,
    AttemptKind,
    Channel,
    Envelope,
    Found,
    Threads,
)
from promotion_pipeline.notifications.events import RESOLVES
from promotion_pipeline.notifications.message import Message, shortened
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.text.retry_after import seconds_of

LONGEST_SUMMARY = 1024
LONGEST_KEY = 255
LONGEST_DETAIL = 4000
LONGEST_ERROR = 300
CLIENT = "promotion-pipeline"


class PagerDutySender:
    """Triggers and resolves alerts of the service of AUTO_PROMOTION_PAGERDUTY_ROUTING_KEY."""

    def __init__(self, settings: Settings, answer_seconds: float = ANSWER_SECONDS) -> None:
        assert settings.pagerduty_routing_key is not None
        self._routing_key = settings.pagerduty_routing_key.get_secret_value()
        self._base_url = settings.pagerduty_base_url.rstrip("/")
        self._public_url = settings.public_url
        self._client = httpx2.Client(timeout=answer_seconds)

    @property
    def channel(self) -> Channel:
        """PagerDuty."""
        return PAGERDUTY

    def send(self, envelope: Envelope) -> Attempt:
        """Enqueue one event. Whatever goes wrong may be repeated: PagerDuty merges events of one key."""
        event = {"routing_key": self._routing_key, **event_of(envelope, self._public_url)}
        try:
            response = self._client.post(f"{self._base_url}/v2/enqueue", json=event)
        except httpx2.HTTPError as error:
            hung = isinstance(error, httpx2.TimeoutException)
            return Attempt(AttemptKind.RETRY, f"PagerDuty cannot be reached: {_named(error)}", hung=hung)
        return self._attempt_of(response, str(event["dedup_key"]))

    def find(self, envelope: Envelope) -> Found:  # noqa: ARG002
        """Not needed: events repeat safely."""
        return Found.NO

    def probe(self) -> str:
        """Ask the server for anything: an event would page somebody, and nothing else tells about the key."""
        try:
            response = self._client.get(f"{self._base_url}/v2/enqueue")
        except httpx2.HTTPError as error:
            raise DependencyError(f"PagerDuty cannot be reached: {_named(error)}; check the network") from None
        if response.status_code >= 500:
            raise DependencyError(f"PagerDuty answered HTTP {response.status_code}: see https://status.pagerduty.com")
        return f"{self._base_url} answers; the key is only checked by a test message"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _attempt_of(self, response: httpx2.Response, dedup_key: str) -> Attempt:
        status = response.status_code
        if status == 202:
            return Attempt(AttemptKind.DELIVERED, receipt={"dedup_key": dedup_key})
        answer = shortened(" ".join(response.text.split()), LONGEST_ERROR).replace(self._routing_key, "***")
        said = f"PagerDuty answered HTTP {status}: {answer}"
        if status in {400, 413} and "routing_key" not in answer:
            return Attempt(AttemptKind.REJECTED_FORM, said)
        return Attempt(AttemptKind.RETRY, said, seconds_of(response.headers))


def event_of(envelope: Envelope, public_url: str) -> dict[str, Any]:
    """The event without its routing key; the plain form has only what PagerDuty requires."""
    message = envelope.message
    event: dict[str, Any] = {
        "event_action": "resolve" if message.resolves else "trigger",
        "dedup_key": shortened(envelope.thread_key or envelope.dedup_key, LONGEST_KEY),
    }
    if message.resolves:
        return event
    payload: dict[str, Any] = {
        "summary": shortened(message.title, LONGEST_SUMMARY),
        "source": CLIENT,
        "severity": message.level,
    }
    if envelope.is_plain:
        return {**event, "payload": payload}
    payload |= {
        "timestamp": message.at.isoformat(),
        "component": message.experiment_name or CLIENT,
        "group": "experiments",
        "class": message.event,
        "custom_details": _details(message),
    }
    links = [{"href": link.url, "text": link.label} for link in message.links]
    return {**event, "payload": payload, "links": links, "client": CLIENT, "client_url": public_url}


def _details(message: Message) -> dict[str, str]:
    return {
        "what happened": shortened("\n".join(message.what_happened), LONGEST_DETAIL),
        **{fact.label: fact.value for fact in message.facts},
        "what to do": message.next_step,
    }


def _named(error: httpx2.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


PAGERDUTY = Channel(
    name="pagerduty",
    title="PagerDuty",
    least_level="warning",
    more_events=RESOLVES,
    fewer_events=frozenset({Event.WATCH_BLIND, Event.SPLIT_DRIFT}),
    threads=Threads.INCIDENT,
    wakes_people=True,
    is_on=lambda settings: settings.pagerduty_routing_key is not None,
    open=PagerDutySender,
    switch="AUTO_PROMOTION_PAGERDUTY_ROUTING_KEY",
)
