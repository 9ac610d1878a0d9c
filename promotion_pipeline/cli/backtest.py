"""`backtest`: what a rule would have done with past experiments, held against their final data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, ThresholdCommand, takes_thresholds
from promotion_pipeline.cli.simulate import numbers
from promotion_pipeline.errors import NotFoundError
from promotion_pipeline.text.numbers import rate_text, setting_text

if TYPE_CHECKING:
    import pandas as pd

    from promotion_pipeline.backtest import ReplayRule, RuleRecord, RuleReturn

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Experiments of the database; none: all.", show_default=False),
]
File = Annotated[
    Path | None, typer.Option("--file", metavar="PATH", help="The ASOS Parquet file instead of the database.")
]
RuleTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="RULE",
        help="contract, unattended, NAME=VALUE, or several with commas; may be repeated. Default: both.",
    ),
]
Improvements = Annotated[
    str | None,
    typer.Option(
        "--improvements", metavar="PERCENT,...", help="Try each rule with each of these minimum improvements."
    ),
]
ByComparison = Annotated[
    bool | None,
    typer.Option(
        "--by-comparison/--by-experiment",
        help="Each treatment against control as an experiment of its own; default with --file.",
    ),
]
Returns = Annotated[
    bool,
    typer.Option("--returns", help="Estimate what each rule would have brought, on folds that it did not decide on."),
]
Folds = Annotated[int, typer.Option("--folds", metavar="N", help="Folds of --returns, 2 to 50.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the random split of --returns.", min=0)]
List = Annotated[bool, typer.Option("--list", help="Also list the experiments that a rule would have promoted.")]
OUTCOME_STYLES = {"kept": "green", "faded": "yellow", "reversed": "red"}


def register(app: typer.Typer) -> None:
    """Add `backtest`."""
    summary = "Hold rules against past experiments: what each would have promoted, when, and whether it lasted."
    app.command(
        "backtest",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline backtest",
            "promotion-pipeline backtest --rule contract --rule unattended,min_confidence_level=99 --list",
            "promotion-pipeline backtest --improvements 0,0.5,1,2 --file asos_digital_experiments.parquet",
            "promotion-pipeline backtest --returns --rule contract --rule unattended",
            more="Changes nothing. Reads the rollups that the database has stored, not `ai_requests`: hours that were"
            " never rolled up are not there. A rule promotes at the first look that allows it; the rest of the"
            " experiment's data then says whether the winner was kept, faded below zero, or reversed significantly. An"
            " experiment that was stopped at its promotion has no such rest. Threshold options hold for every rule that"
            " does not set them itself.",
        ),
    )(takes_thresholds(backtest))


def backtest(
    names: Names = None,
    file: File = None,
    rule: RuleTexts = None,
    improvements: Improvements = None,
    by_comparison: ByComparison = None,
    list_experiments: List = False,
    returns: Returns = False,
    folds: Folds = 10,
    seed: Seed = 0,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Replay, and print one line a rule."""
    from promotion_pipeline.backtest import replay, rule_returns, summarise
    from promotion_pipeline.backtest.comparisons import as_comparisons, metrics_as_comparisons
    from promotion_pipeline.config import Settings

    rules = _rules(rule or ["contract", "unattended"], improvements, config)
    rollups, experiments, metrics = _frames(names, file)
    if rollups.empty:
        raise NotFoundError(
            "there are no rollups to hold a rule against: let the hourly job run, `promotion-pipeline import` some,"
            " or give --file"
        )
    compares = file is not None if by_comparison is None else by_comparison
    if compares:
        metrics = None if metrics is None else metrics_as_comparisons(metrics, experiments)
        rollups, experiments = as_comparisons(rollups, experiments)
    thresholds = Settings.from_environment().thresholds
    with output.progress(f"Holding {len(rules)} rules against {experiments['experiment_id'].nunique():,} experiments"):
        acts = replay(rollups, experiments, rules, config=thresholds, metrics=metrics)
        brought = []
        if returns:
            brought = rule_returns(rollups, experiments, rules, folds=folds, seed=seed, config=thresholds)
    records = summarise(acts)
    if as_json:
        data = {"rules": [record.to_json() for record in records], "promotions": _promotions(acts)}
        output.print_json(data | ({"returns": [one.to_json() for one in brought]} if returns else {}))
        return
    _print_records(records, "comparisons" if compares else "experiments")
    if list_experiments:
        _print_promotions(acts, [one.name for one in rules])
    if brought:
        _print_returns(brought)


def _rules(texts: list[str], improvements: str | None, config: Any) -> list[ReplayRule]:
    from promotion_pipeline.backtest import parse_rule

    rules = [parse_rule(text).on_top_of(config) for text in texts]
    if improvements is None:
        return rules
    percents = numbers(improvements, "--improvements")
    return [
        rule.with_values({"min_improvement_percent": percent}, f"{rule.name}, at least +{setting_text(percent)}")
        for percent in percents
        for rule in rules
    ]


def _frames(names: list[str] | None, file: Path | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Rollups, experiments, and the sums of the metrics that some of them state."""
    from promotion_pipeline.backtest import sources

    if file is None:
        from promotion_pipeline.store.database import current_store

        store = current_store()
        return *sources.from_store(store, names or None), sources.metrics_from_store(store, names or None)
    rollups, experiments = sources.from_asos_file(file)
    missing = sorted(set(names or ()) - set(experiments["name"]))
    if missing:
        raise NotFoundError(f"{file} has no experiment called {', '.join(missing)}")
    wanted = experiments[experiments["name"].isin(names)] if names else experiments
    metrics = sources.metrics_from_asos_file(file)
    known = (frame[frame["experiment_id"].isin(wanted["experiment_id"])] for frame in (rollups, metrics))
    rollups, metrics = known
    return rollups, wanted, metrics


def _print_records(records: list[RuleRecord], unit: str) -> None:
    columns = [
        "rule",
        "promoted",
        "median hour",
        "kept",
        "later faded",
        "later reversed",
        "with SRM",
        "left to a person",
    ]
    rows = [
        [
            record.rule,
            record.promoted,
            output.number(record.median_hours),
            record.kept,
            record.faded,
            record.reversed,
            record.promoted_with_srm,
            record.withheld,
        ]
        for record in records
    ]
    output.print_table(columns, rows)
    # Rules with different attribution windows end at different looks, so the mismatches that they see may differ.
    for srm in sorted({record.srm for record in records}):
        output.print_line(f"{srm} of {records[0].experiments} {unit} end with a sample ratio mismatch (p < 0.001)")
    output.note(
        "With SRM: promoted, and a mismatch at the last look. Left to a person: the checks passed at some look,"
        " the rule's evidence at none."
    )


def _print_returns(brought: list[RuleReturn]) -> None:
    rows = [
        [
            one.rule,
            one.promoted,
            output.rate(one.promised, 1, signed=True),
            output.rate(one.plug_in, 1, signed=True),
            output.rate(one.cross_validated, 1, signed=True),
            output.rate(one.cross_validated_error, 1),
        ]
        for one in brought
    ]
    output.print_table(["rule", "promoted", "promised", "plug-in", "cross-validated", "error"], rows)
    output.note(
        f"Sums of relative lifts over {brought[0].experiments} experiments. Promised: at the promotions. Plug-in: at"
        " the end, by the same data. Cross-validated: by requests that the rule did not see, of"
        f" {brought[0].folds} random folds; error: its standard error (arXiv 2502.08763)."
    )


def _promotions(acts: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "rule": row["rule"],
            "experimentName": row["name"],
            "variant": row["variant_name"],
            "promotedAt": row["promoted_at"].isoformat(),
            "hours": row["hours"],
            "lift": row["lift"],
            "finalLift": row["final_lift"],
            "finalZ": row["final_z"],
            "outcome": row["outcome"],
        }
        for row in acts[acts["is_promoted"]].to_dict("records")
    ]


def _print_promotions(acts: pd.DataFrame, rules: list[str]) -> None:
    cells = {(row["experimentName"], row["rule"]): row for row in _promotions(acts)}
    rows = [[name, *(_cell(cells.get((name, rule))) for rule in rules)] for name in sorted({name for name, _ in cells})]
    if rows:
        output.print_table(["experiment", *rules], rows)


def _cell(row: dict[str, Any] | None) -> Any:
    if row is None:
        return "-"
    text = (
        f"{row['variant']} at {row['hours']:,.0f} h, {rate_text(row['lift'], 1, signed=True)}; {row['outcome']},"
        f" {rate_text(row['finalLift'], 1, signed=True)} at the end"
    )
    return output.styled(text, OUTCOME_STYLES[row["outcome"]])
