"""A log as it was, its users dealt to the variants anew: experiments in which nothing can be better than control.

Who did what and when stays as it was, also who came back; only the variant is drawn. Whatever a treatment did to its
users is thereby dealt to all variants alike, so that every promotion is a false one (Fisher's randomisation).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation.clusters import POWER, POWER_SUM
from promotion_pipeline.simulation.dealt_metrics import MetricLog
from promotion_pipeline.simulation.metric_events import metrics_frame
from promotion_pipeline.simulation.rollups import START, names_of
from promotion_pipeline.simulation.users import Runs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FEWEST_USERS = 20


@dataclass(frozen=True)
class UserLog:
    """What users did, a row per user and hour: arrays (rows,), and what each row adds to the sums over users.

    No row depends on the variant, so the sums of any deal are one addition a row.
    """

    user: Ints
    """Number of the user, from 0."""
    hour: Ints
    """Hours since the hour in which the log begins."""
    adds: dict[str, Floats]
    """By column of the rollups."""
    users: int
    hours: int
    metrics: dict[str, MetricLog] = field(default_factory=dict)
    """Of the metrics that the experiment states, by name."""

    @classmethod
    def of(cls, user: NDArray[np.generic], hour: Ints, sums: dict[str, Floats]) -> UserLog:
        """From rows in any order, one a user and hour.

        Args:
            user: anything that tells users apart.
            sums: requests, conversions and value of each row.

        Raises:
            InputError: there are fewer than 20 users: dealing them would say nothing.
        """
        known, number = np.unique(user, return_inverse=True)
        if len(known) < FEWEST_USERS:
            raise InputError(
                f"{len(known)} users are too few to be dealt to variants anew ({FEWEST_USERS} are needed): a log whose"
                " requests name no user cannot be re-randomised; map its user_id, or simulate by numbers without --like"
            )
        order = np.lexsort((hour, number))
        ordered = {name: np.asarray(values[order], dtype=np.float64) for name, values in sums.items()}
        of = np.asarray(number[order], dtype=np.int64)
        return cls(
            user=of,
            hour=np.asarray(hour[order], dtype=np.int64),
            adds=_increments(of, ordered),
            users=len(known),
            hours=int(hour.max()) + 1,
        )

    def dealt(
        self, split: Floats, experiments: int, rng: np.random.Generator
    ) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Hourly sums of `experiments` deals as `evaluate` takes them, and those of the metrics where there are any.

        Args:
            split: share of the users of each variant, control first.
        """
        arms, ends = len(split), np.cumsum(split) / np.sum(split)
        width = arms * self.hours
        sums = {name: np.empty((experiments, width)) for name in self.adds}
        of_metrics = list[dict[str, dict[str, Floats]]]()
        for number in range(experiments):
            arm = np.searchsorted(ends[:-1], rng.random(self.users), side="right")
            cell = arm[self.user] * self.hours + self.hour
            for name, adds in self.adds.items():
                sums[name][number] = np.bincount(cell, weights=adds, minlength=width)
            if self.metrics:
                of_metrics.append({name: log.dealt(arm, self.hours, width) for name, log in self.metrics.items()})
        row = np.repeat(np.arange(experiments * arms, dtype=np.int32), self.hours)
        hours = pd.date_range(START, periods=self.hours, freq="h").as_unit("us")
        keys = pd.DataFrame(
            {
                "experiment_id": pd.Categorical.from_codes(row // arms, names_of("experiment", experiments)),
                "variant_id": pd.Categorical.from_codes(row, names_of("variant", experiments * arms)),
                "hour": hours.take(np.tile(np.arange(self.hours), experiments * arms)),
            },
            copy=False,
        )
        counts = {name: values.reshape(-1) for name, values in sums.items()}
        nothing = dict.fromkeys(("errors", "crossed_users", "crossed_requests"), np.zeros(len(row), dtype=np.int64))
        rollups = keys.assign(**counts, **nothing)
        return rollups, metrics_frame(of_metrics, keys) if of_metrics else None


def _increments(user: Ints, sums: dict[str, Floats]) -> dict[str, Floats]:
    dd, dy, dv = sums["requests"], sums["conversions"], sums["value"]
    runs = Runs.of(user)
    d, y, v = (runs.before(share) for share in (dd, dy, dv))
    return {
        "requests": dd,
        "conversions": dy,
        "value_sum": dv,
        # Of an hour only the sum is known: its requests count as alike.
        "value_sum_squares": dv * dv / dd,
        "new_users": runs.is_first(),
        "user_requests": dd,
        "user_conversions": dy,
        "user_conversions_sum_squares": 2.0 * y * dy + dy * dy,
        "user_requests_sum_squares": 2.0 * d * dd + dd * dd,
        "user_conversions_requests_sum_products": y * dd + d * dy + dy * dd,
        "user_value_sum_squares": 2.0 * v * dv + dv * dv,
        "user_value_requests_sum_products": v * dd + d * dv + dv * dd,
        POWER_SUM: (d + dd) ** POWER - d**POWER,
    }
