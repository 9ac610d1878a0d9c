"""A random request log with everything that goes wrong in one, in every form that an engine reads."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from psycopg import sql

from promotion_pipeline.rollups.phases import PHASE_COLUMNS
from promotion_pipeline.store.bulk import copy_typed
from promotion_pipeline.store.database import Connection

HOUR = timedelta(hours=1)
SPRING = datetime(2026, 3, 8, tzinfo=UTC)
"""New York's clocks skip 02:00 to 03:00 at 07:00 UTC."""
AUTUMN = datetime(2026, 11, 1, tzinfo=UTC)
"""New York's clocks show 01:00 to 02:00 twice, at 05:00 and 06:00 UTC."""
HOURS = 14
SESSION_ZONES = ("UTC", "America/New_York", "Asia/Kolkata")
EXPERIMENTS = ("checkout", "it's \\ 'odd'; DROP TABLE x; --")
TEXTS = ("experiment_id", "variant_id", "user_id")
POSTGRESQL_TYPES = {
    "experiment_id": "uuid",
    "variant_id": "uuid",
    "user_id": "text",
    "created_at": "timestamp with time zone",
    "latency_ms": "double precision",
    "is_error": "boolean",
    "converted": "boolean",
    "value": "double precision",
}


def experiment_phases(day: datetime) -> pd.DataFrame:
    """Two experiments: one with three arms whose split changes within an hour, one that starts late and ends early."""
    rows = []
    for number, (name, boundaries) in enumerate(zip(EXPERIMENTS, [(-5.0, 4.35, None), (3.0, 11.0)], strict=True)):
        for phase, (begin, end) in enumerate(itertools.pairwise(boundaries)):
            assert begin is not None
            for arm in range(3 - number):
                rows.append(
                    (
                        _id(1, number),
                        name,
                        _id(2, 10 * number + phase),
                        _id(3, 10 * number + 2 - arm),
                        f"arm {arm}",
                        day + begin * HOUR,
                        pd.NaT if end is None else day + end * HOUR,
                    )
                )
    return pd.DataFrame(rows, columns=list(PHASE_COLUMNS))


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:04d}{number:08d}"


def requests(day: datetime, seed: int, count: int = 4000, users: int = 60) -> pd.DataFrame:
    """Requests from 5 h before `day` to 15 h after it; columns as `ai_requests`.

    Some name no user or a blank one, a twentieth 'guest'; some have no latency or value, or one that is NaN, infinite
    or negative; some are of no known variant; some lie on an hour, a phase's boundary or a microsecond beside it.
    """
    rng = np.random.default_rng(seed)
    phases = experiment_phases(day).drop_duplicates("variant_id")
    which = rng.integers(0, len(phases), count)
    micros = rng.integers(-5 * 3_600_000_000, 15 * 3_600_000_000, count)
    edges = np.arange(-5, 16) * 3_600_000_000
    edges = np.concatenate([edges, edges - 1, edges + 1, [int(4.35 * 3_600_000_000) + step for step in (-1, 0, 1)]])
    micros[: len(edges)] = edges
    user = np.char.add("ü-", rng.integers(0, users, count).astype(str)).astype(object)
    user[rng.random(count) < 0.1] = None
    user[rng.random(count) < 0.05] = "guest"
    blank = np.flatnonzero(rng.random(count) < 0.04)
    user[blank] = np.array(["", " ", "\t ", " \r\n", "\v\f"], dtype=object)[rng.integers(0, 5, len(blank))]
    latency = _spoiled(rng, rng.gamma(2.0, 60.0, count), negative=True)
    value = _spoiled(rng, np.round(rng.normal(20.0, 30.0, count), 2), negative=False)
    frame = pd.DataFrame(
        {
            "experiment_id": phases["experiment_id"].to_numpy()[which],
            "variant_id": phases["variant_id"].to_numpy()[which],
            "user_id": user,
            "created_at": pd.Timestamp(day).as_unit("us") + pd.to_timedelta(micros, unit="us"),
            "latency_ms": latency,
            "is_error": rng.random(count) < 0.05,
            "converted": rng.random(count) < 0.3,
            "value": value,
        }
    )
    unknown = rng.random(count) < 0.03
    frame.loc[unknown, "variant_id"] = _id(9, 9)
    return frame


def _spoiled(rng: np.random.Generator, values: np.ndarray, *, negative: bool) -> np.ndarray:
    kind = rng.random(len(values))
    values = np.where(kind < 0.02, np.nan, values)
    values = np.where((kind >= 0.02) & (kind < 0.03), np.inf, values)
    values = np.where((kind >= 0.03) & (kind < 0.04), -1.0 if negative else -np.inf, values)
    return np.where((kind >= 0.04) & (kind < 0.05), 3e120, values)


def as_table(frame: pd.DataFrame) -> pa.Table:
    """The log as Arrow; NaN stays NaN, and a tenth of the latencies is missing."""
    arrays = {}
    for name in frame.columns:
        values = frame[name]
        if values.dtype == np.float64:
            missing = np.arange(len(values)) % 10 == 3
            arrays[name] = pa.array(values.to_numpy(), mask=missing, from_pandas=False)
        elif values.dtype == bool:
            arrays[name] = pa.array(values.to_numpy())
        else:
            arrays[name] = pa.Array.from_pandas(values)
            if name in TEXTS:
                arrays[name] = arrays[name].cast(pa.string())
    return pa.table(arrays)


def write_parquet(frame: pd.DataFrame, folder: Path) -> Path:
    """The log in two Parquet files; returns their glob."""
    table = as_table(frame)
    half = len(table) // 2
    pyarrow.parquet.write_table(table.slice(0, half), folder / "part-0.parquet")
    pyarrow.parquet.write_table(table.slice(half), folder / "part-1.parquet")
    return folder / "*.parquet"


def write_postgresql(connection: Connection, frame: pd.DataFrame, table: str) -> None:
    """The log as a new table of PostgreSQL; times without a zone and whole numbers keep their type."""
    plain = as_table(frame).to_pandas(types_mapper=pd.ArrowDtype)
    name = sql.Identifier(table)
    zone = getattr(frame["created_at"].dtype, "tz", None)
    if frame["created_at"].dtype.kind == "i":
        plain["created_at"] = pd.to_datetime(frame["created_at"], unit="ms", utc=True)
    elif zone is None:
        plain["created_at"] = frame["created_at"].dt.tz_localize("UTC")
    with connection.transaction():
        copy_typed(connection, plain, "incoming", POSTGRESQL_TYPES, "the log")
        connection.execute(sql.SQL("CREATE TABLE {} AS TABLE incoming").format(name))
    if frame["created_at"].dtype.kind == "i":
        to = "bigint USING round(extract(epoch FROM created_at) * 1000)::bigint"
    elif zone is None:
        to = "timestamp USING created_at AT TIME ZONE 'UTC'"
    else:
        return
    connection.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN created_at TYPE " + to).format(name))
