"""E-mail by SMTP: text and HTML in one message, with a Message-ID that stays the same when it is repeated."""

from __future__ import annotations

import contextlib
import hashlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from html import escape

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels.port import (
    ANSWER_SECONDS,
    Attempt,
    AttemptKind,
    Channel,
    Envelope,
    Found,
)
from promotion_pipeline.notifications.events import SystemEvent
from promotion_pipeline.notifications.message import Message, one_line, shortened
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.promotion.record.events import Event

IMPLICIT_TLS_PORT = 465
LONGEST_SUBJECT = 200
LONGEST_ERROR = 300
CONTENT_CODES = frozenset({552, 554})
"""Permanent answers to DATA that may be about the content: too large, or not acceptable."""
COLOURS = {"info": "#1a6fb5", "warning": "#b26a00", "critical": "#b3261e"}


class MailSender:
    """Sends to everybody in AUTO_PROMOTION_EMAIL_TO."""

    def __init__(self, settings: Settings, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._settings = settings
        self._answer_seconds = answer_seconds

    @property
    def channel(self) -> Channel:
        """E-mail."""
        return EMAIL

    def send(self, envelope: Envelope) -> Attempt:
        """Send to those who did not get it at an earlier attempt."""
        accepted = tuple(envelope.receipt.get("accepted") or ())
        receivers = [address for address in self._settings.email_to if address not in accepted]
        mail = mail_of(envelope, self._settings)
        try:
            with self._session() as session:
                refused = session.send_message(mail, to_addrs=receivers)
        except smtplib.SMTPRecipientsRefused as error:
            return _partly_refused(error.recipients, receivers, accepted)
        except (smtplib.SMTPException, OSError) as error:
            return _attempt_of(error)
        return _partly_refused(refused, receivers, accepted)

    def find(self, envelope: Envelope) -> Found:  # noqa: ARG002
        """An inbox cannot be asked; the Message-ID lets the receiving side drop a repetition."""
        return Found.NO

    def probe(self) -> str:
        """Connect, encrypt and log in as for a message, and send none."""
        try:
            with self._session() as session:
                session.noop()
        except (smtplib.SMTPException, OSError) as error:
            raise DependencyError(scrubbed(str(_attempt_of(error).error), self._settings)) from None
        return f"{self._settings.smtp_host}:{self._settings.smtp_port} takes mail"

    def close(self) -> None:
        """Nothing is kept open."""

    @contextlib.contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A connection, encrypted and logged in as the settings say.

        What fails at the end, when the mail is accepted already, is not told.
        """
        session = self._opened()
        try:
            yield session
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()
        finally:
            session.close()

    def _opened(self) -> smtplib.SMTP:
        settings, host = self._settings, str(self._settings.smtp_host)
        if encrypts_from_the_start(settings):
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                host, settings.smtp_port, timeout=self._answer_seconds, context=ssl.create_default_context()
            )
        else:
            session = smtplib.SMTP(host, settings.smtp_port, timeout=self._answer_seconds)
        try:
            if settings.smtp_starttls and not encrypts_from_the_start(settings):
                session.starttls(context=ssl.create_default_context())
            if settings.smtp_user:
                password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
                session.login(settings.smtp_user, password)
        except BaseException:
            session.close()
            raise
        return session


def encrypts_from_the_start(settings: Settings) -> bool:
    """Whether the connection to the mail server is encrypted from its first byte."""
    return settings.smtp_port == IMPLICIT_TLS_PORT if settings.smtp_tls is None else settings.smtp_tls


def mail_of(envelope: Envelope, settings: Settings) -> EmailMessage:
    """The e-mail: plain text, and HTML beside it unless the plain form is asked for."""
    message = envelope.message
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Subject"] = subject_of(message)
    mail["From"] = settings.email_from
    mail["To"] = ", ".join(settings.email_to)
    mail["Date"] = format_datetime(envelope.created_at)
    mail["Message-ID"] = message_id(envelope.dedup_key, settings.email_from)
    if message.experiment_name is not None:
        mail["References"] = message_id(f"experiment:{message.experiment_name}", settings.email_from)
    mail["Auto-Submitted"] = "auto-generated"
    if message.level == "critical":
        mail["Importance"] = "high"
    mail.set_content(message.as_text() + "\n")
    if not envelope.is_plain:
        mail.add_alternative(html_of(message), subtype="html")
    return mail


def subject_of(message: Message) -> str:
    """The subject; nothing in it is taken for an encoded word (RFC 2047).

    The email package decodes `=?charset?q?...?=` in whatever it is given, line breaks included: an experiment's name
    could otherwise bring headers and a body of its own. A space takes the word apart, on every version of Python alike.
    """
    subject = shortened(f"[{message.level}] {one_line(message.title)}", LONGEST_SUBJECT)
    return subject.replace("=?", "= ?")


def message_id(key: str, sender: str) -> str:
    """The same id for the same key, in the sender's domain."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"


def html_of(message: Message) -> str:
    """The message as a page of HTML without anything to load."""
    colour = COLOURS[message.level]
    parts = [f'<h2 style="color:{colour};font-size:18px;margin:0 0 12px">{escape(message.title)}</h2>']
    parts += [f"<p>{escape(sentence)}</p>" for sentence in message.what_happened]
    if message.facts:
        parts.append(_html_table([(fact.label, fact.value) for fact in message.facts]))
    if message.table is not None:
        parts.append(_html_table(message.table.rows, message.table.columns))
    if message.next_step:
        parts.append(f"<p><b>What to do:</b> {escape(message.next_step)}</p>")
    links = " &nbsp; ".join(f'<a href="{escape(link.url)}">{escape(link.label)}</a>' for link in message.links)
    body = "\n".join([*parts, f"<p>{links}</p>"])
    style = "font-family:system-ui,sans-serif;font-size:14px;line-height:1.5"
    return f'<!doctype html><html><body style="{style}">\n{body}\n</body></html>\n'


def _html_table(rows: tuple[tuple[str, ...], ...] | list[tuple[str, str]], columns: tuple[str, ...] = ()) -> str:
    cell = "padding:2px 12px 2px 0;text-align:left"
    head = "".join(f'<th style="{cell}">{escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{escape(value)}</td>' for value in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _partly_refused(refused: dict[str, tuple[int, bytes]], receivers: list[str], accepted: tuple[str, ...]) -> Attempt:
    """Done, unless somebody may be accepted later; those who got it do not get it again."""
    got = [*accepted, *(address for address in receivers if address not in refused)]
    receipt = {"accepted": got}
    if not refused:
        return Attempt(AttemptKind.DELIVERED, receipt=receipt)
    said = shortened("; ".join(f"{address}: {_answer(*answer)}" for address, answer in refused.items()), LONGEST_ERROR)
    for_good = all(code >= 500 for code, _ in refused.values())
    if for_good and got:
        return Attempt(AttemptKind.DELIVERED, f"refused for good: {said}", receipt=receipt)
    return Attempt(AttemptKind.RETRY, f"the mail server refused {said}", receipt=receipt)


def _attempt_of(error: smtplib.SMTPException | OSError) -> Attempt:
    if isinstance(error, smtplib.SMTPDataError) and error.smtp_code in CONTENT_CODES:
        return Attempt(AttemptKind.REJECTED_FORM, f"the mail server refused the content: {_text(error)}")
    hint = _hint(error)
    if hint is not None:
        return Attempt(AttemptKind.RETRY, f"{hint[0]}: {_text(error)}; {hint[1]}")
    hung = isinstance(error, TimeoutError) or "timed out" in str(error)
    return Attempt(AttemptKind.RETRY, f"the mail server did not take it: {_text(error)}", hung=hung)


def _hint(error: smtplib.SMTPException | OSError) -> tuple[str, str] | None:
    """What is wrong, and what to do about it; None where only the server knows."""
    match error:
        case smtplib.SMTPConnectError() | socket.gaierror() | ConnectionRefusedError():
            return "the mail server cannot be reached", "check AUTO_PROMOTION_SMTP_HOST and _PORT"
        case smtplib.SMTPAuthenticationError():
            return "the mail server refused the login", "check AUTO_PROMOTION_SMTP_USER and _PASSWORD"
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            said = "the mail server does not encrypt, so nothing was said to it"
            return said, "on a network that you trust, set AUTO_PROMOTION_SMTP_STARTTLS=false"
        case ssl.SSLCertVerificationError():
            said = "the mail server's certificate is not trusted"
            return said, "name the certificates of your own authority in SSL_CERT_FILE"
        case ssl.SSLError():
            said = "the mail server does not speak TLS in this way"
            return said, "check AUTO_PROMOTION_SMTP_PORT, _TLS (encrypted from the first byte) and _STARTTLS"
    return None


def _text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _answer(error.smtp_code, error.smtp_error)
    return shortened(f"{type(error).__name__}: {' '.join(str(error).split())}", LONGEST_ERROR)


def _answer(code: int, text: bytes | str) -> str:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    return shortened(f"{code} {' '.join(shown.split())}", LONGEST_ERROR)


def _mistake(settings: Settings) -> tuple[str, str] | None:
    is_local = settings.smtp_host in {"127.0.0.1", "localhost", "::1"}
    if settings.smtp_user and not (settings.smtp_starttls or encrypts_from_the_start(settings) or is_local):
        return "the mail password would travel in the clear", "export AUTO_PROMOTION_SMTP_STARTTLS=true"
    return None


EMAIL = Channel(
    name="email",
    title="e-mail",
    least_level="critical",
    more_events=frozenset(
        {
            Event.PROMOTION,
            Event.ROLLBACK,
            Event.WATCH_BREACH,
            Event.WATCH_BLIND,
            Event.SPLIT_DRIFT,
            SystemEvent.HOURLY_SUMMARY,
        }
    ),
    is_on=lambda settings: settings.smtp_host is not None,
    open=MailSender,
    switch="AUTO_PROMOTION_SMTP_HOST and AUTO_PROMOTION_EMAIL_TO",
    mistake=_mistake,
)
