"""Rules at every look of past experiments; pure frames in, a frame out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from promotion_pipeline.backtest.rules import ReplayRule
from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.evaluation import Evaluation, Warn, evaluate
from promotion_pipeline.evaluation.unattended import is_let_go

DECISIONS_AT_ONCE = 500_000
UNIT = ["experiment_id", "phase_id"]


class ReplayOutcome(StrEnum):
    """What the experiment's final data says of a promotion."""

    KEPT = "kept"
    """The promoted variant was still ahead of control at the last look."""
    FADED = "faded"
    """At the last look it was level or behind, not significantly."""
    REVERSED = "reversed"
    """At the last look it was significantly worse, by the z-test at the rule's confidence level."""


def replay(
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    rules: Sequence[ReplayRule],
    *,
    config: PromotionConfig | None = None,
) -> pd.DataFrame:
    """What each rule would have done with each experiment, had it decided at every look.

    A look is an hour in which the experiment has sums: an unattended promotion needs fresh data. A rule promotes at
    the first look at which its contract and its evidence are there; the experiment's later data is then its judge.
    An approval that a rule asks a person for counts as given at once.

    Args:
        rollups, experiments: as `evaluate` takes them.
        config: thresholds that neither the rule nor the experiment gives.

    Returns:
        A row per (rule, experiment): rule, experiment_id, name, looks, is_promoted, variant_name, promoted_at,
        hours (age of the phase), lift, final_lift (fractions), final_z, outcome (None without a promotion),
        was_eligible (the contract at some look), has_srm (p < 0.001 at the last look), withheld_by_srm (eligible
        at some look, never promoted, and SRM at its last eligible look).

    Raises:
        InputError: there are no rules, two have one name, or a frame is not as `evaluate` takes it.
    """
    names = [rule.name for rule in rules]
    if not names or len(set(names)) < len(names):
        raise InputError(f"rules {names}: give at least one, and no name twice")
    parts = [
        _replay_rule(rule, group, frame, config) for group, frame in _groups(rollups, experiments) for rule in rules
    ]
    whole = pd.concat(parts, ignore_index=True)
    order = pd.Categorical(whole["rule"], categories=names)
    return whole.iloc[np.lexsort((whole["name"], order.codes))].reset_index(drop=True)


def _groups(rollups: pd.DataFrame, experiments: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Experiments in groups whose decisions fit in memory; those that ran at the same time together."""
    known = rollups[rollups["experiment_id"].isin(experiments["experiment_id"])]
    first = known.groupby("experiment_id", observed=True)["hour"].min().sort_values(kind="stable")
    without = experiments.loc[~experiments["experiment_id"].isin(first.index), "experiment_id"].unique()
    ids = [*first.index, *without]
    size = max(1, DECISIONS_AT_ONCE // max(1, known["hour"].nunique()))
    for start in range(0, len(ids), size):
        own = ids[start : start + size]
        yield known[known["experiment_id"].isin(own)], experiments[experiments["experiment_id"].isin(own)]


def _replay_rule(
    rule: ReplayRule, rollups: pd.DataFrame, experiments: pd.DataFrame, config: PromotionConfig | None
) -> pd.DataFrame:
    found = evaluate(rollups, rule.laid_over(experiments), hours=rollups["hour"].unique(), config=config)
    looks = _at_own_looks(found.decisions, rollups, experiments)
    acts = looks[is_let_go(looks)].drop_duplicates("experiment_id").set_index("experiment_id")
    last = looks.drop_duplicates("experiment_id", keep="last").set_index("experiment_id")
    eligible = looks[looks["is_eligible"]].drop_duplicates("experiment_id", keep="last").set_index("experiment_id")
    names = experiments.drop_duplicates("experiment_id").set_index("experiment_id")["name"]
    mismatch = Warn.SAMPLE_RATIO_MISMATCH.value
    result = pd.DataFrame({"rule": rule.name, "name": names})
    result["looks"] = looks.groupby("experiment_id").size().reindex(result.index, fill_value=0)
    result["is_promoted"] = result.index.isin(acts.index)
    result["variant_name"] = acts["candidate_variant_name"].reindex(result.index)
    result["promoted_at"] = acts["as_of"].reindex(result.index)
    result["hours"] = ((acts["as_of"] - acts["started_at"]).dt.total_seconds() / 3600).reindex(result.index)
    result["lift"] = acts["improvement"].reindex(result.index) / 100.0
    result = result.join(_final(acts, looks, found))
    result["was_eligible"] = result.index.isin(eligible.index)
    result["has_srm"] = result.index.isin(last.index[[mismatch in codes for codes in last["warnings"]]])
    withheld = eligible.index[[mismatch in codes for codes in eligible["warnings"]]]
    result["withheld_by_srm"] = result.index.isin(withheld) & ~result["is_promoted"]
    return result.rename_axis("experiment_id").reset_index()


def _at_own_looks(decisions: pd.DataFrame, rollups: pd.DataFrame, experiments: pd.DataFrame) -> pd.DataFrame:
    """Decisions about hours in which their phase has sums, in order of time, with its start; ids as plain objects."""
    plain = decisions.assign(**{name: decisions[name].astype(object) for name in (*UNIT, "candidate_variant_id")})
    has_phases = "phase_id" in rollups.columns and bool(rollups["phase_id"].notna().any())
    unit = UNIT if has_phases else UNIT[:1]
    as_objects = dict.fromkeys(unit, object)
    own = rollups[[*unit, "hour"]].drop_duplicates().astype(as_objects)
    own["hour"] = pd.to_datetime(own["hour"], utc=True).dt.as_unit("us")
    started = experiments.groupby(unit)["started_at"].min().reset_index().astype(as_objects)
    joined = plain.merge(own, on=[*unit, "hour"]).merge(started, on=unit)
    return joined.sort_values("hour", kind="stable", ignore_index=True)


def _final(acts: pd.DataFrame, looks: pd.DataFrame, found: Evaluation) -> pd.DataFrame:
    """Lift, z and verdict of each promoted variant at the last look of the phase that it was promoted in."""
    last = looks.groupby(UNIT, dropna=False)["hour"].max().rename("hour").reset_index()
    judged = acts.reset_index()[[*UNIT, "candidate_variant_id", "min_confidence_threshold"]].merge(last, on=UNIT)
    tests = found.significance[["experiment_id", "variant_id", "hour", "lift", "z", "confidence"]]
    tests = tests.astype({"experiment_id": object, "variant_id": object})
    joined = judged.merge(
        tests,
        left_on=["experiment_id", "candidate_variant_id", "hour"],
        right_on=["experiment_id", "variant_id", "hour"],
    ).set_index("experiment_id")
    is_behind = (joined["z"] < 0) & (joined["confidence"] >= joined["min_confidence_threshold"])
    outcome = np.where(joined["lift"] > 0, ReplayOutcome.KEPT.value, ReplayOutcome.FADED.value)
    return pd.DataFrame(
        {
            "final_lift": joined["lift"],
            "final_z": joined["z"],
            "outcome": np.where(is_behind, ReplayOutcome.REVERSED.value, outcome).astype(object),
        },
        index=joined.index,
    )
