"""What people read: complete, harmless, and without a secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications import SystemEvent
from promotion_pipeline.notifications.channels.mail import html_of, mail_of
from promotion_pipeline.notifications.channels.pagerduty import event_of
from promotion_pipeline.notifications.channels.port import Envelope
from promotion_pipeline.notifications.channels.slack import blocks_of
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.message import Message
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.text.retry_after import seconds_of

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SETTINGS = Settings(
    public_url="https://experiments.example.com/",
    dagster_url="https://dagster.example.com/",
    email_to=("ann@example.com",),
    slack_token=SecretStr("xoxb-canary-slack-token"),
    database_url=SecretStr("postgresql://app:canary%40password@db.example.com/app"),
)
PROMOTION: dict[str, Any] = {
    "winner": "green",
    "control": "blue",
    "confidence": 99.9968,
    "improvement": 12.5,
    "sample_size": 12345,
    "promotion_type": "auto",
    "promoted_by": "auto-promotion",
    "state": "promoted",
    "traffic_percent": 100.0,
    "warnings": ["latency is 25 % above control"],
}


def message(event: str, name: str | None = "checkout", **payload: Any) -> Message:
    return compose(Notification(event, "warning", AT, "key-1", payload, experiment_name=name), SETTINGS)


def mail(message: Message, **changes: Any) -> Any:
    return mail_of(Envelope("key-1", message, AT, **changes), SETTINGS)


def text_of(mail: Any) -> str:
    """The plain text part."""
    return str(mail.get_body(("plain",)).get_content())


@pytest.mark.parametrize("event", [*Event, *SystemEvent])
def test_every_event_has_words_of_its_own(event: str) -> None:
    said = message(event)
    assert event.replace("_", " ") not in (said.title, f"checkout: {said.title}")
    assert said.what_happened
    assert said.next_step


def test_a_promotion_says_what_the_three_numbers_and_what_to_do() -> None:
    said = message(Event.PROMOTION_WITH_WARNINGS, **PROMOTION)
    assert said.title == "checkout: green promoted with warnings"
    assert [(fact.label, fact.value) for fact in said.facts] == [
        ("Lift over control", "+12.50 %"),
        ("Confidence", "over 99.99 %"),
        ("Requests in the smaller arm", "12,345"),
    ]
    assert "Warning: latency is 25 % above control" in said.what_happened
    assert "promotion-pipeline rollback checkout" in said.next_step


def test_a_ramping_promotion_does_not_claim_all_traffic() -> None:
    said = message(Event.PROMOTION, **{**PROMOTION, "state": "ramping", "traffic_percent": 75.0})
    assert "75 % of the traffic" in said.what_happened[0]


def test_a_rollback_names_the_variants_of_the_restored_split() -> None:
    notification = Notification(
        Event.ROLLBACK,
        "critical",
        AT,
        "key-1",
        {"reason": "errors", "to": "previous", "split": {"id-1": "30.00", "id-2": "70.00"}, "winner": "green"},
        experiment_name="checkout",
        variant_names={"id-1": "blue", "id-2": "green"},
        promotion={"improvement": 12.5, "confidence": 97, "promoted_at": AT.replace(hour=2)},
    )
    said = compose(notification, SETTINGS)
    assert "errors" in said.what_happened[0]
    assert said.what_happened[1] == "The split of before is restored: green 70 %, blue 30 %."
    assert [fact.value for fact in said.facts] == ["10.0 hours", "+12.50 %", "97.00 %"]


def test_an_approval_links_to_the_page_where_it_is_given() -> None:
    said = message(Event.APPROVAL_REQUESTED, name="new / checkout?", candidate="green", withheld=["too few users"])
    assert said.links[0].url == "https://experiments.example.com/experiments/new%20%2F%20checkout%3F"
    assert "Not promoted unattended: too few users." in said.what_happened
    assert "promotion-pipeline approve 'new / checkout?'" in said.next_step


def test_a_message_links_to_the_run_that_did_it() -> None:
    said = message(Event.PROMOTION, metadata={"dagster_run_id": "1b2c"})
    assert said.links[1].url == "https://dagster.example.com/runs/1b2c"


def test_a_watch_breach_compares_now_with_then() -> None:
    worse = {"metric": "error_rate", "observed": 0.12, "baseline": 0.01, "control": None}
    slower = {"metric": "latency", "observed": 250.0, "baseline": 100.0, "control": None}
    said = message(
        Event.WATCH_BREACH,
        metrics=["error_rate", "latency"],
        checks=[worse, slower],
        winner="green",
        rollback="it is not rolled back by itself: its auto_rollback is off",
        command="promotion-pipeline rollback checkout --to control --reason '...'",
    )
    assert said.title == "checkout: green got worse after its promotion (error rate, latency)"
    assert "It is not rolled back by itself: its auto_rollback is off." in said.what_happened
    assert "promotion-pipeline rollback checkout --to control --reason '...'" in said.next_step
    assert [(fact.label, fact.value) for fact in said.facts] == [
        ("Error rate now", "12.00 %"),
        ("Error rate when promoted", "1.00 %"),
        ("Latency now", "250.0 ms"),
        ("Latency when promoted", "100.0 ms"),
    ]


def test_a_name_cannot_mention_everybody_or_break_out_of_the_page() -> None:
    nasty = '<!channel> <script>alert(1)</script> & "x"\nBcc: eve@example.com'
    said = message(Event.PROMOTION, name=nasty, **PROMOTION)
    slack = json.dumps(blocks_of(said)[1:])
    assert "<!channel>" not in slack
    assert "<script>" not in html_of(said)
    sent = mail(said)
    assert sent["Bcc"] is None
    assert "\n" not in sent["Subject"]


def test_a_mail_has_text_and_html_and_an_id_that_stays() -> None:
    said = message(Event.PROMOTION, **PROMOTION)
    first, second = mail(said), mail(said)
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]
    assert "+12.50 %" in text_of(first)
    assert first["Message-ID"] == second["Message-ID"]
    assert mail(message(Event.ROLLBACK))["References"] == first["References"]
    assert mail(said, is_plain=True).get_content_type() == "text/plain"


def test_the_limits_of_slack_and_the_pager_are_kept() -> None:
    said = message(Event.PROMOTION, name="n" * 5000, **{**PROMOTION, "warnings": ["w" * 3000] * 5})
    blocks = blocks_of(said)
    assert len(blocks[0]["text"]["text"]) <= 150
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks if "text" in block)
    event = event_of(Envelope("k" * 400, said, AT), SETTINGS.public_url)
    assert len(event["payload"]["summary"]) <= 1024
    assert len(event["dedup_key"]) <= 255


def test_secrets_are_taken_out_whatever_form_they_come_in() -> None:
    leaked = (
        "xoxb-canary-slack-token canary@password canary%40password postgresql://me:hunter22@host/x xoxp-123456789-abc"
    )
    assert scrubbed(leaked, SETTINGS) == "*** *** *** postgresql://me:***@host/x ***"
    assert "canary" not in message("anything", message=leaked).as_text()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30", 30.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("nan", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert seconds_of({"retry-after": value}) == seconds


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    *("winner", "warnings", "split", "metadata", "improvement", "experiments", "message", "at", "observed", "reason"),
    *("traffic_percent", "promoted", "as_of", "withheld", "hold", "state"),
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*Event, *SystemEvent]), st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_payload_is_too_odd_to_be_told(event: str, payload: dict[str, Any]) -> None:
    said = message(event, **payload)
    assert json.loads(json.dumps(blocks_of(said)))
    assert bytes(mail(said))
    assert event_of(Envelope("k", said, AT), SETTINGS.public_url)
