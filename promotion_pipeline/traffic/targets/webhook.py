"""A webhook: a system of the team's own is posted the split, signed by Standard Webhooks, and says what it serves."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from promotion_pipeline.errors import TargetError
from promotion_pipeline.traffic.targets.configured import WebhookTarget
from promotion_pipeline.traffic.targets.exchange import Exchange
from promotion_pipeline.traffic.targets.port import NamedSplit, Seen

EVENT = "traffic.split"
HUNDRED = Decimal(100)


class Webhook:
    """One system behind two addresses."""

    unit = Decimal("0.01")

    def __init__(self, configured: WebhookTarget, experiment_name: str, secret: str, message_id: str) -> None:
        """`message_id` is the same for every attempt at one delivery, so that the receiver knows it again."""
        self._configured, self._experiment, self._message_id = configured, experiment_name, message_id
        self._key = signing_key(secret)
        self._exchange = Exchange(self.describe(), {"Content-Type": "application/json"})

    def describe(self) -> str:
        """The host alone: the rest of an address may be a secret."""
        return f"the webhook at {urlsplit(self._configured.url).hostname}"

    def read(self) -> Seen | None:
        """What `read_url` says; None where there is none."""
        if self._configured.read_url is None:
            return None
        headers = self._signed(f"{self._message_id}_read", b"")
        return self._seen(self._exchange.json("GET", self._configured.read_url, headers=headers))

    def write(self, seen: Seen | None, split: NamedSplit, *, like: Any = None) -> Seen | None:
        """Post the split and what was seen before it; the answer counts where there is no `read_url`.

        An answer of 409 or 412 says that something else is served than was seen.
        """
        data: dict[str, Any] = {"experiment": self._experiment, "split": _numbers(split)}
        if seen is not None:
            data["before"] = _numbers(seen.split)
        if like is not None:
            data["restore"] = like
        body = json.dumps({"type": EVENT, "data": data}).encode()
        headers = self._signed(self._message_id, body)
        answer = self._exchange.json("POST", self._configured.url, content=body, headers=headers)
        return self._seen(answer) if self._configured.read_url is None else None

    def changed_by(self) -> str | None:
        """Nobody knows."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        return signature_headers(self._key, message_id, int(time.time()), body)

    def _seen(self, answer: object) -> Seen:
        given = answer.get("split") if isinstance(answer, Mapping) else None
        try:
            split = {str(name): Decimal(str(share)) for name, share in given.items()}  # type: ignore[union-attr]
            is_split = all(0 <= share <= HUNDRED for share in split.values())
        except (AttributeError, ArithmeticError):
            is_split = False
        if not is_split:
            raise TargetError(
                f'{self.describe()} does not say what it serves: it must answer {{"split": {{"variant": percent}}}}',
                needs_a_person=True,
            )
        return Seen(split, answer)


def signing_key(secret: str) -> bytes:
    """The key of a Standard Webhooks secret: base64, after `whsec_` where that is there.

    Raises:
        TargetError: it is none; the message does not quote it.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise TargetError(
            "AUTO_PROMOTION_TRAFFIC_WEBHOOK_SECRET must be whsec_ and the base64 of at least 24 bytes:"
            " `openssl rand -base64 32` makes one",
            needs_a_person=True,
        )
    return key


def signature_headers(key: bytes, message_id: str, at_seconds: int, body: bytes) -> dict[str, str]:
    """The three headers of a signed message, as https://www.standardwebhooks.com has them."""
    signed = hmac.new(key, b"%s.%d.%s" % (message_id.encode(), at_seconds, body), hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _numbers(split: NamedSplit) -> dict[str, float]:
    return {name: float(share) for name, share in split.items()}
