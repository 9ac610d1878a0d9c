"""The log's columns as the SQL needs them: which there are, and of what kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.configuration import OPTIONAL, Engine, SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.flags import NEVER, Flag, flag_of, parse_expression
from promotion_pipeline.rollups.sql.kinds import Column, Kind, kind_of


@dataclass(frozen=True)
class Layout:
    """The columns of the log; None: it has no such column."""

    created_at: Column
    time: TimeKind
    experiment: Column
    variant: Column
    converted: Flag
    is_error: Flag | None
    """None: the log does not say which requests failed, or cannot: `errors_are_never`."""
    latency_ms: Column | None
    user_id: Column | None
    value: Column | None
    errors_are_never: bool = False
    """Whether the mapping says that there are no errors to see."""
    experiment_by_name: bool = False
    """Whether `experiment` holds the experiment's name, not its id."""
    variant_by_name: bool = False

    @property
    def measures_errors(self) -> bool:
        """Whether the log says which requests failed."""
        return self.is_error is not None or self.errors_are_never


Finder: TypeAlias = Callable[[str, tuple[Kind, ...]], Column | None]

_TIMES = {TimeKind.INSTANT: Kind.INSTANT, TimeKind.UTC: Kind.NAIVE}
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

    def flag(ours: str) -> Flag | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        if not name or (ours in OPTIONAL and given is None and name not in known):
            return None
        if _is_never(config, ours) and name not in known:
            return None
        return flag_of(name, {key: (kind, types[key]) for key, kind in known.items()}, ours, _place(config))

    time = _time_column(config, types, known, find("created_at", _ANY))
    return _layout(config, time, find, flag)


def assumed(config: SourceConfig) -> Layout:
    """The layout of a log that cannot be looked at: what is not mapped to "" is there, of the usual type.

    Raises:
        ConfigError: a column that is needed is mapped to "".
    """
    usual: dict[tuple[Kind, ...], Kind] = {_NUMBERS: Kind.NUMBER}

    def flag(ours: str) -> Flag | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        if not name or _is_never(config, ours):
            return None
        if (parsed := parse_expression(name)) is None:
            return Flag(Column(name, Kind.BOOLEAN))
        column = Column(parsed.name, parsed.usual_kind)
        return Flag(column, parsed.is_negated, parsed.operator, number=parsed.number, text=parsed.text)

    def find(ours: str, kinds: tuple[Kind, ...]) -> Column | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        return Column(name, usual.get(kinds, Kind.TEXT)) if name else None

    return _layout(config, Column(config.columns.created_at, _TIMES.get(config.time, Kind.INTEGER)), find, flag)


def _is_never(config: SourceConfig, ours: str) -> bool:
    return ours == "is_error" and config.columns.is_error == NEVER


def _layout(config: SourceConfig, time: Column, find: Finder, flag: Callable[[str], Flag | None]) -> Layout:
    keys: dict[str, Column] = {}
    for thing in ("experiment", "variant"):
        by_name = bool(getattr(config.columns, f"{thing}_name"))
        found = find(f"{thing}_name", _ANY) if by_name else find(f"{thing}_id", _KEYS)
        if found is None:
            raise ConfigError(f"{thing}_id is empty and {thing}_name not given: a request must name its {thing}")
        keys[thing] = found
    converted, is_error = flag("converted"), flag("is_error")
    assert converted is not None
    return Layout(
        created_at=time,
        time=config.time,
        experiment=keys["experiment"],
        variant=keys["variant"],
        converted=converted,
        is_error=is_error,
        errors_are_never=is_error is None and _is_never(config, "is_error"),
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
    # Where only ClickHouse can look, it counts a time without a zone from 1970 in UTC, and calls it an instant.
    counted = config.engine is Engine.CLICKHOUSE and config.time is TimeKind.UTC and column.kind is Kind.INSTANT
    if column.kind is not _TIMES.get(config.time, Kind.INTEGER) and not counted:
        fits = [kind.value for kind in TimeKind if _TIMES.get(kind, Kind.INTEGER) is known[column.name]]
        advice = f"set time to {' or '.join(map(repr, fits))}" if fits else "a time is needed"
        raise ConfigError(
            f"column {column.name!r} of {_place(config)} is {types[column.name]}, which is not"
            f" time={config.time.value!r}: {advice} in AUTO_PROMOTION_SOURCE"
        )
    return column


def _place(config: SourceConfig) -> str:
    return config.files or ".".join(config.table)
