"""The Parquet files of a log, looked at one by one before an engine reads them together.

An engine that reads many files as one table fails for all of them where one is broken, and fills a column that newer
files lack with nulls. Both are found here from the files' footers, so that the file can be named.
"""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.rollups.log_gaps import Unreadable
from promotion_pipeline.rollups.source_config import SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.flags import NEVER, parse_expression

FIRST_TIME = datetime(1970, 1, 1, tzinfo=UTC)
NAME_MARGIN = timedelta(hours=24)
"""How far from the day or hour in its name a file's requests may lie: names are written in any time zone, and late."""
READERS = 16
REMEMBERED_FILES = 200_000
_DAY = re.compile(
    r"(?<!\d)(20\d\d)(?:[-_/]?|/month=|/m=)(0[1-9]|1[0-2])(?:[-_/]?|/day=|/d=)(0[1-9]|[12]\d|3[01])(?!\d)"
)
_HOUR = re.compile(r"[/_T-]?(?:hour=|h=)?([01]\d|2[0-3])(?!\d)")
_UNITS = {TimeKind.EPOCH_SECONDS: 1, TimeKind.EPOCH_MILLISECONDS: 1_000, TimeKind.EPOCH_MICROSECONDS: 1_000_000}


@dataclass(frozen=True)
class LogFile:
    """One file."""

    path: str
    modified_at: datetime
    columns: frozenset[str]
    """Empty where it cannot be read."""
    error: str | None
    """Why it cannot be read."""
    since: datetime
    until: datetime
    """The requests lie in [since, until]: by the footer, or by name and time of writing where that is all there is."""

    def may_hold(self, start: datetime, end: datetime) -> bool:
        """Whether requests of [start, end) may be in it."""
        return self.since < end and self.until >= start


class LogFiles:
    """The files that a pattern names, as they are now."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self.pattern = config.files or ""

    @cached_property
    def all(self) -> tuple[LogFile, ...]:
        """Every file, by path; footers of files that did not change are remembered."""
        known = [(path, path.stat()) for path in _found(self.pattern)]
        columns = self._config.columns.created_at, self._config.time
        with ThreadPoolExecutor(READERS) as pool:
            return tuple(
                pool.map(lambda one: _look(str(one[0]), (one[1].st_mtime_ns, one[1].st_size), *columns), known)
            )

    @property
    def readable(self) -> list[LogFile]:
        """Those that can be read."""
        return [file for file in self.all if file.error is None]

    @property
    def broken(self) -> list[LogFile]:
        """Those that cannot."""
        return [file for file in self.all if file.error is not None]

    @property
    def alike(self) -> bool:
        """Whether all have the same columns."""
        return len({file.columns for file in self.readable}) <= 1

    def paths_to_read(self) -> list[str] | None:
        """The paths to read instead of the pattern; None: the pattern can be read as it is.

        Raises:
            InputError: not one file can be read.
        """
        if not self.broken:
            return None
        if not self.readable:
            first = self.broken[0]
            raise InputError(
                f"cannot read {first.path} as Parquet ({first.error}), and no other file of {self.pattern}: check files"
                " in AUTO_PROMOTION_SOURCE"
            )
        return [file.path for file in self.readable]

    def unreadable(self, start: datetime, end: datetime) -> list[Unreadable]:
        """The broken files that may hold requests of [start, end)."""
        return [
            Unreadable(file.path, file.error or "", file.since, file.until)
            for file in self.broken
            if file.may_hold(start, end)
        ]

    def is_naive(self, column: str) -> bool:
        """Whether a time of the newest file that has it is without a zone."""
        having = [file for file in self.readable if column in file.columns]
        if not having:
            return False
        parquet: Any = pyarrow.parquet
        kind = parquet.read_schema(max(having, key=lambda file: file.modified_at).path).field(column).type
        return pa.types.is_timestamp(kind) and kind.tz is None

    def require_columns(self, start: datetime, end: datetime) -> None:
        """Refuse files of [start, end) that lack a column of the mapping which other files have.

        Latency, value and user may be missing from the oldest files: a log that learns them later has nulls there.

        Raises:
            ConfigError: names the file and what it lacks.
        """
        files = self.readable
        for ours, name in _mapped(self._config).items():
            having = [file for file in files if name in file.columns]
            if not having:
                continue
            may_lack = ours in {"latency_ms", "value", "user_id"}
            first = min(file.since for file in having)
            for file in files:
                if name in file.columns or not file.may_hold(start, end) or (may_lack and file.until < first):
                    continue
                raise ConfigError(
                    f"{file.path} has no column {name!r} for {ours}, which other files of the log have; it has"
                    f" {', '.join(sorted(file.columns)) or 'none'}: write the file again, or map the column that all"
                    " files have under [columns] in AUTO_PROMOTION_SOURCE"
                )


def is_local(files: str | None) -> bool:
    """Whether a pattern names files that this process can look at."""
    return files is not None and ("://" not in files or files.startswith("file://"))


def _found(pattern: str) -> list[Path]:
    plain = pattern.removeprefix("file://")
    names: set[str] = set()
    for one in _without_braces(plain):
        path = Path(one)
        if path.is_dir():
            names |= {str(file) for file in path.rglob("*.parquet")}
        else:
            names |= set(glob.glob(one, recursive=True))  # noqa: PTH207 - the pattern is absolute, or from here
    return [Path(name) for name in sorted(names) if Path(name).is_file()]


def _without_braces(pattern: str) -> list[str]:
    """`a/{b,c}` as `a/b` and `a/c`."""
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [part.split(",") if number % 2 else [part] for number, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


@lru_cache(maxsize=REMEMBERED_FILES)
def _look(path: str, state: tuple[int, int], created_at: str, kind: TimeKind) -> LogFile:
    """A file by its footer; `state`, its time of writing in nanoseconds and its size, says which one is remembered."""
    modified = datetime.fromtimestamp(state[0] / 1e9, UTC)
    try:
        parquet: Any = pyarrow.parquet
        about = parquet.read_metadata(path)
        columns = frozenset(about.schema.to_arrow_schema().names)
        since, until = _bounds(about, created_at, kind)
    except (pa.ArrowException, OSError) as error:
        since, until = _guessed(path, modified)
        return LogFile(path, modified, frozenset(), " ".join(str(error).split())[:300], since, until)
    latest = datetime.max.replace(tzinfo=UTC)
    return LogFile(path, modified, columns, None, since or FIRST_TIME, until or latest)


def _bounds(about: Any, created_at: str, kind: TimeKind) -> tuple[datetime | None, datetime | None]:
    """The first and the last time in a file, as its footer says; None where it does not."""
    if about.num_rows == 0:
        return FIRST_TIME, FIRST_TIME
    found: list[datetime] = []
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema != created_at:
                continue
            if not column.is_stats_set or not column.statistics.has_min_max:
                return None, None
            found += [_instant(column.statistics.min, kind), _instant(column.statistics.max, kind)]
    return (min(found), max(found)) if found else (None, None)


def _instant(value: Any, kind: TimeKind) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    unit = _UNITS.get(kind)
    if unit is None:
        return FIRST_TIME
    return FIRST_TIME + timedelta(microseconds=min(max(int(value), 0) * (1_000_000 // unit), 10**17))


def _guessed(path: str, modified: datetime) -> tuple[datetime, datetime]:
    """Where the requests of a file that cannot be read may lie: it was written after them."""
    days = list(_DAY.finditer(path))
    if not days:
        return FIRST_TIME, modified
    day = days[-1]
    try:
        start = datetime.combine(date(*(int(part) for part in day.groups())), time(), UTC)
    except ValueError:
        return FIRST_TIME, modified
    length = timedelta(days=1)
    if hour := _HOUR.match(path, day.end()):
        start, length = start + timedelta(hours=int(hour[1])), timedelta(hours=1)
    since, until = start - NAME_MARGIN, start + length + NAME_MARGIN
    return since, (min(until, modified) if modified > since else until)


def _mapped(config: SourceConfig) -> dict[str, str]:
    """Our names -> the columns that the mapping reads."""
    given = config.columns
    found = {
        "created_at": given.created_at,
        "experiment": given.experiment_name
        or ("experiment_id" if given.experiment_id is None else given.experiment_id),
        "variant": given.variant_name or ("variant_id" if given.variant_id is None else given.variant_id),
        "converted": given.converted,
    }
    for name in ("is_error", "latency_ms", "user_id", "value"):
        own = getattr(given, name)
        found[name] = name if own is None else own
    for name in ("converted", "is_error"):
        if (parsed := parse_expression(found[name])) is not None:
            found[name] = parsed.name
    return {ours: name for ours, name in found.items() if name and not (ours == "is_error" and name == NEVER)}


def brace_pattern(paths: Sequence[str]) -> str:
    """Several paths as one pattern with braces."""
    if len(paths) == 1:
        return paths[0]
    folders = [Path(path).parent for path in paths]
    common = folders[0]
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return f"{common}/{{{','.join(str(Path(path).relative_to(common)) for path in paths)}}}"
