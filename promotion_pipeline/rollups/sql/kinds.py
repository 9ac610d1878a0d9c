"""What a column's type amounts to, as every engine calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from promotion_pipeline.rollups.configuration import Engine


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
class Column:
    """A column of the log."""

    name: str
    kind: Kind


_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"uuid", Kind.UUID),
    (r"bool(ean)?", Kind.BOOLEAN),
    (r"u?(tiny|small|big|huge)?int(eger|\d+)?|u?int\d+|long|short|byte|tinyint|smallint", Kind.INTEGER),
    (r"(decimal|numeric|number|b?float|double|real)\d*\b.*", Kind.NUMBER),
    (r"(text|string|varchar|character varying|char|character|bpchar|fixedstring)\b.*", Kind.TEXT),
    (r"timestamptz|timestamp(\(\d\))? with time zone|timestamp_ltz|datetime(64)?\b.*", Kind.INSTANT),
    (r"timestamp(\(\d\))? without time zone|timestamp_(ntz|s|ms|ns|us)", Kind.NAIVE),
)


def kind_of(type_name: str, engine: Engine) -> Kind:
    """The kind of a type as the engine describes it."""
    plain = type_name.strip().lower()
    while wrapped := re.fullmatch(r"(?:nullable|lowcardinality)\((.*)\)", plain):
        plain = wrapped[1]
    if plain == "timestamp":
        # Spark's plain timestamp is an instant; everybody else's is not.
        return Kind.INSTANT if engine is Engine.SPARK else Kind.NAIVE
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, plain)), Kind.OTHER)
