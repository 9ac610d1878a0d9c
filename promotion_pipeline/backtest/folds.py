"""Past experiments split at random into folds, from their sums alone; pure.

Requests of an hour and arm of which only their number and their conversions are known are exchangeable, so a random
split of them has hypergeometric counts: what is drawn here is what a split of the rows themselves would give.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError

MOST_FOLDS = 50
LARGEST_URN = 10**9
"""numpy draws from none with more."""
KEYS = ["experiment_id", "phase_id", "variant_id", "hour"]
SPLIT = ["requests", "conversions", "errors"]

Counts = NDArray[np.int64]


def split_into_folds(rollups: pd.DataFrame, folds: int, random: np.random.Generator) -> list[pd.DataFrame]:
    """`folds` frames whose sums add up to those of `rollups`, each with about as many requests.

    Requests are split, so that a user's requests may land in several folds: where users come back, folds are less
    independent than they look. Sums over users, latencies and values cannot be split and are left out. Where a count
    was corrected downwards (a negative increment) its size is split and the sign kept.

    Raises:
        InputError: fewer than 2 folds, or more than 50.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise InputError(f"folds is {folds}: a split needs 2 to {MOST_FOLDS}")
    keys = [name for name in KEYS if name in rollups.columns]
    requests, conversions = (rollups[name].to_numpy(dtype=np.int64) for name in SPLIT[:2])
    errors = rollups["errors"].fillna(0).to_numpy(dtype=np.int64)
    parts: list[pd.DataFrame] = []
    for left in range(folds, 0, -1):
        rest = requests, conversions, errors
        share = rest if left == 1 else _drawn(*rest, left, random)
        parts.append(rollups[keys].assign(**dict(zip(SPLIT, share, strict=True))))
        requests, conversions, errors = (whole - part for whole, part in zip(rest, share, strict=True))
    return parts


def _drawn(
    requests: Counts, conversions: Counts, errors: Counts, left: int, random: np.random.Generator
) -> tuple[Counts, Counts, Counts]:
    """One of `left` equal folds of what is left."""
    size = np.abs(requests)
    sample = random.binomial(size, 1.0 / left)
    return (
        np.sign(requests) * sample,
        _of_sample(conversions, size, sample, left, random),
        _of_sample(errors, size, sample, left, random),
    )


def _of_sample(marked: Counts, size: Counts, sample: Counts, left: int, random: np.random.Generator) -> Counts:
    """How many marked requests are in a sample.

    Where a correction leaves more marked ones than requests, or numpy's urn is too small, each is drawn by itself.
    """
    number = np.abs(marked)
    fits = (number <= size) & (size < LARGEST_URN)
    urn = np.where(fits, number, 0), np.where(fits, size - number, 1), np.where(fits, sample, 1)
    drawn = random.hypergeometric(*urn)
    alone = random.binomial(number, 1.0 / left)
    return np.asarray(np.sign(marked) * np.where(fits, drawn, alone))


def together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The sums of several folds of one split."""
    whole = parts[0][SPLIT].copy()
    for part in parts[1:]:
        whole += part[SPLIT]
    return parts[0].assign(**{name: whole[name] for name in SPLIT})
