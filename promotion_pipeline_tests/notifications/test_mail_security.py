"""Mail servers that encrypt and ask for a login, with certificates of an authority made for the test."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications import send_test_messages
from promotion_pipeline.notifications.channels.mail import MailSender, encrypts_from_the_start
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.notifications.helpers import (
    IMPATIENT,
    SMTP_PASSWORD,
    deliver,
    rows,
    settings_with,
    states,
    write,
)
from promotion_pipeline_tests.notifications.servers import Mailbox

USER = "promotions@example.com"
TWO_TRIES = dataclasses.replace(IMPATIENT, max_attempts=2)
Ready = Callable[..., Store]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine trusts the test's authority."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture
def encrypting(mailbox: Mailbox, authority: trustme.CA) -> Mailbox:
    """A server with a certificate of the authority, which lets one login in."""
    mailbox.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(mailbox.tls)
    mailbox.login = (USER, SMTP_PASSWORD)
    return mailbox


@pytest.fixture
def ready(only: Callable[[str], Store]) -> Ready:
    """A store whose only channel is e-mail, encrypted and with a login, and one message for it."""

    def with_settings(**changes: object) -> Store:
        store = settings_with(only("email"), **{"smtp_starttls": True, "smtp_user": USER, **changes})
        write(store, "promotion")
        return store

    return with_settings


@pytest.mark.usefixtures("trusted")
def test_the_login_is_said_only_after_starttls(encrypting: Mailbox, ready: Ready) -> None:
    assert deliver(ready()).delivered == 1
    assert [line.split()[0].upper() for line in encrypting.said_in_the_clear] == [b"EHLO", b"STARTTLS"]


@pytest.mark.usefixtures("trusted")
def test_a_server_may_encrypt_from_the_first_byte(encrypting: Mailbox, ready: Ready) -> None:
    encrypting.is_tls_from_the_start = True
    assert deliver(ready(smtp_tls=True)).delivered == 1
    assert encrypting.said_in_the_clear == []


@pytest.mark.usefixtures("trusted", "encrypting")
def test_a_wrong_password_is_a_dead_letter_that_says_so_without_it(mailbox: Mailbox, ready: Ready) -> None:
    mailbox.login = (USER, "another password")
    mailbox.tells_passwords = True
    store = ready()
    deliver(store, TWO_TRIES)
    assert states(store) == {"email": "dead"}
    error = rows(store)["email"]["last_error"]
    assert error == ("the mail server refused the login: 535 wrong: ***; check AUTO_PROMOTION_SMTP_USER and _PASSWORD")
    assert mailbox.mails == []
    (tried,) = send_test_messages(store.settings)
    assert tried.message == error
    with pytest.raises(DependencyError, match=r"refused the login: 535 wrong: \*\*\*;"):
        MailSender(store.settings).probe()


@pytest.mark.parametrize("login", [None, (USER, SMTP_PASSWORD)], ids=["no login", "login"])
def test_a_server_that_cannot_encrypt_is_told_nothing(
    mailbox: Mailbox, ready: Ready, login: tuple[str, str] | None
) -> None:
    mailbox.login = login
    store = ready(smtp_user=login and USER)
    deliver(store, TWO_TRIES)
    assert states(store) == {"email": "dead"}
    assert "does not encrypt, so nothing was said to it" in rows(store)["email"]["last_error"]
    assert "AUTO_PROMOTION_SMTP_STARTTLS=false" in rows(store)["email"]["last_error"]
    assert {line.split()[0].upper() for line in mailbox.said_in_the_clear} == {b"EHLO"}


def test_a_certificate_of_a_stranger_is_refused(encrypting: Mailbox, ready: Ready) -> None:
    store = ready()
    deliver(store, TWO_TRIES)
    assert states(store) == {"email": "dead"}
    assert "certificate is not trusted" in rows(store)["email"]["last_error"]
    assert "SSL_CERT_FILE" in rows(store)["email"]["last_error"]
    assert encrypting.mails == []


def test_tls_spoken_to_a_server_that_waits_for_starttls_is_explained(encrypting: Mailbox, ready: Ready) -> None:
    store = ready(smtp_tls=True)
    deliver(store, TWO_TRIES)
    assert states(store) == {"email": "dead"}
    assert "check AUTO_PROMOTION_SMTP_PORT, _TLS" in rows(store)["email"]["last_error"]


def test_port_465_encrypts_from_the_first_byte_unless_told_otherwise(ready: Ready) -> None:
    settings = ready().settings
    assert not encrypts_from_the_start(settings)
    assert encrypts_from_the_start(settings.model_copy(update={"smtp_port": 465}))
    assert not encrypts_from_the_start(settings.model_copy(update={"smtp_port": 465, "smtp_tls": False}))
