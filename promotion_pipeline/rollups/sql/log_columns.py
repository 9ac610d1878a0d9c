"""The log's columns as the SQL needs them: which there are, and of what kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.source_config import OPTIONAL, SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.dialect import Dialect
from promotion_pipeline.rollups.sql.flags import NEVER, Flag, flag_of, parse_expression
from promotion_pipeline.rollups.sql.kinds import Kind, LogColumn


@dataclass(frozen=True)
class LogColumns:
    """The columns of the log; None: it has no such column."""

    created_at: LogColumn
    time: TimeKind
    experiment: LogColumn
    variant: LogColumn
    converted: Flag
    is_error: Flag | None
    """None: the log does not say which requests failed, or cannot: `errors_are_never`."""
    latency_ms: LogColumn | None
    user_id: LogColumn | None
    value: LogColumn | None
    errors_are_never: bool = False
    """Whether the mapping says that there are no errors to see."""
    experiment_by_name: bool = False
    """Whether `experiment` holds the experiment's name, not its id."""
    variant_by_name: bool = False
    more: Mapping[str, LogColumn] = field(default_factory=dict)
    """What only metrics ask for, by the name that they use."""

    @property
    def measures_errors(self) -> bool:
        """Whether the log says which requests failed."""
        return self.is_error is not None or self.errors_are_never


Finder: TypeAlias = Callable[[str, tuple[Kind, ...]], LogColumn | None]

_TIMES = {TimeKind.INSTANT: Kind.INSTANT, TimeKind.UTC: Kind.NAIVE}
_NUMBERS = (Kind.NUMBER, Kind.INTEGER)
_KEYS = (Kind.UUID, Kind.TEXT)
_ANY = tuple(Kind)


def resolve(config: SourceConfig, types: Mapping[str, str], dialect: Dialect) -> LogColumns:
    """Match the mapping of `config` with the log's columns (name -> type as the engine says it).

    Raises:
        ConfigError: a column is missing or of a type that cannot be what it is mapped to.
    """
    known = {name: dialect.kind_of(type_name) for name, type_name in types.items()}

    def find(ours: str, kinds: tuple[Kind, ...]) -> LogColumn | None:
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
        return LogColumn(name, known[name])

    def flag(ours: str) -> Flag | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        if not name or (ours in OPTIONAL and given is None and name not in known):
            return None
        if _is_never(config, ours) and name not in known:
            return None
        return flag_of(name, {key: (kind, types[key]) for key, kind in known.items()}, ours, _place(config))

    created_at = find("created_at", _ANY)
    assert created_at is not None
    # Such an engine calls a column of times without a zone an instant: it reads them as UTC, which is what was asked.
    is_counted = dialect.counts_naive_times and config.time is TimeKind.UTC and created_at.kind is Kind.INSTANT
    if not is_counted:
        _require_time(config, types[created_at.name], created_at)
    return replace(_mapped(config, created_at, find, flag), more=_more(config, types, known))


def _more(config: SourceConfig, types: Mapping[str, str], known: Mapping[str, Kind]) -> dict[str, LogColumn]:
    """The columns of `metric_columns`; raises ConfigError where one is missing or no number."""
    for ours, name in config.metric_columns.items():
        if name not in known:
            raise ConfigError(
                f"{_place(config)} has no column {name!r} for the metrics' {ours}; it has {', '.join(known) or 'none'}:"
                " name it under [metric_columns] in AUTO_PROMOTION_SOURCE"
            )
        if known[name] not in (*_NUMBERS, Kind.BOOLEAN):
            raise ConfigError(
                f"column {name!r} of {_place(config)} is {types[name]}: the metrics' {ours} must be a number or boolean"
            )
    return {ours: LogColumn(name, known[name]) for ours, name in config.metric_columns.items()}


def assumed(config: SourceConfig) -> LogColumns:
    """The columns of a log that cannot be looked at: what is not mapped to "" is there, of the usual type.

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
            return Flag(LogColumn(name, Kind.BOOLEAN))
        column = LogColumn(parsed.name, parsed.usual_kind)
        return Flag(column, parsed.is_negated, parsed.operator, number=parsed.number, text=parsed.text)

    def find(ours: str, kinds: tuple[Kind, ...]) -> LogColumn | None:
        given = getattr(config.columns, ours)
        name = ours if given is None else given
        return LogColumn(name, usual.get(kinds, Kind.TEXT)) if name else None

    time = LogColumn(config.columns.created_at, _TIMES.get(config.time, Kind.INTEGER))
    more = {ours: LogColumn(name, Kind.NUMBER) for ours, name in config.metric_columns.items()}
    return replace(_mapped(config, time, find, flag), more=more)


def _is_never(config: SourceConfig, ours: str) -> bool:
    return ours == "is_error" and config.columns.is_error == NEVER


def _mapped(config: SourceConfig, time: LogColumn, find: Finder, flag: Callable[[str], Flag | None]) -> LogColumns:
    keys: dict[str, LogColumn] = {}
    for thing in ("experiment", "variant"):
        by_name = bool(getattr(config.columns, f"{thing}_name"))
        found = find(f"{thing}_name", _ANY) if by_name else find(f"{thing}_id", _KEYS)
        if found is None:
            raise ConfigError(f"{thing}_id is empty and {thing}_name not given: a request must name its {thing}")
        keys[thing] = found
    converted, is_error = flag("converted"), flag("is_error")
    assert converted is not None
    return LogColumns(
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


def _require_time(config: SourceConfig, type_name: str, column: LogColumn) -> None:
    if column.kind is _TIMES.get(config.time, Kind.INTEGER):
        return
    fits = [kind.value for kind in TimeKind if _TIMES.get(kind, Kind.INTEGER) is column.kind]
    advice = f"set time to {' or '.join(map(repr, fits))}" if fits else "a time is needed"
    raise ConfigError(
        f"column {column.name!r} of {_place(config)} is {type_name}, which is not time={config.time.value!r}:"
        f" {advice} in AUTO_PROMOTION_SOURCE"
    )


def _place(config: SourceConfig) -> str:
    return config.files or ".".join(config.table)
