"""The columns of an Arrow table as arrays of numpy: what a few rows need, without a frame around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = pa.timestamp("us", tz="UTC")


def us_of(at: datetime) -> int:
    """An instant as microseconds since 1970, exactly."""
    return (at - EPOCH) // _MICROSECOND


def instant(us: int) -> datetime:
    """The same the other way round."""
    return EPOCH + us * _MICROSECOND


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Whole numbers, floats or truths; whole numbers of which some are missing are floats, and missing is NaN."""
    return np.asarray(column.to_numpy())


def times_us(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Microseconds of UTC, the smallest integer where one is missing."""
    us = column.cast(_TIME).cast(pa.int64())
    return np.asarray(us.fill_null(np.iinfo(np.int64).min).to_numpy(), dtype=np.int64)


def coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Positions among the distinct values, -1 where one is missing; and these values, objects."""
    whole = column.combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    codes = pyarrow.compute.fill_null(whole.indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int32), objects(whole.dictionary.to_pylist())


def objects(values: list[Any]) -> NDArray[Any]:
    """Python's values as an array, whatever they are."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
