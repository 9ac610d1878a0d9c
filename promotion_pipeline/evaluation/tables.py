"""What the evaluation reads, as arrays: experiments and hourly sums, without a frame around them.

Not here: how a frame becomes these (`from_frames.py`), and how what was found becomes one (`frames.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.config import PromotionConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MISSING_US = np.iinfo(np.int64).min
"""A time that is missing, among microseconds."""
SETTINGS = (*PromotionConfig.model_fields, "allows_corrections", "config_error")
"""What an experiment may have of its own."""


def numbered(values: Iterable[Any]) -> tuple[Ints, list[Any]]:
    """The number of each value in order of appearance, and the distinct values; hashed, for a few thousand."""
    places: dict[Any, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return np.array(codes, dtype=np.int64), list(places)


def _places(known: Bools) -> Ints:
    """Where each stands among those that are known, -1 for the others."""
    return np.where(known, np.cumsum(known) - 1, -1)


@dataclass(frozen=True)
class Words:
    """A column of ids or names: the position of each row's word among the distinct ones, -1 where it is missing."""

    codes: NDArray[Any]
    """Whole numbers, (rows,)."""
    words: NDArray[Any]
    """Objects, (distinct,)."""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Words:
        """The column with these values, None where one is missing."""
        codes, distinct = numbered(values)
        known = [word is not None for word in distinct]
        words = np.empty(sum(known), dtype=object)
        words[:] = [word for word in distinct if word is not None]
        return cls(_places(np.array(known, dtype=bool))[codes], words)

    def __len__(self) -> int:
        return len(self.codes)

    def at(self, index: Any) -> Words:
        """Some of the rows."""
        return Words(self.codes[index], self.words)

    def in_order(self) -> Words:
        """The same with those words alone that a row has, in the order of their first rows."""
        codes, distinct = numbered(self.codes.tolist())
        seen = np.array(distinct, dtype=np.int64)
        return Words(_places(seen >= 0)[codes], self.words[seen[seen >= 0]])

    def places_in(self, words: NDArray[Any]) -> Ints:
        """Where each row's word is among `words` (distinct), -1 where it is not, or is missing."""
        known = dict(zip(words, range(len(words)), strict=True))
        of_word = np.fromiter(map(known.get, self.words, repeat(-1)), dtype=np.int64, count=len(self.words))
        return np.asarray(np.append(of_word, -1)[self.codes])

    def is_in(self, words: Iterable[Any]) -> Bools:
        """Whether each row's word is one of these."""
        known = set(words)
        of_word = np.fromiter((word in known for word in self.words), dtype=bool, count=len(self.words))
        return np.asarray(np.append(of_word, False)[self.codes])

    def tolist(self) -> list[Any]:
        """The word of each row, None where it is missing."""
        words = [*self.words, None]
        return [words[code] for code in self.codes.tolist()]


@dataclass(frozen=True)
class ExperimentRows:
    """A row a variant (and phase), what `evaluate` takes as the experiments frame; times are microseconds of UTC."""

    experiment_id: Words
    variant_id: Words
    variant_name: Words
    phase_id: Words | None
    is_control: Bools
    traffic_percentage: Floats
    """NaN where it is no number."""
    started_us: Ints
    """Of the phase; `MISSING_US` where there is none."""
    ended_us: Ints | None
    governs: tuple[Ints, Ints] | None
    """The as-of bounds (from, until] in which each row is in force; until may be missing: to this day."""
    settings: Mapping[str, NDArray[Any]]
    """By names of `SETTINGS`, objects; None, NaN or NA: the default."""

    def __len__(self) -> int:
        return len(self.is_control)

    def at(self, index: Any) -> ExperimentRows:
        """Some of the rows, in another order maybe."""
        return ExperimentRows(
            experiment_id=self.experiment_id.at(index),
            variant_id=self.variant_id.at(index),
            variant_name=self.variant_name.at(index),
            phase_id=None if self.phase_id is None else self.phase_id.at(index),
            is_control=self.is_control[index],
            traffic_percentage=self.traffic_percentage[index],
            started_us=self.started_us[index],
            ended_us=None if self.ended_us is None else self.ended_us[index],
            governs=None if self.governs is None else (self.governs[0][index], self.governs[1][index]),
            settings={name: values[index] for name, values in self.settings.items()},
        )


@dataclass(frozen=True)
class HourlySums:
    """A row per (experiment, [phase,] variant, hour): rollups, or with `metric` the sums of stated metrics."""

    experiment_id: Words
    variant_id: Words
    phase_id: Words | None
    hour_us: Ints
    """Start of the hour, microseconds of UTC."""
    sums: Mapping[str, NDArray[Any]]
    """By name, numbers; NaN where one is not known."""
    metric: Words | None = None

    def __len__(self) -> int:
        return len(self.hour_us)

    def at(self, index: Any) -> HourlySums:
        """Some of the rows."""
        return HourlySums(
            experiment_id=self.experiment_id.at(index),
            variant_id=self.variant_id.at(index),
            phase_id=None if self.phase_id is None else self.phase_id.at(index),
            hour_us=self.hour_us[index],
            sums={name: values[index] for name, values in self.sums.items()},
            metric=None if self.metric is None else self.metric.at(index),
        )
