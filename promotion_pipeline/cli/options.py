"""Options that mean the same in every command, and what turns their text into values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_type_hints

import typer

from promotion_pipeline.errors import InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the `data` of the HTTP API as JSON.")]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who does it, for the history; default: your login name.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="Look from this instant, such as 2026-03-01T12:00Z; default: now."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]

Command = Callable[..., None]


@dataclass(frozen=True)
class Threshold:
    """A field of `PromotionConfig` as an option: `min_sample_size` is `--min-sample-size`."""

    field: str
    kind: type
    metavar: str | None
    help: str


THRESHOLDS = (
    Threshold("min_sample_size", int, "N", "Requests that control and winner must have; default 1000."),
    Threshold("min_confidence_level", float, "PERCENT", "Confidence of the z-test; default 95."),
    Threshold("min_improvement_percent", float, "PERCENT", "Lift over control; default 5."),
    Threshold("min_runtime_hours", float, "HOURS", "Hours that control and winner were measured; default 48."),
    Threshold("max_error_rate", float, "FRACTION", "Errors per request of the winner, 0 to 1; default 0.05."),
    Threshold("require_manual_approval", bool, None, "Whether a person must approve; default no."),
    Threshold("evidence", str, "KIND", "What an unattended promotion needs: always_valid (default) or fixed_horizon."),
)
"""The thresholds that have an option of their own; `--set` reaches the others."""


def takes_thresholds(command: Command) -> Command:
    """Give a command the threshold options; the ones on the command line arrive as its `config` (None: none)."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        others = values.pop("others") or []
        given = {option.field: values.pop(option.field) for option in THRESHOLDS}
        config = {name: value for name, value in given.items() if value is not None}
        command(**values, config=(config | dict(_pair(text) for text in others)) or None)

    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
        if name != "config"
    ]
    added = [*map(_parameter, THRESHOLDS), _OTHERS]
    with_options.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in own + added}
    return with_options


def _parameter(threshold: Threshold) -> inspect.Parameter:
    flag = "--" + threshold.field.replace("_", "-")
    name = f"{flag}/--no-{flag.removeprefix('--')}" if threshold.kind is bool else flag
    option = typer.Option(name, metavar=threshold.metavar, help=threshold.help, show_default=False)
    return inspect.Parameter(
        threshold.field,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[threshold.kind | None, option],
    )


_OTHERS = inspect.Parameter(
    "others",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other threshold, for example --set ramp_steps=75,100."),
    ],
)


def _pair(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise InputError(f"--set {text!r} is not NAME=VALUE: write for example --set ramp_steps=75,100")
    field = name.strip().replace("-", "_")
    if field in {"ramp_steps", "rampSteps", "guardrails"}:
        return field, [part.strip() for part in value.split(",") if part.strip()]
    return field, value.strip()


def parse_time(text: str | None, option: str) -> datetime | None:
    """An ISO 8601 instant with its time zone; a date alone is midnight UTC.

    Raises:
        InputError: it is no time, or has no time zone.
    """
    from promotion_pipeline.store.clock import parse_instant

    return None if text is None else parse_instant(text, option)


def actor(by: str | None) -> str:
    """Who acts: `--by`, else the login name."""
    if by is not None:
        return by
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError("nobody is logged in here: say who acts with --by WHO") from None


def confirm(question: str, *, yes: bool, is_needed: bool = False) -> None:
    """Ask on the terminal; without a terminal the command itself is the confirmation.

    Args:
        is_needed: without a terminal, only `--yes` is.

    Raises:
        Abort: the answer is no.
        InputError: nobody can be asked, and a confirmation is needed.
    """
    import sys

    if yes:
        return
    if sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)
    elif is_needed:
        raise InputError(f"nobody can be asked here ({question}): add --yes, or --dry-run to see what would happen")
