"""Many rows of a query in one: an array a column, decoded at once instead of value by value."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from promotion_pipeline.store.bulk import rendered

TIME = pa.timestamp("us", tz="UTC")
_TYPES: dict[int, pa.DataType] = {1016: pa.int64(), 1022: pa.float64(), 1185: TIME, 1009: pa.string()}
"""By the OID of the array's type: bigint[], float8[], timestamptz[], text[]."""
_HEADER = struct.Struct(">iiiii")
"""Of an array: dimensions, whether a value is missing, the type of the values, their number, the first index."""
_LENGTH = struct.Struct(">i")
_EPOCH_US = 946_684_800_000_000
"""2000-01-01, where PostgreSQL's times begin."""
_INFINITE = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def read_wide(connection: psycopg.Connection[Any], query: sql.Composable, columns: Sequence[str]) -> pa.Table:
    """The rows of a query over an open connection; a time without end is missing.

    The server puts the values of a column into an array, which costs it as much as sending rows, and Python next to
    nothing.

    Args:
        columns: of the query, each bigint, double precision, timestamptz or text.
    """
    wide = sql.Composed([_arrays(tuple(columns)), query, sql.SQL(") AS narrow")])
    with connection.cursor(binary=True) as cursor:
        cursor.execute(wide)
        result = cursor.pgresult
        assert result is not None
        found = [_decoded(result.get_value(0, at), _TYPES[result.ftype(at)]) for at in range(len(columns))]
    return pa.table(found, names=list(columns))


@cache
def _arrays(columns: tuple[str, ...]) -> sql.SQL:
    """The head of the statement."""
    arrays = sql.SQL(", ").join(sql.SQL("array_agg({0}) AS {0}").format(sql.Identifier(name)) for name in columns)
    return rendered(sql.SQL("SELECT {} FROM (").format(arrays))


def _decoded(data: bytes | None, kind: pa.DataType) -> pa.Array:
    """An array as PostgreSQL sends it: a header, then each value after its length."""
    if data is None:
        return pa.array([], type=kind)
    _, has_missing, _, count, _ = _HEADER.unpack_from(data)
    (length,) = _LENGTH.unpack_from(data, _HEADER.size)
    if has_missing or len(data) != _HEADER.size + count * (_LENGTH.size + length):
        return _one_by_one(data, count, kind)
    values = np.frombuffer(data, offset=_HEADER.size, dtype=[("length", ">i4"), ("value", f"V{length}")])
    if (values["length"] != length).any():
        return _one_by_one(data, count, kind)
    plain = np.ascontiguousarray(values["value"])
    if kind == pa.string():
        fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(length), count, [None, pa.py_buffer(plain)])
        coded = fixed.dictionary_encode()
        words = pa.array([word.decode() for word in coded.dictionary.to_pylist()], type=kind)
        return pa.DictionaryArray.from_arrays(coded.indices, words)
    if kind == pa.float64():
        return pa.array(plain.view(">f8").astype(np.float64))
    whole = plain.view(">i8").astype(np.int64)
    return _times(whole) if kind == TIME else pa.array(whole)


def _times(since_2000: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    endless = (since_2000 == _INFINITE[0]) | (since_2000 == _INFINITE[1])
    us = np.where(endless, 0, since_2000) + _EPOCH_US
    return pa.array(us, mask=endless).cast(TIME)


def _one_by_one(data: bytes, count: int, kind: pa.DataType) -> pa.Array:
    """The same where values are missing, or not all as long."""
    at, values = _HEADER.size, list[Any]()
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        values.append(None if length < 0 else data[at : at + length])
        at += max(length, 0)
    if kind == pa.string():
        return pa.array([None if value is None else value.decode() for value in values], type=kind)
    form = ">d" if kind == pa.float64() else ">q"
    numbers = [None if value is None else struct.unpack(form, value)[0] for value in values]
    if kind != TIME:
        return pa.array(numbers, type=kind)
    return _times(np.array([_INFINITE[0] if number is None else number for number in numbers], dtype=np.int64))
