"""`import`: sums that somebody else aggregated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json, parse_time
from promotion_pipeline.cli.output import shell_name
from promotion_pipeline.errors import InputError

if TYPE_CHECKING:
    from promotion_pipeline.rollups.imports.sums import ImportResult

File = Annotated[Path, typer.Argument(metavar="FILE", help="A .parquet, .csv or .csv.gz file.", show_default=False)]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="NAME=COLUMN", help="Our name of a value and the file's column; may be repeated."),
]
Cumulative = Annotated[bool, typer.Option("--cumulative", help="The sums are totals so far, not of the hour.")]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="When every experiment starts; default: the newest look is recent."),
]
SHOWN = 5

imports = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add `import` with its commands."""
    summary = "Import sums per variant and hour from a warehouse, or the ASOS data set."
    lines = (
        "promotion-pipeline import rollups sums.parquet",
        "promotion-pipeline import rollups sums.csv --map requests=impressions --map conversions=orders",
        "promotion-pipeline import asos asos_digital_experiments.parquet",
    )
    app.add_typer(imports, name="import", short_help=summary, help=examples(summary, *lines))


ROLLUPS = "Import sums per variant and hour; importing again replaces the hours that the file has."
NAMES = """\b
Values (the file's column has the same name unless --map says otherwise):
  needed    experiment, variant, hour (with its time zone), requests, conversions
  optional  errors, is_control (default: the variant called control), traffic_percentage,
            latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares,
            and, all or none: new_users, user_requests, user_conversions, user_conversions_sum_squares,
            user_requests_sum_squares, user_conversions_requests_sum_products"""


@imports.command(
    "rollups",
    short_help=ROLLUPS,
    help=examples(
        ROLLUPS,
        "promotion-pipeline import rollups sums.parquet",
        "promotion-pipeline import rollups sums.csv --map requests=impressions --map conversions=orders",
        "promotion-pipeline import rollups totals.csv --cumulative",
        more=NAMES,
    ),
)
def rollups(file: File, mapping: Map = None, cumulative: Cumulative = False, as_json: Json = False) -> None:
    """Import a warehouse's sums."""
    from promotion_pipeline.rollups.imports.sums import import_rollups
    from promotion_pipeline.store.database import current_store

    names = dict(_pair(text) for text in mapping or [])
    with output.progress(f"Import {file.name}"):
        result = import_rollups(current_store(), file, names, cumulative=cumulative)
    _print(result, as_json)


ASOS = "Import the ASOS Digital Experiments Dataset (arXiv 2111.10198, CC BY 4.0)."


@imports.command(
    "asos",
    short_help=ASOS,
    help=examples(
        ASOS,
        "promotion-pipeline import asos asos_digital_experiments.parquet",
        "promotion-pipeline import asos asos_digital_experiments.parquet --start 2026-01-01",
        more="Each experiment is called asos-<id>, its variants control and variant-<n>.",
    ),
)
def asos(file: File, start: Start = None, as_json: Json = False) -> None:
    """Import the ASOS file."""
    from promotion_pipeline.rollups.imports.sums import import_asos
    from promotion_pipeline.store.database import current_store

    at = parse_time(start, "--start")
    with output.progress(f"Import {file.name}"):
        result = import_asos(current_store(), file, at)
    _print(result, as_json)


def _pair(text: str) -> tuple[str, str]:
    name, separator, column = text.partition("=")
    if not separator or not name or not column:
        raise InputError(f"--map {text!r} is not NAME=COLUMN: write for example --map requests=impressions")
    return name.strip(), column


def _print(result: ImportResult, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "experiments": list(result.experiments),
                "variants": result.variants,
                "rows": result.rows,
                "negativeIncrements": result.negative_increments,
                "firstHour": result.first_hour.isoformat(),
                "lastHour": result.last_hour.isoformat(),
                "warnings": list(result.warnings),
            }
        )
        return
    output.print_line(
        f"{len(result.experiments):,} experiments, {result.variants:,} variants, {result.rows:,} rows from"
        f" {output.when(result.first_hour)} to {output.when(result.last_hour)}"
    )
    for warning in result.warnings:
        output.note(f"warning: {warning}")
    for name in result.experiments[:SHOWN]:
        output.note(f"Next: {output.program()} check {shell_name(name)}")
    if len(result.experiments) > SHOWN:
        output.note(f"      {output.program()} check    shows all of them")
