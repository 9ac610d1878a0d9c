"""The application `promotion-pipeline`: every command by its name, and what an error looks like."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from typing import Annotated

import typer

from promotion_pipeline.cli import (
    acts,
    approvals,
    check,
    data,
    database,
    demo,
    dev,
    diff,
    evaluate,
    history,
    ledger,
    live,
    serve,
    sweep,
    tokens,
    traffic,
)
from promotion_pipeline.cli.help import examples
from promotion_pipeline.errors import AdoptionError, DependencyError, PromotionError

app = typer.Typer(
    name="promotion-pipeline",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=examples(
        "Decides A/B experiments every hour and promotes the winner, with evidence, history and rollback.",
        "promotion-pipeline demo",
        "promotion-pipeline dev",
        "promotion-pipeline check demo-checkout-button",
        "promotion-pipeline rollback demo-checkout-button --reason 'errors in production'",
    ),
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 not eligible, 4 conflict, 5 a dependency is down.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("promotion-pipeline"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


for module in (
    demo,
    dev,
    check,
    acts,
    live,
    traffic,
    approvals,
    history,
    ledger,
    sweep,
    evaluate,
    diff,
    data,
    serve,
    tokens,
    database,
):
    module.register(app)

for later in ("plan", "simulate", "backtest", "doctor", "notifications"):
    if importlib.util.find_spec(f"promotion_pipeline.cli.{later}") is not None:
        importlib.import_module(f"promotion_pipeline.cli.{later}").register(app)


def main() -> None:
    """Run the command line; ends the process with the exit code of DESIGN section 9."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is shown escaped; it must not end the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="promotion-pipeline")
    except PromotionError as error:
        fail(error)
    except Exception as error:
        if type(error).__name__ == "ReadOnlySqlTransaction":
            from promotion_pipeline.store.session_settings import READ_ONLY

            fail(DependencyError(READ_ONLY))
        if not _is_database_fault(error):
            raise
        # Only the driver's error: SQLAlchemy's adds the statement and its parameters.
        fail(DependencyError(f"the database went away: {getattr(error, 'orig', None) or error}"))


def fail(error: PromotionError) -> None:
    """One line on stderr (what keeps tables from being adopted: a line each) and the error's exit code."""
    sys.stdout.flush()
    lines = str(error).splitlines() if isinstance(error, AdoptionError) else [str(error)]
    for number, line in enumerate(lines):
        sys.stderr.write(f"{'  ' if number else 'error: '}{' '.join(line.split())}\n")
    sys.exit(error.exit_code)


def _is_database_fault(error: BaseException) -> bool:
    """Whether a driver lost its server: told by name, since not every command loads every driver.

    A connection that breaks during a query is a bare DatabaseError in psycopg2.
    """
    kind = type(error)
    is_driver = kind.__module__.startswith(("psycopg", "psycopg2", "sqlalchemy", "adbc_driver_manager"))
    bases = {base.__name__ for base in kind.__mro__}
    return is_driver and (kind.__name__ == "DatabaseError" or bool(bases & {"OperationalError", "InterfaceError"}))
