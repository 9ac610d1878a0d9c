"""What a rule would have brought, estimated on experiments that it was not decided on; pure.

Chou, Gray, Kallus, Bibaut, Ejdemyr, "Evaluating Decision Rules Across Many Weak Experiments", arXiv 2502.08763: the
plug-in estimate adds up the lifts of what a rule promotes as the same data shows them, and so counts the noise that got
it promoted; the cross-validated one lets the rule decide on all folds but one and measures in the one left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic.alias_generators import to_camel

from promotion_pipeline.backtest.acts import replay
from promotion_pipeline.backtest.folds import split_into_folds, together
from promotion_pipeline.backtest.rules import ReplayRule
from promotion_pipeline.config import PrimaryMetric, PromotionConfig
from promotion_pipeline.errors import InputError

DEFAULT_FOLDS = 10


@dataclass(frozen=True)
class RuleReturn:
    """The sum of relative lifts of what a rule promotes, as fractions: 0.3 is thirty experiments of +1 % each."""

    rule: str
    experiments: int
    folds: int
    promoted: int
    """On all data."""
    promised: float
    """The lifts at the promotions, on all data: what the rule says of itself."""
    plug_in: float
    """The lifts of the same promotions at the end of the experiments, their promotions' data included."""
    cross_validated: float
    """The lifts in the fold left out of what the other folds promote, averaged over the folds."""
    cross_validated_error: float
    """Standard error, the experiments taken as a sample of those to come."""
    promoted_a_fold: float
    """Promotions on all folds but one, on average."""

    def to_json(self) -> dict[str, Any]:
        """All figures, names in camelCase."""
        return {to_camel(name): value for name, value in asdict(self).items()}


def rule_returns(
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    rules: Sequence[ReplayRule],
    *,
    folds: int = DEFAULT_FOLDS,
    seed: int = 0,
    config: PromotionConfig | None = None,
) -> list[RuleReturn]:
    """The return of each rule, in their order; the same seed gives the same numbers.

    A rule decides on (folds - 1) / folds of the requests, and so promotes a little less than on all of them: with few
    folds the estimate is of a rule with less data.

    Args:
        rollups, experiments, config: as `replay` takes them; conversions decide.

    Raises:
        InputError: as `replay`, too few or too many folds, or an experiment that is decided on something else.
    """
    _require_conversions(experiments, rules, config)
    parts = split_into_folds(rollups, folds, np.random.default_rng(seed))
    whole = together(parts)
    on_all = replay(whole, experiments, rules, config=config)
    names = list(dict.fromkeys(on_all["experiment_id"]))
    brought = {rule.name: pd.Series(0.0, index=names) for rule in rules}
    promoted = dict.fromkeys(brought, 0)
    for number, left_out in enumerate(parts):
        acts = replay(together([*parts[:number], *parts[number + 1 :]]), experiments, rules, config=config)
        lifts = measured_lifts(acts, left_out, experiments)
        for name, own in acts.assign(measured=lifts).groupby("rule", sort=False):
            brought[str(name)] = brought[str(name)].add(own.set_index("experiment_id")["measured"], fill_value=0.0)
            promoted[str(name)] += int(own["is_promoted"].sum())
    return [
        _return(rule.name, on_all[on_all["rule"] == rule.name], brought[rule.name] / folds, folds, promoted[rule.name])
        for rule in rules
    ]


def _return(rule: str, own: pd.DataFrame, brought: pd.Series[float], folds: int, promoted: int) -> RuleReturn:
    acts, n = own[own["is_promoted"]], len(brought)
    return RuleReturn(
        rule=rule,
        experiments=n,
        folds=folds,
        promoted=len(acts),
        promised=float(acts["lift"].sum()),
        plug_in=float(acts["final_lift"].sum()),
        cross_validated=float(brought.sum()),
        cross_validated_error=float(np.sqrt(n) * brought.std(ddof=1)) if n > 1 else float("nan"),
        promoted_a_fold=promoted / folds,
    )


def measured_lifts(acts: pd.DataFrame, rollups: pd.DataFrame, experiments: pd.DataFrame) -> pd.Series[float]:
    """The lift of each promoted variant over control in other data, in the phase that it was promoted in.

    0 where nothing was promoted, or where the other data has no conversion of control to compare with.

    Args:
        acts: as `replay` gives them.
        rollups: the other data, with the same phases and variants.
    """
    keys = [name for name in ("experiment_id", "phase_id") if name in rollups.columns]
    arms = experiments.drop_duplicates([*keys, "variant_id"])
    sums = rollups.groupby([*keys, "variant_id"], observed=True)[["requests", "conversions"]].sum().reset_index()
    table = arms[[*keys, "variant_id", "variant_name", "is_control", "started_at"]].merge(
        sums, on=[*keys, "variant_id"]
    )
    table["rate"] = table["conversions"] / table["requests"].where(table["requests"] > 0)
    control = table[table["is_control"].astype(bool)].set_index(keys)["rate"].rename("control_rate")
    table = table.join(control, on=keys)
    table["measured"] = table["rate"] / table["control_rate"].where(table["control_rate"] > 0) - 1.0
    wanted = acts.reset_index(names="row")[["row", "experiment_id", "variant_name", "promoted_at", "is_promoted"]]
    found = wanted[wanted["is_promoted"]].merge(table, on=["experiment_id", "variant_name"])
    begun = found[found["started_at"] < found["promoted_at"]].sort_values("started_at")
    found = begun.drop_duplicates("row", keep="last")
    return found.set_index("row")["measured"].reindex(acts.index).fillna(0.0)


def _require_conversions(
    experiments: pd.DataFrame, rules: Sequence[ReplayRule], config: PromotionConfig | None
) -> None:
    """Refuse what cannot be split from sums.

    Raises:
        InputError: some experiment or rule is decided on another metric than conversions.
    """
    asked = {rule.given.primary_metric for rule in rules} | {(config or PromotionConfig()).primary_metric}
    if "primary_metric" in experiments.columns:
        asked |= {PrimaryMetric(value) for value in experiments["primary_metric"].dropna().unique()}
    others = sorted(metric.value for metric in asked - {PrimaryMetric.CONVERSION})
    if others:
        raise InputError(
            f"a return is estimated for conversions only, not for {', '.join(others)}: the values of single requests"
            " are not in the sums; name the experiments that are decided on conversions"
        )
