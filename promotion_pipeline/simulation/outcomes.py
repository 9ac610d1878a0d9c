"""What each rule did with each simulated experiment: promoted which arm, when, at which observed lift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.evaluation.split import SRM_ALPHA
from promotion_pipeline.evaluation.unattended import is_let_go
from promotion_pipeline.simulation.rollups import GIANT_COLUMNS, START, USER_COLUMNS, experiments_of, frames_of
from promotion_pipeline.simulation.scenario import Scenario

NOT_PROMOTED = -1
LET_GO = "is_let_go"


class PromotionRule(StrEnum):
    """Which rule promotes; each acts at its first look that allows it, and then the experiment is over."""

    CONTRACT = "contract"
    """The contract checks, at every look."""
    UNATTENDED = "unattended"
    """What is promoted without a person: the contract and the configured evidence, by user where users are known."""
    UNATTENDED_BY_REQUEST = "unattended_by_request"
    """The same with users ignored, as if each request were independent; only where users are known."""
    GROUP_SEQUENTIAL = "group_sequential"
    """The group-sequential boundary alone; only where a planned size is stated. What it promotes as evidence is
    `unattended` with that evidence."""


@dataclass(frozen=True)
class Outcomes:
    """One rule's acts, arrays (experiments,)."""

    arm: NDArray[np.int64]
    """Promoted arm, 1 for the first treatment; -1: nothing was promoted."""
    hours: NDArray[np.float64]
    """Age of the experiment at the promotion; NaN without one."""
    lift: NDArray[np.float64]
    """Lift observed at the promotion, a fraction; NaN without one."""


@dataclass(frozen=True)
class Alarms:
    """Sample ratio alarms (p < 0.001), arrays (experiments,)."""

    at_last_look: NDArray[np.bool_]
    ever: NDArray[np.bool_]
    """At any look up to the last."""
    sequential_ever: NDArray[np.bool_]
    """The same by the test that is valid at every look."""


@dataclass(frozen=True)
class Batch:
    """What became of some experiments."""

    outcomes: dict[PromotionRule, Outcomes]
    alarms: dict[str, Alarms]
    """By the unit that is counted: "user" or "request"."""


def run_batch(scenario: Scenario, config: PromotionConfig, experiments: int, seed: np.random.SeedSequence) -> Batch:
    """Simulate some experiments and put every look at them through `evaluate`."""
    window_hours = int(np.ceil(config.attribution_window_hours))
    rollups, metrics = frames_of(scenario, experiments, np.random.default_rng(seed), window_hours)
    frame = experiments_of(scenario, experiments)
    looks = _looks(scenario)
    if scenario.metrics is not None:
        config = config.model_copy(update={"metrics": scenario.metrics.stated})
    decisions = evaluate(rollups, frame, hours=looks, config=config, metrics=metrics).decisions
    if scenario.requests_per_user is None:
        return batch_of(decisions, config, experiments, "request")
    batch = batch_of(decisions, config, experiments, "user")
    if scenario.metrics is not None:
        return batch
    blind = evaluate(rollups.drop(columns=[*USER_COLUMNS, *GIANT_COLUMNS]), frame, hours=looks, config=config).decisions
    ignored = batch_of(blind, config, experiments, "request")
    outcomes = {PromotionRule.UNATTENDED_BY_REQUEST: ignored.outcomes[PromotionRule.UNATTENDED]}
    return Batch(batch.outcomes | outcomes, batch.alarms | ignored.alarms)


def batch_of(decisions: pd.DataFrame, config: PromotionConfig, experiments: int, unit: str) -> Batch:
    """What the rules did with experiments that began at `START`, and the alarms about their split, by `unit`."""
    decided = decisions.assign(**{LET_GO: is_let_go(decisions)})
    outcomes = {
        PromotionRule.CONTRACT: _first(decided, "is_eligible", experiments),
        PromotionRule.UNATTENDED: _first(decided, LET_GO, experiments),
    }
    if config.planned_sample_size is not None:
        outcomes[PromotionRule.GROUP_SEQUENTIAL] = _first(decided, "group_sequential_crossed", experiments)
    return Batch(outcomes, {unit: _alarms(decided, experiments)})


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches end to end."""
    rules, units = batches[0].outcomes, batches[0].alarms
    return Batch(
        {
            rule: Outcomes(
                arm=np.concatenate([batch.outcomes[rule].arm for batch in batches]),
                hours=np.concatenate([batch.outcomes[rule].hours for batch in batches]),
                lift=np.concatenate([batch.outcomes[rule].lift for batch in batches]),
            )
            for rule in rules
        },
        {
            unit: Alarms(
                at_last_look=np.concatenate([batch.alarms[unit].at_last_look for batch in batches]),
                ever=np.concatenate([batch.alarms[unit].ever for batch in batches]),
                sequential_ever=np.concatenate([batch.alarms[unit].sequential_ever for batch in batches]),
            )
            for unit in units
        },
    )


def _looks(scenario: Scenario) -> pd.DatetimeIndex:
    """Hours that end with a look; the last hour always does."""
    ends = np.arange(scenario.look_every_hours, scenario.hours + 1, scenario.look_every_hours)
    ends = np.union1d(ends, [scenario.hours])
    return pd.DatetimeIndex(START + pd.to_timedelta(ends - 1, unit="h"))


def _first(decisions: pd.DataFrame, flag: str, experiments: int) -> Outcomes:
    """Each experiment's first decision with the flag."""
    chosen = decisions.loc[decisions[flag].to_numpy(dtype=bool)].sort_values("hour", kind="stable")
    chosen = chosen.drop_duplicates("experiment_id")
    number = _numbers(chosen["experiment_id"])
    arm = np.full(experiments, NOT_PROMOTED, dtype=np.int64)
    hours, lift = np.full(experiments, np.nan), np.full(experiments, np.nan)
    arm[number] = chosen["candidate_variant_name"].astype(str).astype(np.int64).to_numpy()
    hours[number] = ((chosen["as_of"] - START) / pd.Timedelta(hours=1)).to_numpy()
    lift[number] = chosen["improvement"].to_numpy(dtype=np.float64) / 100.0
    return Outcomes(arm, hours, lift)


def _alarms(decisions: pd.DataFrame, experiments: int) -> Alarms:
    number = _numbers(decisions["experiment_id"])
    alarm = decisions["srm_p_value"].to_numpy() < SRM_ALPHA
    sequential = decisions["sequential_srm_p_value"].to_numpy() < SRM_ALPHA
    last = (decisions["hour"] == decisions["hour"].max()).to_numpy()
    return Alarms(
        at_last_look=np.bincount(number[alarm & last], minlength=experiments) > 0,
        ever=np.bincount(number[alarm], minlength=experiments) > 0,
        sequential_ever=np.bincount(number[sequential], minlength=experiments) > 0,
    )


def _numbers(ids: pd.Series) -> NDArray[np.int64]:
    """The numbers of experiments out of their ids, a categorical column."""
    of_category = np.array([int(str(name).rpartition("-")[2]) for name in ids.cat.categories], dtype=np.int64)
    return of_category[ids.cat.codes.to_numpy()]
