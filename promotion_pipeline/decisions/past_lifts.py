"""What ended experiments showed, kept once each: what the lifts of the next ones are shrunk by.

Every treatment of every experiment that ended counts, whether it was promoted, rejected or given up: a prior of winners
alone would promise too much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from psycopg import sql

from promotion_pipeline.decisions.experiments import read_experiments
from promotion_pipeline.evaluation.ended import lifts_at
from promotion_pipeline.rollups.rollup_columns import IDS
from promotion_pipeline.rollups.stored import stored_columns
from promotion_pipeline.statistics import FEWEST_ESTIMATES, critical_z, learned_prior_sd, shrunken_mean, usable
from promotion_pipeline.store.arrays import numbers
from promotion_pipeline.store.bulk import Source, read_frame, read_table, time_literal
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.windows import HOUR

_SQL = statements(__file__)

BROKEN_SPLIT_P = 0.001
"""Below it the split was not the declared one, and the lift is no estimate of anything."""
MOST_AT_ONCE = 500
"""Phases that one call looks back at; what is left over is the next call's."""


@dataclass(frozen=True)
class Expected:
    """What a lift is expected to be by the learned prior."""

    shrunken_lift: float
    sd: float
    """Of the prior, a fraction."""
    estimates: int
    """That it is learned from."""


@dataclass(frozen=True)
class LearnedPrior:
    """How large true lifts usually are, by the team's own ended experiments."""

    sd: float
    """Standard deviation around 0, a fraction; 0: the past lifts differ no more than noise; NaN: too few."""
    estimates: int
    """Treatments of ended experiments that it is learned from."""

    @property
    def is_known(self) -> bool:
        """Whether enough experiments have ended."""
        return math.isfinite(self.sd)

    def expected(self, lift: float, standard_error: float) -> Expected | None:
        """The lift to expect; None where the prior, the lift or its error is not known."""
        if not self.is_known or not standard_error > 0:
            return None
        # Where past lifts differ no more than noise does, nothing is to be expected of the next one.
        value = 0.0 if self.sd == 0.0 else float(shrunken_mean(lift, standard_error, prior_sd=self.sd))
        return Expected(value, self.sd, self.estimates) if math.isfinite(value) else None

    def expected_of(self, tests: Mapping[str, Any], level: float) -> Expected | None:
        """The same of a row of `significance`, whose interval is of `level` percent."""
        lift, lower, upper = (tests.get(name) for name in ("lift", "lift_lower", "lift_upper"))
        if lift is None or lower is None or upper is None:
            return None
        return self.expected(float(lift), float((upper - lower) / (2.0 * critical_z(1.0 - level / 100.0))))


def learned_prior(source: Source, as_of: datetime) -> LearnedPrior:
    """The prior that an evaluation as of this hour knows: asked again, the same, whatever ended since.

    Raises:
        DependencyError: the database cannot be reached.
    """
    found = read_table(source, _SQL["known"].format(as_of=time_literal(as_of)))
    value, error = usable(*(numbers(found[name]).astype(float) for name in ("lift", "standard_error")))
    return LearnedPrior(learned_prior_sd(value, error, fewest=FEWEST_ESTIMATES), len(value))


def keep_ended(store: Store) -> int:
    """Look back at the experiments that ended and keep their lifts; the treatments that were written.

    An experiment is looked back at once its late rows had AUTO_PROMOTION_LOOKBACK_HOURS to arrive. Idempotent.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        as_of = newest_complete_hour(connection)
        ended = _newly_ended(store, connection, as_of)
        if ended.empty:
            return 0
        rows = _looked_back(connection, ended, as_of)
        with connection.transaction():
            for row in rows:
                connection.execute(_SQL["keep"], row)
    return len(rows)


def count_newly_ended(store: Store) -> int:
    """How many phases `keep_ended` would look back at now. Writes nothing.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection:
        return len(_newly_ended(store, connection, newest_complete_hour(connection)))


def _newly_ended(store: Store, source: Source, as_of: datetime) -> pd.DataFrame:
    settled = as_of - timedelta(hours=store.settings.lookback_hours)
    query = _SQL["newly_ended"].format(settled=time_literal(settled), most=sql.Literal(MOST_AT_ONCE))
    return read_frame(source, query)


def _looked_back(source: Source, ended: pd.DataFrame, as_of: datetime) -> list[dict[str, Any]]:
    """A row a treatment of each phase, without a lift where there is none."""
    phases = ended.set_index("phase_id")
    frame = read_experiments(source, None, as_of, sorted(set(ended["experiment_id"])))
    frame = frame[frame["phase_id"].isin(phases.index)]
    # The set-up at the phase's end: thresholds and variants that were changed before it do not count.
    frame = frame.sort_values("governs_from").drop_duplicates(["phase_id", "variant_id"], keep="last")
    frame = frame.drop(columns=["governs_from", "governs_until", "ended_at"])
    rollups = rollups_of(source, list(phases.index))
    found = lifts_at(rollups, frame, pd.Timestamp(as_of - HOUR)) if len(frame) and len(rollups) else pd.DataFrame()
    lifts = {(str(row["phase_id"]), str(row["variant_id"])): row for row in found.to_dict("records")}
    treatments = frame[~frame["is_control"].astype(bool)]
    return [
        {
            "phase_id": row["phase_id"],
            "variant_id": row["variant_id"],
            "experiment_id": row["experiment_id"],
            "ended_at": phases.loc[row["phase_id"], "ended_at"],
            **_sound(lifts.get((row["phase_id"], row["variant_id"]))),
        }
        for row in treatments.astype({"phase_id": str, "variant_id": str}).to_dict("records")
    ]


def _sound(row: dict[Any, Any] | None) -> dict[str, float | None]:
    nothing: dict[str, float | None] = {"lift": None, "standard_error": None}
    if row is None or row["srm_p_value"] < BROKEN_SPLIT_P:
        return nothing
    lift, error = float(row["lift"]), float(row["standard_error"])
    return {"lift": lift, "standard_error": error} if math.isfinite(lift) and math.isfinite(error) else nothing


def rollups_of(source: Source, phase_ids: Sequence[str]) -> pd.DataFrame:
    """The stored sums of these phases, as `read_rollups` has them."""
    query = _SQL["rollups"].format(columns=stored_columns("rollup"), phases=sql.Literal(list(phase_ids)))
    return read_frame(source, query, IDS)
