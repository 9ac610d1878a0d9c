"""Sums that somebody else aggregated: a warehouse's rollups, and the ASOS digital experiments.

An imported experiment has `rollup_source = 'imported'`: its rollups are never rebuilt from `ai_requests`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.imports.asos import asos_sums
from promotion_pipeline.rollups.imports.write import ImportedRows, write_import
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import HOUR, require_hours

IMPORT_COLUMNS: dict[str, str] = {
    "experiment": "name of the experiment; needed",
    "variant": "name of the variant; needed",
    "hour": "time with its zone; the row counts for the UTC hour it falls in; needed",
    "requests": "requests (or users) of that hour; needed",
    "conversions": "those that converted; needed",
    "errors": "those that failed; default 0",
    "is_control": "whether the variant is the control; default: the variant called 'control'",
    "traffic_percentage": "percent of traffic, for an experiment that is not known yet; default: an even split",
    "latency_samples": "requests with a known latency; default 0",
    "latency_ms_sum": "sum of the latencies in milliseconds; default 0",
    "latency_ms_sum_squares": "sum of their squares; default 0",
    "value_sum": "sum of the value metric; default 0",
    "value_sum_squares": "sum of its squares; default 0",
    "new_users": "users first seen in that hour; the user columns come all together or not at all",
    "user_requests": "requests of known users",
    "user_conversions": "conversions of known users",
    "user_conversions_sum_squares": "increment of the sum over users of (conversions so far) squared",
    "user_requests_sum_squares": "increment of the sum over users of (requests so far) squared",
    "user_conversions_requests_sum_products": "increment of the sum over users of conversions x requests so far",
}
"""What a row may say, and its default: the names that a mapping maps from."""
NEEDED = ("experiment", "variant", "hour", "requests", "conversions")
USER_COLUMNS = tuple(IMPORT_COLUMNS)[-6:]
SUMS = tuple(name for name in IMPORT_COLUMNS if name not in {*NEEDED[:3], "is_control", "traffic_percentage"})
REAL_SUMS = ("latency_ms_sum", "latency_ms_sum_squares", "value_sum", "value_sum_squares")
ROWS_NAMED = 5


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    experiments: tuple[str, ...]
    """Names, sorted."""
    variants: int
    rows: int
    """Rollup rows written: one an hour and variant."""
    negative_increments: int
    """Rows in which a sum fell since the look before; they are kept, the cumulative sums are what was measured."""
    first_hour: datetime
    last_hour: datetime
    warnings: tuple[str, ...]
    """Sentences about what a person should look at."""


def import_rollups(
    store: Store, path: Path | str, mapping: Mapping[str, str] | None = None, *, cumulative: bool = False
) -> ImportResult:
    """Import per-variant sums by hour from a Parquet or CSV file; all of it or nothing.

    Doing it again, or with newer hours, replaces the hours that the file has. Experiments and variants that are not
    known are made; the split of one that is known stays as it is.

    Args:
        mapping: name in IMPORT_COLUMNS -> column of the file; those left out have the same name in both.
        cumulative: the sums are totals so far, not of the hour.

    Raises:
        InputError: the file cannot be read, a column is missing or unknown, a time is naive or in the future, or a
            value is missing or no number; the message names the rows.
        ConflictError: an experiment of that name gets its rollups from `ai_requests`.
        DependencyError: the database cannot be reached.
    """
    file = Path(path)
    frame = _renamed(read_table(file), mapping or {}, file)
    frame = _checked(frame, file)
    if cumulative:
        frame = increments(frame)
    return _import(store, frame, file, replace_all=False, warnings=[])


def import_asos(store: Store, path: Path | str, start: datetime | None = None) -> ImportResult:
    """Import the ASOS Digital Experiments Dataset (arXiv 2111.10198, CC BY 4.0) as published in Parquet.

    One experiment `asos-<experiment_id>` each, variants `control` and `variant-<n>`, an even split. Conversion is
    metric 1, value metric 4. The unit is the user: one request each. Importing again replaces all.

    Args:
        start: when every experiment starts; default: so that the newest look lies in the newest complete hour.

    Raises:
        InputError: the file is another one, `start` is naive, not a whole hour, or too late for the looks to be past.
        ConflictError: an experiment of that name gets its rollups from `ai_requests`, or has changed its split since.
        DependencyError: the database cannot be reached.
    """
    file = Path(path)
    sums, notes = asos_sums(read_table(file), str(file))
    longest = timedelta(days=float(sums["days"].max()))
    if start is None:
        with store.connect() as connection:
            start = newest_complete_hour(connection) - HOUR - longest
            start = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    require_hours(None, start)
    sums["hour"] = (pd.Timestamp(start) + pd.to_timedelta(sums.pop("days"), unit="D")).dt.as_unit("us")
    frame = increments(sums)
    return _import(store, frame, file, replace_all=True, warnings=notes, started_at=start)


def read_table(file: Path) -> pd.DataFrame:
    """A Parquet or CSV (also .csv.gz) file.

    Raises:
        InputError: it does not exist, is neither, or cannot be parsed.
    """
    kind = file.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind not in {"parquet", "csv"}:
        raise InputError(f"{file}: the name must end in .parquet, .csv or .csv.gz")
    try:
        frame = pd.read_parquet(file) if kind == "parquet" else pd.read_csv(file)
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as {kind}: {' '.join(str(error).split())[:300]}") from error
    if frame.empty:
        raise InputError(f"{file} has no rows")
    return frame.reset_index(drop=True)


def _renamed(frame: pd.DataFrame, mapping: Mapping[str, str], file: Path) -> pd.DataFrame:
    for name, column in mapping.items():
        if name not in IMPORT_COLUMNS:
            close = difflib.get_close_matches(name, IMPORT_COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(IMPORT_COLUMNS)}"
            raise InputError(f"mapping: unknown name {name!r}; {hint}")
        if column not in frame.columns:
            raise InputError(f"mapping {name}={column}: {file} has no such column; it has {list(frame.columns)}")
    own = {name: mapping.get(name, name) for name in IMPORT_COLUMNS}
    missing = [name for name in NEEDED if own[name] not in frame.columns]
    if missing:
        raise InputError(
            f"{file} lacks the columns {missing}; it has {list(frame.columns)}: map them, for example"
            f" {missing[0]}={frame.columns[0]}"
        )
    given = {name: column for name, column in own.items() if column in frame.columns}
    users = [name for name in USER_COLUMNS if name in given]
    if users and len(users) < len(USER_COLUMNS):
        raise InputError(f"{file} has {users} but not all of {list(USER_COLUMNS)}: give all of them or none")
    return pd.DataFrame({name: frame[column] for name, column in given.items()})


def _checked(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Names as text, times as UTC, sums as numbers; every refusal names the rows."""
    checked: dict[str, Any] = {}
    for name in ("experiment", "variant"):
        texts = frame[name].astype("string").str.strip()
        _refuse(texts.isna() | (texts == ""), frame, name, file, "is missing")
        checked[name] = texts.astype("str")
    checked["hour"] = _utc(frame["hour"], frame, file)
    for name in SUMS:
        if name in frame.columns:
            checked[name] = _numbers(frame[name], frame, name, file, whole=name not in REAL_SUMS)
    for part in ("conversions", "errors"):
        # A negative sum is a correction of an earlier hour and is kept as it is; a part of it has no bound.
        if part in checked:
            too_many = (checked[part] > checked["requests"]) & (checked["requests"] >= 0)
            _refuse(too_many, frame, part, file, "is above the row's requests")
    if "is_control" in frame.columns:
        checked["is_control"] = _booleans(frame["is_control"], frame, file)
    if "traffic_percentage" in frame.columns:
        percent = _numbers(frame["traffic_percentage"], frame, "traffic_percentage", file, whole=False)
        _refuse((percent < 0) | (percent > 100), frame, "traffic_percentage", file, "is not between 0 and 100")
        checked["traffic_percentage"] = percent
    result = pd.DataFrame(checked)
    twice = result.duplicated(["experiment", "variant", "hour"], keep=False)
    _refuse(twice, frame, "hour", file, "is there twice for one variant")
    return result


def _plain(value: Any) -> Any:
    """A cell as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value


def _refuse(bad: pd.Series[Any], frame: pd.DataFrame, name: str, file: Path, what: str) -> None:
    if not bad.any():
        return
    positions = np.flatnonzero(bad.to_numpy())
    shown = ", ".join(f"row {p + 1} ({_plain(frame[name].iloc[p])!r})" for p in positions[:ROWS_NAMED])
    more = f" and {len(positions) - ROWS_NAMED} more" if len(positions) > ROWS_NAMED else ""
    raise InputError(f"{file}: {name} {what} in {shown}{more}; nothing was imported")


def _utc(values: pd.Series[Any], frame: pd.DataFrame, file: Path) -> pd.Series[Any]:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        times = values.dt.tz_convert("UTC")
    else:
        # A time of day must come before the zone: the end of the date 2026-01-31 looks like one.
        naive = ~values.astype("string").str.contains(r"[T ]\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)\s*$", regex=True, na=False)
        _refuse(naive, frame, "hour", file, "is no time with a zone (such as 2026-01-31T13:00:00Z)")
        times = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    _refuse(times.isna(), frame, "hour", file, "is no time")
    result: pd.Series[Any] = times.dt.as_unit("us")
    return result


def _numbers(values: pd.Series[Any], frame: pd.DataFrame, name: str, file: Path, *, whole: bool) -> pd.Series[Any]:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    _refuse(~pd.Series(np.isfinite(numbers.to_numpy())), frame, name, file, "is missing or no number")
    if whole:
        _refuse(numbers != numbers.round(), frame, name, file, "is not a whole number")
        return numbers.astype("int64")
    return numbers


def _booleans(values: pd.Series[Any], frame: pd.DataFrame, file: Path) -> pd.Series[Any]:
    known = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
    found = values.astype("string").str.strip().str.lower().map(known)
    _refuse(found.isna(), frame, "is_control", file, "is neither true nor false")
    return found.astype(bool)


def increments(frame: pd.DataFrame) -> pd.DataFrame:
    """Cumulative sums by (experiment, variant, hour) as the differences to the look before."""
    ordered = frame.sort_values(["experiment", "variant", "hour"], kind="stable", ignore_index=True)
    sums = [name for name in SUMS if name in ordered.columns]
    steps = ordered.groupby(["experiment", "variant"], sort=False)[sums].diff()
    first = steps[sums[0]].isna()
    return ordered.assign(
        **{name: ordered[name].where(first, steps[name]).astype(ordered[name].dtype) for name in sums}
    )


def _import(
    store: Store,
    frame: pd.DataFrame,
    file: Path,
    *,
    replace_all: bool,
    warnings: list[str],
    started_at: datetime | None = None,
) -> ImportResult:
    sums = [name for name in SUMS if name in frame.columns]
    negative = int((frame[sums] < 0).any(axis=1).sum())
    hourly = _by_hour(frame, sums)
    control = hourly.groupby("experiment")["is_control"].any()
    without = sorted(control.index[~control])
    if without:
        warnings.append(
            f"{len(without)} experiments have no control ({', '.join(without[:ROWS_NAMED])}): they stay inconclusive;"
            " give a column is_control or call the variant 'control'"
        )
    if negative:
        warnings.append(f"in {negative} rows a sum fell since the look before: kept as measured")
    written: ImportedRows = write_import(store, hourly, sums, str(file), replace_all=replace_all, started_at=started_at)
    if written.unplaced_rows:
        warnings.append(
            f"{written.unplaced_rows} rows lie before the first phase of their experiment and were left out"
        )
    return ImportResult(
        experiments=tuple(sorted(control.index)),
        variants=written.variants,
        rows=written.rows,
        negative_increments=negative,
        first_hour=hourly["hour"].min().to_pydatetime(),
        last_hour=hourly["hour"].max().to_pydatetime(),
        warnings=tuple(warnings),
    )


def _by_hour(frame: pd.DataFrame, sums: list[str]) -> pd.DataFrame:
    """One row an hour and variant; several looks within an hour are added up."""
    if "is_control" not in frame.columns:
        frame = frame.assign(is_control=frame["variant"].str.lower() == "control")
    keys = ["experiment", "variant", frame["hour"].dt.floor("h")]
    rules = dict.fromkeys(sums, "sum") | {"is_control": "last"}
    if "traffic_percentage" in frame.columns:
        rules["traffic_percentage"] = "last"
    ordered = frame.sort_values("hour", kind="stable")
    grouped = ordered.groupby([ordered["experiment"], ordered["variant"], keys[2].loc[ordered.index]], sort=True)
    return grouped.agg(rules).reset_index()
