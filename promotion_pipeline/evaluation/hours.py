"""Hours as whole numbers: microseconds of UTC, so that comparing and adding them is exact and fast."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError

HOUR_US = 3_600_000_000
FAR_FUTURE_US = np.iinfo(np.int64).max


def utc_us(values: pd.Series, column: str) -> NDArray[np.int64]:
    """Times as microseconds of UTC, shape (n,); NaT is the smallest integer.

    Raises:
        InputError: the column holds no time zone, or no times at all.
    """
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    if not isinstance(values.dtype, pd.DatetimeTZDtype):
        sample = next((v for v in values if not pd.isna(v)), None)
        if sample is not None and getattr(sample, "tzinfo", None) is None:
            raise InputError(f"{column}={sample!r} has no time zone; pass UTC times, e.g. pd.Timestamp(..., tz='UTC')")
        values = pd.to_datetime(values, utc=True)
    in_us = values.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return np.asarray(in_us.astype("int64"), dtype=np.int64)


def refuse_fractions(hours_us: NDArray[np.int64], column: str) -> None:
    """Refuse times within an hour.

    Raises:
        InputError: a time is not the start of an hour.
    """
    if (hours_us % HOUR_US).any():
        bad = pd.Timestamp(int(hours_us[hours_us % HOUR_US != 0][0]), unit="us", tz="UTC")
        raise InputError(f"{column}={bad.isoformat()} is not the start of an hour; pass {bad.floor('h').isoformat()}")


def requested_hours(known_us: NDArray[np.int64], hours: object) -> NDArray[np.int64]:
    """Sorted distinct hours to decide on; default: the first to the last of those known, without gaps.

    Raises:
        InputError: an hour is naive or not the start of an hour.
    """
    if hours is None:
        return np.arange(known_us.min(), known_us.max() + 1, HOUR_US) if len(known_us) else known_us
    asked = np.unique(utc_us(pd.Series(pd.Index(hours)), "hours"))  # type: ignore[call-overload]
    refuse_fractions(asked, "hours")
    return asked
