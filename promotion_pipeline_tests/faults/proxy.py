"""A wire between client and PostgreSQL that is cut at a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"
HEADER = 5
"""Bytes of a message before its content: the kind, and the length without the kind."""


class Cut(StrEnum):
    """What becomes of a COMMIT."""

    ANSWER = "answer"
    """PostgreSQL has committed and said so; the client does not hear it."""
    AT_ONCE = "at_once"
    """Forwarded, and both ends hung up at once: PostgreSQL finds nobody to answer."""
    REQUEST = "request"
    """It never arrives, so nothing is committed; the client cannot tell the difference."""


class Proxy:
    """Listens on a socket of its own in front of the server of `url`; passes everything on until armed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = f"{parse_qs(parts.query)['host'][0]}/{SOCKET}"
        self._folder = tempfile.TemporaryDirectory(prefix="proxy-")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path}?host={quote(self._folder.name, safe='')}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / SOCKET))
        self._listener.listen(64)
        self._lock = threading.Lock()
        self._armed: Cut | None = None
        self._left = 0
        self.cuts = 0
        """COMMITs that were cut so far."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._folder.cleanup()

    def arm(self, cut: Cut, commit: int = 1) -> None:
        """Cut at the `commit`-th COMMIT from now, once."""
        with self._lock:
            self._armed, self._left = cut, commit

    def disarm(self) -> None:
        """Let everything pass."""
        with self._lock:
            self._armed = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            wire = _Wire(self, client, server)
            threading.Thread(target=wire.forward, daemon=True).start()
            threading.Thread(target=wire.answer, daemon=True).start()

    def fate_of_commit(self) -> Cut | None:
        """What to do with the COMMIT that is about to be passed on."""
        with self._lock:
            if self._armed is None:
                return None
            self._left -= 1
            if self._left:
                return None
            cut, self._armed = self._armed, None
            self.cuts += 1
            return cut


class _Wire:
    """One connection: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.is_deaf = threading.Event()
        """Set: the next answer is read and not passed on."""

    def forward(self) -> None:
        """Client to server, message by message."""
        with contextlib.suppress(OSError):
            self.server.sendall(self._startup())
            while message := self._message():
                if not self._pass(message):
                    return
        self.hang_up()

    def _pass(self, message: bytes) -> bool:
        """Pass a message on; False: the wire is cut, or about to be by the other thread."""
        cut = self.proxy.fate_of_commit() if _is_commit(message) else None
        match cut:
            case None:
                self.server.sendall(message)
                return True
            case Cut.ANSWER:
                self.is_deaf.set()
                self.server.sendall(message)
            case Cut.AT_ONCE:
                self.is_deaf.set()
                self.server.sendall(message)
                self.hang_up()
            case Cut.REQUEST:
                self.hang_up()
        return False

    def answer(self) -> None:
        """Server to client."""
        with contextlib.suppress(OSError):
            while part := self.server.recv(65536):
                if self.is_deaf.is_set():
                    break
                self.client.sendall(part)
        self.hang_up()

    def hang_up(self) -> None:
        """End both sides."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _startup(self) -> bytes:
        """The first message has no kind."""
        length = self._exactly(4)
        return length + self._exactly(int.from_bytes(length) - 4)

    def _message(self) -> bytes:
        header = self._exactly(HEADER)
        return header + self._exactly(int.from_bytes(header[1:]) - 4) if header else b""

    def _exactly(self, count: int) -> bytes:
        """That many bytes; none when the other end hung up."""
        found = b""
        while len(found) < count:
            part = self.client.recv(count - len(found))
            if not part:
                return b""
            found += part
        return found


def _is_commit(message: bytes) -> bool:
    """A simple query, or a statement to prepare, that says COMMIT."""
    return message[:1] in (b"Q", b"P") and message[HEADER:].strip(b"\0").upper().startswith(b"COMMIT")
