"""What an outbox row says of its event: the base of the payloads, and how their members are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator
from pydantic_core.core_schema import ValidationInfo, ValidatorFunctionWrapHandler

_AS_STORED = {"as_stored": True}


class Payload(BaseModel):
    """One event's payload: written by the act, read by what puts it into words, perhaps of another version."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """The payload of a row: what is missing or of another kind is what its default says, never an error."""
        known = {name: stored[name] for name in cls.model_fields if not _is_blank(stored.get(name))}
        return cls.model_validate(known, context=_AS_STORED)

    def stored(self) -> dict[str, Any]:
        """JSON values of what was given."""
        return self.model_dump(mode="json", exclude_unset=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _unknown_if_odd(cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        try:
            return handler(value)
        except (ValidationError, ValueError):
            if info.context is not _AS_STORED or info.field_name is None:
                raise
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)


def number_of(value: object) -> int | float | None:
    """A finite number, whether written as text or not; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _texts(value: object) -> tuple[str, ...]:
    """A single text is a list of one."""
    members = value if isinstance(value, list | tuple) else [value]
    return tuple(str(member) for member in members if member not in (None, ""))


def _rows(value: object) -> tuple[dict[str, Any], ...]:
    return tuple(dict(row) for row in value if isinstance(row, Mapping)) if isinstance(value, list | tuple) else ()


def _shares(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a split is an object")
    return {str(key): share for key, share in value.items()}


def _instant(value: object) -> datetime:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise ValueError("an instant has a time zone")
    return found.astimezone(UTC)


Text = Annotated[str, BeforeValidator(str)]
"""Whatever is there, as text."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
"""A list of texts, or a single one."""
Number = Annotated[int | float | None, BeforeValidator(number_of)]
"""Finite; None: unknown."""
Instant = Annotated[datetime | None, BeforeValidator(_instant)]
"""With a time zone, UTC; None: unknown."""
Rows = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_rows)]
"""A list of objects."""
Shares = Annotated[dict[str, Any], BeforeValidator(_shares)]
"""Percent of traffic by variant id."""


class OwnWords(Payload):
    """An event whose writer has put it into words, or that this version knows no words for."""

    title: Text = ""
    message: Texts = ()
    messages: Texts = ()
    reason: Texts = ()
    next_step: Text = "Look at the evidence."
