"""Whole frames in and out of PostgreSQL, never row by row: out over ADBC, in over COPY."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import adbc_driver_manager
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from promotion_pipeline.errors import InputError
from promotion_pipeline.store.clock import require_utc
from promotion_pipeline.store.connection import cannot_reach
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.pool import arrow_connection

Source: TypeAlias = Store | psycopg.Connection[Any]
"""A store, or a connection whose transaction the statement shall be part of."""

_TIME = pa.timestamp("us", tz="UTC")
_ARROW_TYPES: dict[str, pa.DataType] = {
    "bigint": pa.int64(),
    "integer": pa.int64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp with time zone": _TIME,
    "uuid": pa.string(),
    "text": pa.string(),
    "text[]": pa.string(),
}
_OID_TYPES: dict[int, pa.DataType] = {16: pa.bool_(), 20: pa.int64(), 23: pa.int64(), 701: pa.float64(), 1184: _TIME}


def read_frame(source: Source, query: sql.Composed, categories: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a query as a frame: times are UTC, text is `str`; select uuid and numeric as text and float8.

    Columns named in `categories` become categorical: ids that a million rows repeat.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if isinstance(source, Store):
        return _to_pandas(_read_over_adbc(source, query), categories)
    return _to_pandas(_read_rows(source, query, binary=False), categories)


def read_table(source: Source, query: sql.Composed) -> pa.Table:
    """The same as a table of Arrow; select numbers, truths, times with a zone, and everything else as text.

    Raises:
        DependencyError: the database cannot be reached.
    """
    if isinstance(source, Store):
        return _read_over_adbc(source, query)
    try:
        return _read_rows(source, query, binary=True)
    except psycopg.DataError as error:
        if error.sqlstate is not None:
            raise
        # A time that Python has no form for: as text it comes as the nearest that has one.
        return _read_rows(source, query, binary=False)


def read_few(store: Store, query: sql.Composed) -> pa.Table:
    """The same over a connection for rows: opening one for Arrow tables costs more than a few rows.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        try:
            return read_table(connection, query)
        except psycopg.OperationalError as error:
            raise cannot_reach(store.url, error) from error


def _read_rows(connection: psycopg.Connection[Any], query: sql.Composed, *, binary: bool) -> pa.Table:
    with connection.cursor(row_factory=psycopg.rows.tuple_row, binary=binary) as cursor:
        rows = cursor.execute(query).fetchall()
        result = cursor.pgresult
        assert result is not None
        columns = range(result.nfields)
        values = zip(*rows, strict=True) if rows else iter([()] * len(columns))
        arrays = [
            pa.array(list(column), type=_OID_TYPES.get(result.ftype(at), pa.string()))
            for at, column in zip(columns, values, strict=True)
        ]
        return pa.table(arrays, names=[(result.fname(at) or b"").decode() for at in columns])


def _to_pandas(table: pa.Table, categories: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(categories=list(categories))
    return frame


def _read_over_adbc(store: Store, query: sql.Composed) -> pa.Table:
    text = query.as_string(None)
    try:
        with arrow_connection(store) as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetch_arrow_table()
    except adbc_driver_manager.OperationalError as error:
        # Asks again through psycopg, which waits for a server that restarts and says clearly what is wrong.
        with store.connect():
            pass
        raise cannot_reach(store.url, error) from None


def copy_frame(connection: psycopg.Connection[Any], table: str, frame: pd.DataFrame, into: str) -> list[str]:
    """Load a frame into a new temporary table `into`, typed as `table`; returns the columns that both have.

    Extra columns of the frame are left out. Call it inside a transaction: the temporary table lives as long.

    Raises:
        InputError: a column that `table` needs is missing, or values do not fit its type.
    """
    types = _needed_types(connection, table, frame)
    copy_typed(connection, frame, into, types, f"the frame for {table}")
    return list(types)


def copy_typed(
    connection: psycopg.Connection[Any], frame: pd.DataFrame, into: str, types: Mapping[str, str], what: str
) -> None:
    """Load the columns `types` (name -> type of PostgreSQL) of a frame into a new temporary table `into`.

    Raises:
        InputError: values do not fit their type; the message calls the frame `what`.
    """
    arrow = _as_arrow(what, frame, types)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name)) for name, type_name in types.items()
    )
    connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(sql.Identifier(into), columns))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(into), identifiers(types))
    options = pyarrow.csv.WriteOptions(include_header=False)
    try:
        with connection.cursor() as cursor, cursor.copy(copy) as stream:
            for batch in arrow.to_batches(max_chunksize=65_536):
                buffer = io.BytesIO()
                pyarrow.csv.write_csv(batch, buffer, options)
                stream.write(buffer.getbuffer())
    except psycopg.DataError as error:
        raise InputError(f"{what} cannot be stored: {' '.join(str(error).split())}") from error
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(into)))


def _needed_types(connection: psycopg.Connection[Any], table: str, frame: pd.DataFrame) -> dict[str, str]:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        columns = cursor.execute(
            """
            SELECT attname, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef
            FROM pg_attribute
            WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''
            ORDER BY attnum
            """,
            (table,),
        ).fetchall()
    missing = [name for name, _, needed in columns if needed and name not in frame.columns]
    if missing:
        raise InputError(f"the frame for {table} lacks the columns {missing}; it has {list(frame.columns)}")
    return {name: type_name for name, type_name, _ in columns if name in frame.columns}


def _as_arrow(what: str, frame: pd.DataFrame, types: Mapping[str, str]) -> pa.Table:
    arrays = []
    for name, type_name in types.items():
        series = frame[name]
        if type_name == "timestamp with time zone" and not isinstance(series.dtype, pd.DatetimeTZDtype):
            series = _times(series, name)
        if type_name == "text[]":
            literals = {codes: _array_literal(codes) for codes in series.unique()}
            series = series.map(literals)
        try:
            array = pa.chunked_array(pa.Array.from_pandas(series))
            arrays.append(array.cast(_ARROW_TYPES[type_name]))
        except (pa.ArrowException, KeyError) as error:
            raise InputError(f"column {name} of {what} is no {type_name}: {error}") from error
    return pa.table(arrays, names=list(types))


def _array_literal(texts: Iterable[str]) -> str:
    """Texts as an array of PostgreSQL, quoted: a name may hold what means something there."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _times(series: pd.Series[Any], name: str) -> pd.Series[Any]:
    """A column of times that is not typed as UTC yet; an empty or missing one says nothing about its zone."""
    for value in series.dropna().unique():
        require_utc(pd.Timestamp(value).to_pydatetime(), name)
    return pd.to_datetime(series, utc=True)


def rendered(part: sql.Composable) -> sql.SQL:
    """A part that never changes, put together once: a query of many small parts takes longer to write than to run."""
    return sql.SQL(part.as_string(None))


def identifiers(names: Iterable[str], prefix: str | None = None) -> sql.Composed:
    """Column names, quoted and joined by commas."""
    return sql.SQL(", ").join(sql.Identifier(prefix, name) if prefix else sql.Identifier(name) for name in names)


def time_literal(at: datetime) -> sql.SQL:
    """An instant as a literal: parameters would keep a query from being streamed."""
    # Digits and signs alone.
    return sql.SQL(f"'{at.astimezone(UTC).isoformat()}'::timestamptz")


def ids_filter(column: sql.Composable, ids: Sequence[str | UUID] | None) -> sql.Composable:
    """A condition that `column` is one of `ids`; true where `ids` is None.

    Raises:
        InputError: one of them is no UUID.
    """
    if ids is None:
        return sql.SQL("true")
    try:
        known = [UUID(str(value)) for value in ids]
    except ValueError:
        raise InputError(f"experiment ids must be UUIDs, got {[str(value) for value in ids]}") from None
    wanted = ",".join(map(str, known))
    return sql.Composed([column, sql.SQL(f" = ANY('{{{wanted}}}'::uuid[])")])
