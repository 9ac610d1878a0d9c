"""What a column's type amounts to, as every engine calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column's type amounts to."""

    BOOLEAN = "boolean"
    """True, false or missing."""
    INTEGER = "integer"
    """A whole number."""
    NUMBER = "number"
    """A decimal or floating-point number."""
    TEXT = "text"
    """Text of any length."""
    UUID = "uuid"
    """The engine's own type of UUIDs."""
    INSTANT = "instant"
    """A time that means the same everywhere."""
    NAIVE = "time without a zone"
    """A date and a time of an unnamed place."""
    OTHER = "other"
    """Anything else."""


@dataclass(frozen=True)
class LogColumn:
    """A column of the log."""

    name: str
    kind: Kind


USUAL_KINDS: Mapping[str, Kind] = {
    r"uuid": Kind.UUID,
    r"bool(ean)?": Kind.BOOLEAN,
    r"(tiny|small|big)?int(eger|\d+)?": Kind.INTEGER,
    r"(decimal|numeric|number|float|double|real)\d*\b.*": Kind.NUMBER,
    r"(text|string|varchar|char)\b.*": Kind.TEXT,
    r"timestamptz|timestamp(\(\d\))? with time zone": Kind.INSTANT,
    r"timestamp|timestamp(\(\d\))? without time zone": Kind.NAIVE,
}
"""Patterns of types' names that most engines have, in lower case; what only one has is in its own file."""
