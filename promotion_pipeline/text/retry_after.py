"""`Retry-After`: when a server wants to be asked again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 24 * 3600.0


def seconds_of(headers: Mapping[str, str]) -> float | None:
    """Seconds from now by the header, whether it is a number or a date; None where it says nothing usable."""
    value = next((text for name, text in headers.items() if name.lower() == "retry-after"), None)
    if value is None:
        return None
    text = str(value[0] if isinstance(value, list) and value else value).strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (at - datetime.now(at.tzinfo or UTC)).total_seconds() if at.tzinfo else math.nan
    return min(max(seconds, 0.0), LONGEST_SECONDS) if math.isfinite(seconds) else None
