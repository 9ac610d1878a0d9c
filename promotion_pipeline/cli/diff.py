"""`diff`: what changes between two labels of decisions."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import parse_time
from promotion_pipeline.errors import InputError

if TYPE_CHECKING:
    from promotion_pipeline.decisions.comparison import ExperimentDiff, LabelDiff

LabelA = Annotated[str, typer.Argument(metavar="LABEL_A", help="Such as record.", show_default=False)]
LabelB = Annotated[str, typer.Argument(metavar="LABEL_B", help="Such as latest, or '99 %'.", show_default=False)]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="First hour; default: the first decided.")]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End of the last hour; default: the last.")]
Experiments = Annotated[
    list[str] | None, typer.Option("--experiment", metavar="NAME", help="Only this one; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a row an experiment as CSV.")]

COLUMNS = {
    "experimentName": "name",
    "hours": "hours",
    "onlyA": "only_a",
    "onlyB": "only_b",
    "differing": "differing",
    "firstHour": "first_hour",
    "lastHour": "last_hour",
    "changes": "changes",
    "eligibleA": "eligible_a",
    "eligibleB": "eligible_b",
    "promotableA": "promotable_a",
    "promotableB": "promotable_b",
    "promotedAt": "promoted_at",
    "promoted": "promoted",
    "effect": "effect",
    "hoursEarlier": "hours_earlier",
}
"""Name in JSON and CSV -> field of `ExperimentDiff`."""


def register(app: typer.Typer) -> None:
    """Add `diff`."""
    summary = "What changes between two labels: the record, a re-evaluation, a what-if."
    app.command(
        "diff",
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline diff record latest",
            "promotion-pipeline diff record '99 %' --from 2026-03-01 --to 2026-04-01",
            "promotion-pipeline diff record '99 %' --csv > changes.csv",
            more="Only hours that both labels decided are compared. `promotion-pipeline evaluate --label` stores what"
            " other thresholds would have decided.",
        ),
    )(diff)


def diff(
    label_a: LabelA,
    label_b: LabelB,
    start: From = None,
    end: Until = None,
    experiment: Experiments = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compare two labels."""
    from promotion_pipeline.decisions.comparison import compare_labels
    from promotion_pipeline.store.database import current_store

    if as_json and as_csv:
        raise InputError("--json and --csv cannot both be printed: choose one")
    first, last = parse_time(start, "--from"), parse_time(end, "--to")
    found = compare_labels(current_store(), label_a, label_b, first, last, experiment or ())
    if as_json:
        rows = [_row(one) for one in found.experiments]
        output.print_json({"labelA": label_a, "labelB": label_b, "summary": found.summary, "experiments": rows})
    elif as_csv:
        output.print_line(_csv(found).rstrip("\n"))
    else:
        _print(found)
    output.note(f"{found.summary}.")


def _row(one: ExperimentDiff) -> dict[str, Any]:
    values = {column: getattr(one, name) for column, name in COLUMNS.items()}
    return {column: value.isoformat() if hasattr(value, "isoformat") else value for column, value in values.items()}


def _csv(found: LabelDiff) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for one in found.experiments:
        ways = "; ".join(f"{way} ({hours})" for way, hours in one.changes.items())
        writer.writerow(_row(one) | {"changes": ways})
    return text.getvalue()


def _print(found: LabelDiff) -> None:
    from promotion_pipeline.decisions.comparison import DIFF_COLUMNS, diff_cells

    if found.different:
        output.print_table(DIFF_COLUMNS, [diff_cells(one) for one in found.different])
