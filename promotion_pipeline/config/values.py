"""Values that people write: read without failing, quoted without flooding a message; and keys made of secrets."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

LONGEST_SHOWN = 200
"""Characters of a wrong value that a message quotes."""
HMAC_BLOCK_BYTES = 64


def as_number(value: object) -> float | None:
    """The number that a value stands for; None: it stands for none, or for one that no float holds."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def shortened(value: object) -> str:
    """A value as people may read it: what somebody wrote by mistake can be very long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # An integer may have more digits than Python writes out.
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text):,} characters)"


def hmac_keys(secret: str) -> str:
    """The inner and the outer key of HMAC-SHA256 by RFC 2104 as "hex:hex": what is hashed before a message."""
    key = secret.encode()
    key = (hashlib.sha256(key).digest() if len(key) > HMAC_BLOCK_BYTES else key).ljust(HMAC_BLOCK_BYTES, b"\0")
    return ":".join(bytes(byte ^ pad for byte in key).hex() for pad in (0x36, 0x5C))


def web_origin(text: str) -> str:
    """An origin as browsers write it: scheme, host and port in lower case, nothing behind.

    Raises:
        ValueError: it is none.
    """
    try:
        parts = urlsplit(text)
        is_origin = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_origin = False
    if not is_origin or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            f"{shortened(text)} is no origin: write scheme and host alone, such as https://shop.example.com"
        )
    return f"{parts.scheme}://{parts.netloc}".lower()
