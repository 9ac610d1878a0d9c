"""Names of experiments that try to be more than a name, in mail and Slack."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.channels.mail import mail_of
from promotion_pipeline.notifications.channels.port import Envelope
from promotion_pipeline.notifications.channels.slack import LONGEST_HEADER, blocks_of
from promotion_pipeline.notifications.message import Message

SETTINGS = Settings(smtp_host="localhost", email_to=("people@example.com",))
AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [
    "=?utf-8?q?x=0D=0ABcc:_evil@example.com=0D=0A=0D=0A<b>hi</b>?=",
    "=?utf-8?b?eA0KQmNjOiBldmlsQGV4YW1wbGUuY29tDQoNCjxiPmhpPC9iPg==?=",
    "=?iso-8859-1?Q?=0A=0A<script>?= =?utf-8?q?=0D=0ABcc:_e@e.e?=",
    "=?=?utf-8?q?utf-8?q?x=0D=0ABcc:_e@e.e?=?=",
    "long " * 40 + "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
    "ünïcödé =?utf-8?q?x=0D=0ABcc:_evil@example.com?=",
    "=?utf-8?q?=\r\n?q?x=0D=0A?=",
]


def envelope(title: str) -> Envelope:
    message = Message("promotion", "info", title, AT, ("Something.",), experiment_name=title)
    return Envelope(message=message, dedup_key="key", created_at=AT)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_brings_headers_or_a_body_of_its_own(name: str) -> None:
    sent = mail_of(envelope(f"{name} was promoted"), SETTINGS).as_bytes()
    plain = mail_of(envelope("a plain name was promoted"), SETTINGS).as_bytes()
    read = message_from_bytes(sent)
    assert read.keys() == message_from_bytes(plain).keys()
    # A reader decodes once: what comes out is the name, with nothing more to decode and no line break.
    shown = str(make_header(decode_header(read["Subject"].replace("\r\n", ""))))
    assert "Bcc: " not in shown
    assert "\n" not in shown
    assert "=?" not in shown


@pytest.mark.parametrize("name", ["<!channel> <@U1> & <http://e.e|here>", "a\nb", "<" * 300, ":tada:"])
def test_the_header_in_slack_shows_a_name_as_it_is(name: str) -> None:
    header = blocks_of(envelope(name).message)[0]["text"]
    assert header["emoji"] is False
    assert not set("<>\n") & set(header["text"])
    assert 0 < len(header["text"]) <= LONGEST_HEADER
