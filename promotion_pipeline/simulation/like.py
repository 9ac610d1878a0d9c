"""How often the rule promotes on a team's own log where nothing can be better: its promise, checked on its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from promotion_pipeline.config import Evidence, MetricConfig, MetricRole, PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import evaluate
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome
from promotion_pipeline.simulation.campaign import MAX_EXPERIMENTS
from promotion_pipeline.simulation.outcomes import NOT_PROMOTED, Batch, Outcomes, PromotionRule, batch_of, joined
from promotion_pipeline.simulation.rerandomised import UserLog
from promotion_pipeline.simulation.rollups import experiments_with
from promotion_pipeline.simulation.summary import SrmSummary, summarise_alarms

CELLS_AT_ONCE = 200_000
"""Of (experiment, variant, hour): keeps the frames of one batch under a few hundred megabytes."""
SURE = 0.95
"""Level of the Monte Carlo interval."""


class PromiseKept(StrEnum):
    """Whether a promise about false promotions is kept."""

    KEPT = "kept"
    """The whole interval lies at or under what is promised."""
    BROKEN = "broken"
    """The whole interval lies above it."""
    UNDECIDED = "undecided"
    """More experiments are needed to say."""


@dataclass(frozen=True)
class FalsePromotions:
    """How often a rule promoted where nothing was better. Shares are fractions."""

    rule: PromotionRule
    promoted: int
    experiments: int
    lower: float
    upper: float
    """Exact 95 percent interval of the share."""
    promised: float | None
    """What the rule promises at most; None: it promises nothing, since it looks often without a correction."""
    median_hours: float | None

    @property
    def share(self) -> float:
        """Of all experiments."""
        return self.promoted / self.experiments

    @property
    def kept(self) -> PromiseKept | None:
        """Whether the promise is kept; None without one."""
        if self.promised is None:
            return None
        if self.upper <= self.promised:
            return PromiseKept.KEPT
        return PromiseKept.BROKEN if self.lower > self.promised else PromiseKept.UNDECIDED

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "rule": self.rule.value,
            "promoted": self.promoted,
            "falsePromotions": self.share,
            "lower": self.lower,
            "upper": self.upper,
            "promised": self.promised,
            "kept": None if self.kept is None else self.kept.value,
            "medianHours": self.median_hours,
        }


@dataclass(frozen=True)
class MetricSigns:
    """How often a stated metric gave a sign at any look, where nothing differs. Shares with their intervals."""

    metric: str
    role: str
    better: tuple[float, float, float]
    """Shown better by the always-valid test."""
    worse: tuple[float, float, float]
    kept: float | None
    """Of a guardrail: share of experiments at whose end it was kept; where it is low, it withholds good treatments."""
    promised: float
    """Of each of the two signs at most."""

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        names = ("share", "lower", "upper")
        return {
            "metric": self.metric,
            "role": self.role,
            "shownBetter": dict(zip(names, self.better, strict=True)),
            "shownWorse": dict(zip(names, self.worse, strict=True)),
            "keptAtTheEnd": self.kept,
            "promised": self.promised,
        }


@dataclass(frozen=True)
class LikeCampaign:
    """What the rules did on a log whose users were dealt anew."""

    experiments: int
    seed: int
    users: int
    hours: int
    config: PromotionConfig
    rules: tuple[FalsePromotions, ...]
    srm: SrmSummary
    metrics: tuple[MetricSigns, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "experiments": self.experiments,
            "seed": self.seed,
            "users": self.users,
            "hours": self.hours,
            "config": self.config.model_dump(mode="json", by_alias=True),
            "rules": [rule.to_json() for rule in self.rules],
            "srm": [self.srm.to_json()],
            "metrics": [metric.to_json() for metric in self.metrics],
        }


def simulate_like(
    log: UserLog,
    split: tuple[float, ...],
    *,
    experiments: int = 1000,
    config: PromotionConfig | None = None,
    seed: int = 0,
    advance: Callable[[float], None] | None = None,
) -> LikeCampaign:
    """Deal the users of a log to the variants `experiments` times, and put each deal through `evaluate` hour by hour.

    Args:
        split: share of each variant, control first.
        advance: called with the fraction done.

    Raises:
        InputError: `experiments` or `seed` is out of bounds.

    Cost: about 30 ns a (user, hour) row and experiment, and the evaluation's; memory is bounded by the log.
    """
    if not 1 <= experiments <= MAX_EXPERIMENTS or seed < 0:
        raise InputError(f"experiments={experiments}, seed={seed}: 1 to {MAX_EXPERIMENTS:,} experiments, a seed from 0")
    rule, share = config or PromotionConfig(), np.asarray(split, dtype=np.float64) / sum(split)
    each = max(1, CELLS_AT_ONCE // (len(split) * log.hours))
    rng, batches, done = np.random.default_rng(seed), list[Batch](), 0
    signs = list[pd.DataFrame]()
    while done < experiments:
        size = min(each, experiments - done)
        frame = experiments_with([float(percent) for percent in 100.0 * share], size)
        rollups, metrics = log.dealt(share, size, rng)
        found = evaluate(rollups, frame, config=rule, metrics=metrics)
        batches.append(batch_of(found.decisions, rule, size, "user"))
        signs.append(_signs(found.metric_results, rule))
        done += size
        if advance is not None:
            advance(done / experiments)
    whole = joined(batches)
    return LikeCampaign(
        experiments=experiments,
        seed=seed,
        users=log.users,
        hours=log.hours,
        config=rule,
        rules=tuple(false_promotions(kind, outcomes, rule) for kind, outcomes in whole.outcomes.items()),
        srm=summarise_alarms("user", whole.alarms["user"]),
        metrics=tuple(_of_metric(metric, pd.concat(signs), experiments, rule) for metric in rule.metrics),
    )


def _signs(results: pd.DataFrame, rule: PromotionConfig) -> pd.DataFrame:
    """For each experiment and metric, whether it was ever shown better, ever worse, and whether it is kept at last."""
    if not rule.metrics or results.empty:
        return pd.DataFrame({"metric": [], "better": [], "worse": [], "kept": []})
    is_last = results["hour"] == results["hour"].max()
    marks = results[["experiment_id", "metric"]].assign(
        better=results["outcome"].astype(str) == MetricOutcome.BETTER.value,
        worse=results["outcome"].astype(str) == MetricOutcome.WORSE.value,
        kept=is_last & (results["guardrail"].astype(str) == GuardrailVerdict.KEPT.value),
    )
    return marks.groupby(["experiment_id", "metric"], observed=True)[["better", "worse", "kept"]].any().reset_index()


def _of_metric(metric: MetricConfig, signs: pd.DataFrame, experiments: int, rule: PromotionConfig) -> MetricSigns:
    own = signs[signs["metric"].astype(str) == metric.name]
    better, worse, kept = (int(own[name].sum()) for name in ("better", "worse", "kept"))
    return MetricSigns(
        metric=metric.name,
        role=metric.role.value,
        better=interval(better, experiments),
        worse=interval(worse, experiments),
        kept=kept / experiments if metric.role is MetricRole.GUARDRAIL else None,
        promised=(1.0 - rule.min_confidence_level / 100.0) / 2.0,
    )


def interval(count: int, of: int) -> tuple[float, float, float]:
    """A share with its exact interval (Clopper and Pearson 1934, Biometrika 26, 404-413) at `SURE`."""
    out = (1.0 - SURE) / 2.0
    lower = float(betaincinv(count, of - count + 1, out)) if count else 0.0
    return count / of, lower, float(betaincinv(count + 1, of - count, 1.0 - out)) if count < of else 1.0


def false_promotions(kind: PromotionRule, outcomes: Outcomes, rule: PromotionConfig) -> FalsePromotions:
    """One rule's promotions, all of them false, with what it promises."""
    promoted = outcomes.arm != NOT_PROMOTED
    count, n = int(promoted.sum()), len(promoted)
    _, lower, upper = interval(count, n)
    promised = None
    if kind is not PromotionRule.CONTRACT and not (
        kind is PromotionRule.UNATTENDED and rule.evidence is Evidence.FIXED_HORIZON
    ):
        promised = (1.0 - rule.min_confidence_level / 100.0) / 2.0
    return FalsePromotions(
        rule=kind,
        promoted=count,
        experiments=n,
        lower=lower,
        upper=upper,
        promised=promised,
        median_hours=float(np.median(outcomes.hours[promoted])) if count else None,
    )
