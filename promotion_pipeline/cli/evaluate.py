"""`evaluate`: decisions about past hours, under other thresholds if asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.check import verdict_cell
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, ThresholdCommand, parse_time, takes_thresholds
from promotion_pipeline.errors import InputError
from promotion_pipeline.text.numbers import seconds_text

if TYPE_CHECKING:
    from datetime import datetime

    from promotion_pipeline.decisions.late import LateVerdict
    from promotion_pipeline.decisions.window import WindowResult
    from promotion_pipeline.store.database import Store

From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="First hour, such as 2026-03-01T00:00Z.", show_default=False)
]
Until = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="TIME", help="End of the last hour; default: the newest complete one.", show_default=False
    ),
]
Experiments = Annotated[
    list[str] | None, typer.Option("--experiment", metavar="NAME", help="Only this one; may be repeated.")
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="TEXT", help="Store the decisions under this name; default: latest.")
]

RollUp = Annotated[
    bool,
    typer.Option(
        "--roll-up",
        help="Read the requests of these hours again first, so that late rows count; of the named experiments alone.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `evaluate`."""
    summary = "Decide about past hours again, under other thresholds if you like; promotes nothing."
    app.command(
        "evaluate",
        cls=ThresholdCommand,
        short_help=summary,
        help=examples(
            summary,
            "promotion-pipeline evaluate --from 2026-03-01 --to 2026-04-01",
            "promotion-pipeline evaluate --from 2026-03-01 --min-confidence-level 99 --label '99 %'",
            "promotion-pipeline evaluate --from 2026-03-01 --set guardrails=error_rate,latency --label guarded",
            "promotion-pipeline evaluate --from 2026-03-01 --to 2026-03-08 --roll-up",
            "promotion-pipeline evaluate --from 2026-03-01 --experiment demo-checkout-button --json",
            more="The first decision about an hour is the one of record and stays; any later one is stored beside it"
            " under the label: `promotion-pipeline diff record LABEL` lists what changes. An evaluation that was cut"
            " off goes on where it was when it is started again.",
        ),
    )(takes_thresholds(evaluate))


def evaluate(
    start: From,
    end: Until = None,
    experiment: Experiments = None,
    label: Label = None,
    roll_up: RollUp = False,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Evaluate a range of hours."""
    from promotion_pipeline.decisions.redecide import redecide_late
    from promotion_pipeline.decisions.window import evaluate_window
    from promotion_pipeline.store.clock import newest_complete_hour
    from promotion_pipeline.store.database import current_store

    first, last = parse_time(start, "--from"), parse_time(end, "--to")
    store = current_store()
    with store.connect() as connection:
        newest = newest_complete_hour(connection)
    last = last or newest
    if last > newest:
        raise InputError(f"--to {end!r} is in the future: the newest complete hour ends {output.when(newest)}")
    assert first is not None
    started = time.perf_counter()
    only = tuple(experiment or ()) if roll_up else ()
    with output.progress("Evaluate") as advance:
        _bring_up_to_date(store, first, last, roll_up=roll_up, only=only)
        result = evaluate_window(
            store,
            first,
            last,
            experiments=experiment or (),
            config=config,
            label=label,
            progress=lambda done, total: advance(done / max(total, 1)),
            tell=output.note,
        )
        late = (*result.late, *redecide_late(store, only, tell=output.note))
    seconds = time.perf_counter() - started
    if as_json:
        output.print_json(_as_json(result, seconds) | {"lateVerdicts": [_late_json(verdict) for verdict in late]})
    else:
        _print(result, seconds)
    for verdict in late:
        output.note(f"{verdict.experiment_name}: {verdict.summary}")


def _bring_up_to_date(store: Store, start: datetime, end: datetime, *, roll_up: bool, only: tuple[str, ...]) -> None:
    """Sum up what no hour has yet, and the hours that are asked for again: of these experiments alone, where named."""
    from promotion_pipeline.decisions.beginning import steps
    from promotion_pipeline.promotion.record.experiments import experiments_named
    from promotion_pipeline.rollups import catch_up
    from promotion_pipeline.rollups.catching_up import roll_up as roll_up_hours
    from promotion_pipeline.rollups.catching_up import roll_up_missing

    if not only:
        catch_up(store, end)
        for step in steps(start, end) if roll_up else ():
            roll_up_hours(store, *step)
        return
    with store.connect() as connection:
        ids = [str(found.id) for found in experiments_named(connection, only)]
    roll_up_missing(store, end)
    for step in steps(start, end):
        roll_up_hours(store, *step, ids)


def _as_json(result: WindowResult, seconds: float) -> dict[str, Any]:
    return {
        "hours": len(result.hours),
        "recorded": result.recorded,
        "relabelled": result.relabelled,
        "seconds": {name: round(value, 3) for name, value in (result.seconds | {"total": seconds}).items()},
        "newest": [
            {
                "experimentName": row["name"],
                "verdict": str(row["verdict"]),
                "isEligible": bool(row["is_eligible"]),
                "isPromotable": bool(row["is_promotable"]),
            }
            for row in result.newest.to_dict("records")
        ],
    }


def _late_json(late: LateVerdict) -> dict[str, Any]:
    return {
        "experimentName": late.experiment_name,
        "level": late.level,
        "flips": [
            {"hour": flip.hour.isoformat(), "recorded": flip.recorded, "now": flip.outcome} for flip in late.flips
        ],
        "promotions": [
            {"id": str(stood.id), "winner": stood.winner, "isLive": stood.is_live, "holds": stood.is_still_eligible}
            for stood in late.promotions
        ],
    }


def _print(result: WindowResult, seconds: float) -> None:
    from promotion_pipeline.evaluation import explain

    rows = [
        [row["name"], verdict_cell(row["verdict"]), "; ".join(explain(row).reasons)]
        for row in ({str(k): v for k, v in record.items()} for record in result.newest.to_dict("records"))
    ]
    if rows:
        output.print_table(["experiment", "verdict", "why"], rows, title="At the newest hour of the range:")
    output.note(
        f"{len(result.hours):,} hours: {result.recorded:,} decisions of record, {result.relabelled:,} beside it,"
        f" in {seconds_text(seconds)}. Nothing was promoted."
    )
