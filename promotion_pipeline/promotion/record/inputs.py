"""What callers hand in, checked at the door."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from promotion_pipeline.config import PromotionConfig, parse_config
from promotion_pipeline.errors import InputError
from promotion_pipeline.store.clock import database_now, newest_complete_hour, require_utc
from promotion_pipeline.store.database import Connection

LONGEST_TEXT = 4000
LONGEST_JSON = 64_000

ConfigLike = PromotionConfig | Mapping[str, Any] | None
"""Thresholds of a request: a config, or a mapping with names in snake_case or camelCase."""

_Member = TypeVar("_Member", bound=StrEnum)


def required_text(value: object, name: str) -> str:
    """`value` without surrounding blanks.

    Raises:
        InputError: it is no text, empty, too long, or holds characters that PostgreSQL cannot keep.
    """
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r} is no text: give a non-empty string")
    text = value.strip()
    if not text:
        raise InputError(f"{name} is empty: say who or why, so that the history can tell")
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{name} has {len(text)} characters, at most {LONGEST_TEXT} are kept")
    if not _is_storable(text):
        raise InputError(f"{name}={value!r} holds a character that is no text (NUL or half of a pair)")
    return text


def experiment_name_of(value: object) -> str:
    """An experiment's name as given: names are matched exactly, blanks included.

    Raises:
        InputError: it is no usable text.
    """
    required_text(value, "experiment_name")
    return str(value)


def member_of(kind: type[_Member], value: object, name: str) -> _Member:
    """The member of an enum.

    Raises:
        InputError: `value` is none of them.
    """
    try:
        return kind(str(value))
    except ValueError:
        members = " or ".join(repr(member.value) for member in kind)
        raise InputError(f"{name}={value!r} must be {members}") from None


def request_config(config: ConfigLike) -> PromotionConfig | None:
    """The thresholds of a request, checked.

    Raises:
        ConfigError: a name is unknown or a value out of bounds.
        InputError: `config` is neither a PromotionConfig nor a mapping.
    """
    if config is None or isinstance(config, PromotionConfig):
        return config
    if not isinstance(config, Mapping):
        raise InputError(f"config={config!r} must be a PromotionConfig or a mapping of thresholds")
    return parse_config(config)


def json_object(value: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A mapping that JSON can carry, {} for None.

    Raises:
        InputError: it is no mapping, or holds what JSON has no form for (also NaN and NUL).
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{name}={value!r} must be a mapping, for example {{'reason': '...'}}")
    try:
        text = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be written as JSON: {error}") from None
    if len(text) > LONGEST_JSON:
        raise InputError(f"{name} has {len(text)} characters of JSON, at most {LONGEST_JSON} are kept")
    result = json.loads(text)
    assert isinstance(result, dict)
    for part in _texts(result):
        if not _is_storable(part):
            raise InputError(f"{name} holds {part!r}, with a character that is no text (NUL or half of a pair)")
    return result


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield key
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def as_of_hour(connection: Connection, as_of: datetime | None) -> datetime:
    """The as-of to look from: the newest complete hour of the database's clock, or `as_of` floored to its hour.

    Raises:
        InputError: `as_of` is naive, or in the future.
    """
    newest = newest_complete_hour(connection).astimezone(UTC)
    if as_of is None:
        return newest
    if not isinstance(as_of, datetime):
        raise InputError(f"as_of={as_of!r} must be a datetime with a time zone")
    given = require_utc(as_of, "as_of").astimezone(UTC)
    if given > database_now(connection):
        raise InputError(
            f"as_of {given.isoformat()} is in the future: the newest complete hour ends {newest.isoformat()}"
        )
    return given.replace(minute=0, second=0, microsecond=0)
