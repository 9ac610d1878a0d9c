"""Keeps secrets out of what is stored, logged and said."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from promotion_pipeline.config import Settings

HIDDEN = "***"
SHORTEST_SECRET = 4
_TOKEN = re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}")
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]+):([^\s/@]+)(?=@)")


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret value of the settings, the passwords inside URLs too, the longest first."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.update(_forms(value.get_secret_value()))
    return tuple(sorted((text for text in found if len(text) >= SHORTEST_SECRET), key=len, reverse=True))


def _forms(secret: str) -> set[str]:
    """The value, and where it is a URL its password as written and as meant."""
    if "://" not in secret:
        return {secret}
    try:
        password = urlsplit(secret).password
    except ValueError:
        password = None
    return {secret, *({password, unquote(password)} if password else ())}


def scrubbed(text: str, settings: Settings) -> str:
    """`text` with every secret of the settings, and whatever looks like a token, replaced by stars."""
    for secret in secrets_of(settings):
        text = text.replace(secret, HIDDEN)
    return _URL_PASSWORD.sub(rf"\1:{HIDDEN}", _TOKEN.sub(HIDDEN, text))
