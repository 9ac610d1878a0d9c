"""The log's columns as the SQL needs them: which there are, and of what kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.sources.configuration import OPTIONAL, Engine, SourceConfig, TimeKind


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


@dataclass(frozen=True)
class Layout:
    """The columns of the log; None: it has no such column."""

    created_at: Column
    time: TimeKind
    experiment: Column
    variant: Column
    converted: Column
    is_error: Column | None
    latency_ms: Column | None
    user_id: Column | None
    value: Column | None
    experiment_by_name: bool
    """Whether `experiment` holds the experiment's name, not its id."""
    variant_by_name: bool


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


Finder: TypeAlias = Callable[[str, tuple[Kind, ...]], Column | None]

_TIMES = {TimeKind.INSTANT: Kind.INSTANT, TimeKind.UTC: Kind.NAIVE}
_FLAGS = (Kind.BOOLEAN, Kind.INTEGER)
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)
_KEYS = (Kind.UUID, Kind.TEXT)
_ANY = tuple(Kind)


def resolve(config: SourceConfig, types: Mapping[str, str]) -> Layout:
    """Match the mapping of `config` with the log's columns (name -> type as the engine says it).

    Raises:
        ConfigError: a column is missing or of a type that cannot be what it is mapped to.
    """
    known = {name: kind_of(type_name, config.engine) for name, type_name in types.items()}

    def find(ours: str, kinds: tuple[Kind, ...]) -> Column | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        if name not in known:
            if not name or (ours in OPTIONAL and given is None):
                return None
            raise ConfigError(
                f"{_place(config)} has no column {name!r} for {ours}; it has {', '.join(known) or 'none'}:"
                f" name it under [columns] in AUTO_PROMOTION_SOURCE"
            )
        if known[name] not in kinds:
            raise ConfigError(
                f"column {name!r} of {_place(config)} is {types[name]}: {ours} must be {' or '.join(kinds)}"
            )
        return Column(name, known[name])

    time = _time_column(config, types, known, find("created_at", _ANY))
    return _layout(config, time, find)


def assumed(config: SourceConfig) -> Layout:
    """The layout of a log that cannot be looked at: what is not mapped to "" is there, of the usual type.

    Raises:
        ConfigError: a column that is needed is mapped to "".
    """
    usual: dict[tuple[Kind, ...], Kind] = {_FLAGS: Kind.BOOLEAN, _NUMBERS: Kind.NUMBER}

    def find(ours: str, kinds: tuple[Kind, ...]) -> Column | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        return Column(name, usual.get(kinds, Kind.TEXT)) if name else None

    return _layout(config, Column(config.columns.created_at, _TIMES.get(config.time, Kind.INTEGER)), find)


def _layout(config: SourceConfig, time: Column, find: Finder) -> Layout:
    keys: dict[str, Column] = {}
    for thing in ("experiment", "variant"):
        by_name = bool(getattr(config.columns, f"{thing}_name"))
        found = find(f"{thing}_name", _ANY) if by_name else find(f"{thing}_id", _KEYS)
        if found is None:
            raise ConfigError(f"{thing}_id is empty and {thing}_name not given: a request must name its {thing}")
        keys[thing] = found
    converted = find("converted", _FLAGS)
    assert converted is not None
    return Layout(
        created_at=time,
        time=config.time,
        experiment=keys["experiment"],
        variant=keys["variant"],
        converted=converted,
        is_error=find("is_error", _FLAGS),
        latency_ms=find("latency_ms", _NUMBERS),
        user_id=find("user_id", _ANY),
        value=find("value", _NUMBERS),
        experiment_by_name=bool(config.columns.experiment_name),
        variant_by_name=bool(config.columns.variant_name),
    )


def _time_column(
    config: SourceConfig, types: Mapping[str, str], known: Mapping[str, Kind], column: Column | None
) -> Column:
    assert column is not None
    if column.kind is not _TIMES.get(config.time, Kind.INTEGER):
        fits = [kind.value for kind in TimeKind if _TIMES.get(kind, Kind.INTEGER) is known[column.name]]
        advice = f"set time to {' or '.join(map(repr, fits))}" if fits else "a time is needed"
        raise ConfigError(
            f"column {column.name!r} of {_place(config)} is {types[column.name]}, which is not"
            f" time={config.time.value!r}: {advice} in AUTO_PROMOTION_SOURCE"
        )
    return column


def _place(config: SourceConfig) -> str:
    return config.files or ".".join(config.table)
