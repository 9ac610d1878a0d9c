"""`traffic export`: the flags as a file for flagd."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json

FlagsFile = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write.", show_default=False)]
EXPORT = "Write every flag as a definition that flagd reads."


def add_to(traffic: typer.Typer) -> None:
    """Add `export` to the commands of `traffic`."""
    traffic.command(
        "export",
        short_help=EXPORT,
        help=examples(
            EXPORT,
            "promotion-pipeline traffic export /etc/flagd/flags.json",
            more="The flags are those of experiments whose traffic_target is of the kind ofrep or flagd. The file is"
            " replaced at once, and left alone where nothing has changed: run this as often as you like, or let flagd"
            " ask `serve` itself, at /flagd/flags.json.",
        ),
    )(export)


def export(file: FlagsFile, as_json: Json = False) -> None:
    """Write the flagd definition to a file."""
    from promotion_pipeline.store.database import current_store
    from promotion_pipeline.traffic.export import export_flags
    from promotion_pipeline.traffic.serving import read_flags

    with current_store().connect() as connection:
        served = read_flags(connection)
    is_written = export_flags(served, file)
    if as_json:
        output.print_json(
            {
                "file": str(file),
                "written": is_written,
                "version": served.version,
                "flags": sorted(served.flags.experiments),
                "refused": dict(served.flags.refused),
            }
        )
        return
    count = len(served.flags.experiments)
    said = "written to" if is_written else "unchanged in"
    output.print_line(f"{count} {'flag' if count == 1 else 'flags'} {said} {file}")
    for flag, why in sorted(served.flags.refused.items()):
        output.note(f"left out: flag {flag}: {why}")
