"""Slack: chat.postMessage through dagster-slack's client."""

from __future__ import annotations

import http.client
import re
import urllib.error
from typing import TYPE_CHECKING, Any

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
from promotion_pipeline.notifications.message import Message, one_line, shortened
from promotion_pipeline.text.retry_after import seconds_of

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

LONGEST_HEADER = 150
LONGEST_SECTION = 2900
LONGEST_FIELD = 1900
LONGEST_TEXT = 3500
MOST_FIELDS = 10
METADATA_EVENT = "promotion_pipeline_notification"
PAGES_SEARCHED = 5
CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{7,}")

FORM_ERRORS = frozenset(
    [
        "block_mismatch",
        "invalid_arguments",
        "invalid_array_arg",
        "invalid_attachments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_charset",
        "invalid_form_data",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "invalid_post_type",
        "json_not_object",
        "metadata_must_be_sent_from_app",
        "metadata_too_large",
        "missing_post_type",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    ]
)
TARGET_ERRORS = frozenset(
    [
        "channel_not_found",
        "is_archived",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
    ]
)
MAYBE_POSTED = frozenset({"fatal_error", "internal_error"})
"""Slack says of these that some aspect of the operation may have succeeded."""

ICONS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}


class SlackSender:
    """Posts as the bot of AUTO_PROMOTION_SLACK_TOKEN."""

    def __init__(self, settings: Settings, answer_seconds: float = ANSWER_SECONDS) -> None:
        from promotion_pipeline.notifications.channels.slack_resource import SlackResourceWithUrl

        assert settings.slack_token is not None
        self._default_channel = settings.slack_channel
        self._client: WebClient = SlackResourceWithUrl(
            token=settings.slack_token.get_secret_value(),
            base_url=settings.slack_base_url,
            timeout_seconds=answer_seconds,
        ).get_client()

    @property
    def channel(self) -> Channel:
        """Slack."""
        return SLACK

    def send(self, envelope: Envelope) -> Attempt:
        """Post one message; as text only where the envelope says so."""
        place = envelope.target or self._default_channel
        try:
            answer = self._client.chat_postMessage(channel=place, unfurl_links=False, **_content(envelope))
        except Exception as error:
            return _attempt_of(error, place)
        return Attempt(
            AttemptKind.DELIVERED, receipt={"channel": answer.get("channel"), "ts": answer.get("ts"), "place": place}
        )

    def find(self, envelope: Envelope) -> Found:
        """Look for the message in the channel's history by the metadata that it was posted with.

        Needs the scope channels:history, and the channel's id: given as target, or learned from an earlier delivery.
        """
        place = envelope.target or self._default_channel
        known = place if CHANNEL_ID.fullmatch(place) else envelope.known_places.get(place)
        if known is None or envelope.first_attempt_at is None or envelope.is_plain:
            return Found.UNKNOWN
        oldest = f"{envelope.first_attempt_at.timestamp() - 60:.0f}"
        cursor: str | None = None
        try:
            for _ in range(PAGES_SEARCHED):
                page = self._client.conversations_history(
                    channel=known, oldest=oldest, include_all_metadata=True, limit=200, cursor=cursor
                )
                if any(_delivery_of(message) == envelope.dedup_key for message in page.get("messages") or ()):
                    return Found.YES
                cursor = (page.get("response_metadata") or {}).get("next_cursor")
                if not cursor:
                    return Found.NO
        except Exception as error:
            return _found_after(error)
        return Found.UNKNOWN

    def probe(self) -> str:
        """Ask Slack who the token belongs to."""
        try:
            answer = self._client.auth_test()
        except Exception as error:
            raise DependencyError(f"Slack: {_attempt_of(error, self._default_channel).error}") from None
        return f"{answer.get('user')} in {answer.get('team')}"

    def close(self) -> None:
        """Nothing is kept open."""


def _content(envelope: Envelope) -> dict[str, Any]:
    message = envelope.message
    text = shortened(escaped(f"{message.title}\n{message.as_text()}"), LONGEST_TEXT)
    if envelope.is_plain:
        return {"text": text, "mrkdwn": False}
    metadata = {"event_type": METADATA_EVENT, "event_payload": {"delivery": envelope.dedup_key}}
    return {"text": text, "blocks": blocks_of(message), "metadata": metadata}


def blocks_of(message: Message) -> list[dict[str, Any]]:
    """The message as Block Kit: a header, sentences, the numbers side by side, what to do, links."""
    sentences = shortened("\n".join(escaped(sentence) for sentence in message.what_happened), LONGEST_SECTION)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _header(message.title), "emoji": False}},
        _section(f"{ICONS[message.level]} {sentences}"),
    ]
    if message.facts:
        fields = [f"*{escaped(fact.label)}*\n{escaped(fact.value)}" for fact in message.facts[:MOST_FIELDS]]
        texts = [{"type": "mrkdwn", "text": shortened(field, LONGEST_FIELD)} for field in fields]
        blocks.append({"type": "section", "fields": texts})
    if message.next_step:
        blocks.append(_section(f"*What to do:* {shortened(escaped(message.next_step), LONGEST_SECTION)}"))
    if message.links:
        links = "  |  ".join(f"<{link.url}|{escaped(link.label)}>" for link in message.links)
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": links}]})
    return blocks


def _header(title: str) -> str:
    """The title as plain text in one line; Slack decodes what is escaped in plain text, too."""
    line = one_line(title)
    spent = len(escaped(line[:LONGEST_HEADER])) - len(line[:LONGEST_HEADER])
    return escaped(shortened(line, max(LONGEST_HEADER - spent, 1)))


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def escaped(text: str) -> str:
    """`text` so that Slack shows it as it is: no mention, no link, no channel alert."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _delivery_of(message: dict[str, Any]) -> object:
    return ((message.get("metadata") or {}).get("event_payload") or {}).get("delivery")


def _attempt_of(error: Exception, place: str) -> Attempt:
    """What an exception of the client means for the message."""
    from slack_sdk.errors import SlackApiError

    if isinstance(error, SlackApiError):
        return _refused(error, place)
    if isinstance(error, urllib.error.URLError):
        # urllib wraps what fails until the request is written; what fails afterwards comes as it is.
        hung = isinstance(error.reason, TimeoutError)
        return Attempt(AttemptKind.RETRY, f"Slack cannot be reached: {error.reason}", hung=hung)
    if isinstance(error, OSError | http.client.HTTPException):
        hung = isinstance(error, TimeoutError)
        said = f"the connection to Slack ended without an answer: {type(error).__name__}: {error}"
        return Attempt(AttemptKind.UNCERTAIN, said, hung=hung)
    return Attempt(AttemptKind.UNCERTAIN, f"Slack's answer could not be read: {type(error).__name__}")


def _refused(error: SlackApiError, place: str) -> Attempt:
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    code = str(response.get("error") or "no error code")
    said = f"Slack answered {shortened(code, 200)} (HTTP {status})"
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return Attempt(AttemptKind.RETRY, said, seconds_of(getattr(response, "headers", {})))
    if code in FORM_ERRORS or status in {400, 413}:
        return Attempt(AttemptKind.REJECTED_FORM, said)
    if code in TARGET_ERRORS:
        return Attempt(AttemptKind.REJECTED_TARGET, f"{said} for {place}: invite the bot to it, or correct its name")
    unreadable = status == 200 and not code.isidentifier()
    if code in MAYBE_POSTED or status == 504 or unreadable:
        return Attempt(AttemptKind.UNCERTAIN, said)
    return Attempt(AttemptKind.RETRY, said, seconds_of(getattr(response, "headers", {})))


def _found_after(error: Exception) -> Found:
    """A refusal will be the same the next time; a fault of the connection may not."""
    from slack_sdk.errors import SlackApiError

    if not isinstance(error, SlackApiError):
        return Found.LATER
    status = int(getattr(error.response, "status_code", 0) or 0)
    return Found.LATER if status == 429 or status >= 500 else Found.UNKNOWN


SLACK = Channel(
    name="slack",
    title="Slack",
    least_level="info",
    threads=Threads.STORY,
    repeats_safely=False,
    default_target=lambda settings: settings.slack_channel,
    is_on=lambda settings: settings.slack_token is not None,
    open=SlackSender,
    switch="AUTO_PROMOTION_SLACK_TOKEN",
    fix="export AUTO_PROMOTION_SLACK_TOKEN=xoxb-...  (a bot token with chat:write)",
)
