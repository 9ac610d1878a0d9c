"""Servers on loopback that play Slack, PagerDuty and a mail server, well or badly."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Behaviour(Enum):
    """How a server answers one request."""

    WELL = auto()
    RATE_LIMITED = auto()
    BROKEN = auto()
    REJECTS_FORM = auto()
    UNKNOWN_PLACE = auto()
    HANGS = auto()
    """Takes the message and never answers."""
    CUTS = auto()
    """Takes the message and closes the connection without an answer."""
    MAYBE = auto()
    """Takes the message and says that something went wrong."""
    BAD_TOKEN = auto()


TAKES_THE_MESSAGE = frozenset({Behaviour.WELL, Behaviour.HANGS, Behaviour.CUTS, Behaviour.MAYBE})


@dataclass
class Web:
    """One HTTP server: Slack below /api/, PagerDuty below /v2/."""

    url: str = ""
    behaviour: Callable[[dict[str, Any]], Behaviour] = lambda body: Behaviour.WELL
    retry_after: str = "0"
    can_be_searched: bool = True
    posted: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of messages that arrived, whether the sender was told or not."""
    confirmed: list[dict[str, Any]] = field(default_factory=list)
    """Bodies whose sender was told that they arrived."""
    requests: list[str] = field(default_factory=list)
    """Path of every request."""
    headers: list[dict[str, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def slack_url(self) -> str:
        return f"{self.url}/api/"

    def always(self, behaviour: Behaviour) -> None:
        self.behaviour = lambda body: behaviour

    def once(self, behaviour: Behaviour, then: Behaviour = Behaviour.WELL) -> None:
        behaviours = iter([behaviour])
        self.behaviour = lambda body: next(behaviours, then)


class _WebHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _web(self) -> Web:
        web: Web = self.server.web  # type: ignore[attr-defined]
        return web

    def do_GET(self) -> None:
        self._web.requests.append(self.path)
        self._answer(404, {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._web.requests.append(self.path)
        self._web.headers.append(dict(self.headers))
        body = _decoded(raw, self.headers["Content-Type"] or "")
        if self.path.endswith("conversations.history"):
            self._history(int(body.get("cursor") or 0), int(body["limit"]))
        elif self.path.endswith("auth.test"):
            good = self._web.behaviour(body) is Behaviour.WELL
            self._answer(200, {"ok": True, "user": "bot", "team": "acme"} if good else _slack_error("invalid_auth"))
        else:
            self._take(body, is_slack=self.path.startswith("/api/"))

    def _take(self, body: dict[str, Any], *, is_slack: bool) -> None:
        behaviour = self._web.behaviour(body)
        if behaviour in TAKES_THE_MESSAGE:
            self._web.posted.append(body)
        match behaviour:
            case Behaviour.WELL:
                self._web.confirmed.append(body)
                number = len(self._web.posted)
                said = {"ok": True, "channel": "C0000001", "ts": f"{number}.0"} if is_slack else {"status": "success"}
                self._answer(200 if is_slack else 202, said)
            case Behaviour.RATE_LIMITED:
                self._answer(429, _slack_error("ratelimited"), {"Retry-After": self._web.retry_after})
            case Behaviour.BROKEN:
                self._answer(500, {"status": "oops"})
            case Behaviour.REJECTS_FORM:
                self._answer(*((200, _slack_error("invalid_blocks")) if is_slack else (400, {"status": "invalid"})))
            case Behaviour.UNKNOWN_PLACE:
                self._answer(200, _slack_error("channel_not_found"))
            case Behaviour.MAYBE:
                self._answer(200, _slack_error("internal_error"))
            case Behaviour.BAD_TOKEN:
                self._answer(*((200, _slack_error("invalid_auth")) if is_slack else (400, {"errors": ["routing_key"]})))
            case Behaviour.HANGS:
                self._web.stop.wait(60)
                self.close_connection = True
            case Behaviour.CUTS:
                self.close_connection = True

    def _history(self, start: int, limit: int) -> None:
        if not self._web.can_be_searched:
            self._answer(200, _slack_error("missing_scope"))
            return
        newest_first = list(self._web.posted)[::-1]
        page = [{"metadata": body.get("metadata")} for body in newest_first[start : start + limit]]
        more = str(start + limit) if start + limit < len(newest_first) else ""
        self._answer(200, {"ok": True, "messages": page, "response_metadata": {"next_cursor": more}})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _WebServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    web: Web

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def web_server(port: int = 0) -> Iterator[Web]:
    """Run one until the block ends."""
    with _WebServer(("127.0.0.1", port), _WebHandler) as server:
        server.web = web = Web(url=f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield web
        finally:
            web.stop.set()
            server.shutdown()


def _slack_error(code: str) -> dict[str, Any]:
    return {"ok": False, "error": code}


def _decoded(raw: bytes, kind: str) -> dict[str, Any]:
    if "json" in kind:
        return dict(json.loads(raw or b"{}"))
    return {name: values[0] for name, values in parse_qs(raw.decode()).items()}


@dataclass
class Mailbox:
    """One mail server: encrypting, asking for a login, or neither."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    """Certificate to encrypt with; none: STARTTLS is not offered."""
    is_tls_from_the_start: bool = False
    login: tuple[str, str] | None = None
    """The only name and password that are let in; none: nobody is asked."""
    tells_passwords: bool = False
    """Repeats in its refusal what it was told."""
    said_in_the_clear: list[bytes] = field(default_factory=list)
    """Lines that came before any encryption."""
    is_up: bool = True
    refused: dict[str, str] = field(default_factory=dict)
    """Receiver -> what it is refused with."""
    data_answer: Callable[[EmailMessage], str] = lambda mail: "250 ok"
    hangs: bool = False
    cuts_after_data: bool = False
    hangs_at_quit: bool = False
    mails: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)
    """Receivers and mail, whether the sender was told or not."""
    confirmed: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


class _MailHandler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    @property
    def _box(self) -> Mailbox:
        box: Mailbox = self.server.box  # type: ignore[attr-defined]
        return box

    def handle(self) -> None:
        self._is_encrypted = False
        self._user: str | None = None
        if self._box.is_tls_from_the_start:
            self._encrypt()
        if self._box.hangs:
            self._box.stop.wait(60)
            return
        self._say("220 sink" if self._box.is_up else "421 not now")
        receivers: list[str] = []
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if not self._is_encrypted:
                self._box.said_in_the_clear.append(line)
            if verb == b"EHLO":
                self._greet()
            elif verb == b"STAR":
                self._say("220 go on")
                self._encrypt()
            elif verb == b"AUTH":
                self._log_in(line)
            elif verb == b"MAIL" and self._box.login is not None and self._user is None:
                self._say("530 authentication required")
            elif verb == b"DATA":
                if not self._data(receivers):
                    return
                receivers = []
            elif verb == b"RCPT":
                address = line.decode().partition("<")[2].partition(">")[0]
                answer = self._box.refused.get(address, "250 ok")
                receivers += [address] if answer.startswith("250") else []
                self._say(answer)
            elif verb == b"QUIT":
                if self._box.hangs_at_quit:
                    self._box.stop.wait(60)
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _greet(self) -> None:
        self._say("250-sink")
        if self._box.tls is not None and not self._is_encrypted:
            self._say("250-STARTTLS")
        if self._box.login is not None:
            self._say("250-AUTH PLAIN")
        self._say("250 SMTPUTF8")

    def _encrypt(self) -> None:
        assert self._box.tls is not None
        self.request = self._box.tls.wrap_socket(self.request, server_side=True)
        self._is_encrypted = True
        self.setup()

    def _log_in(self, line: bytes) -> None:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        if (user, password) == self._box.login:
            self._user = user
            self._say("235 welcome")
        else:
            self._say(f"535 wrong: {password if self._box.tells_passwords else 'no such login'}")

    def _data(self, receivers: list[str]) -> bool:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=default_policy)
        answer = self._box.data_answer(mail)
        if answer.startswith("250"):
            self._box.mails.append((tuple(receivers), mail))
            if self._box.cuts_after_data:
                return False
            self._box.confirmed.append((tuple(receivers), mail))
        self._say(answer)
        return True

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    box: Mailbox

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def mail_server(port: int = 0) -> Iterator[Mailbox]:
    """Run one until the block ends."""
    with _MailServer(("127.0.0.1", port), _MailHandler) as server:
        server.box = box = Mailbox(port=server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield box
        finally:
            box.stop.set()
            server.shutdown()
