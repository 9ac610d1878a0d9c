"""Options that mean the same in every command, and what turns their text into values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from promotion_pipeline.errors import InputError

if TYPE_CHECKING:
    from promotion_pipeline.config import PromotionConfig

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


def takes_thresholds(command: Command) -> Command:
    """Give a command `--set`; what it was given arrives as its `config` (None: nothing). Register it with `cls=` of
    `command_class`, which adds an option for each of the usual thresholds."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        texts = dict(_pair(text) for text in values.pop("thresholds") or ())
        command(**values, config=_parsed(texts) if texts else None)

    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
        if name != "config"
    ]
    added = [*own, _SET]
    with_options.__signature__ = inspect.Signature(added)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in added}
    return with_options


_SET = inspect.Parameter(
    "thresholds",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any threshold, for example --set ramp_steps=75,100."),
    ],
)


class ThresholdCommand(TyperCommand):
    """A command with an option for each of the usual thresholds: `--max-error-rate 0.1` is `--set max_error_rate=0.1`.

    They are made when the command is run or helped: no other command waits for the thresholds to be imported.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Those of the function, the thresholds, and `--help`."""
        *own, last = super().get_params(ctx)
        return [*own, *self._threshold_options, last]

    def invoke(self, ctx: Any) -> Any:
        """Run the function, whose `--set` gets what the options were given; it comes after them, so it wins."""
        given = [
            f"{option.name}={value}"
            for option in self._threshold_options
            if (value := ctx.params.pop(option.name)) is not None
        ]
        ctx.params["thresholds"] = [*given, *(ctx.params["thresholds"] or ())]
        return super().invoke(ctx)

    @functools.cached_property
    def _threshold_options(self) -> list[Any]:
        from promotion_pipeline.config import DOOR_THRESHOLDS

        def carrier(**values: Any) -> None:
            raise AssertionError(f"{values}: only its options are used")

        carrier.__signature__ = inspect.Signature(list(map(_option, DOOR_THRESHOLDS)))  # type: ignore[attr-defined]
        application = typer.Typer(add_completion=False)
        application.command()(carrier)
        return typer.main.get_command(application).params


def command_class(command: Command) -> type[TyperCommand] | None:
    """What to register a command as; None: like any other."""
    return ThresholdCommand if "thresholds" in inspect.signature(command).parameters else None


def _option(field: str) -> inspect.Parameter:
    """A threshold as an option: `min_sample_size` is `--min-sample-size`."""
    from promotion_pipeline.config import CONTRACT_THRESHOLDS, PromotionConfig, meaning_of
    from promotion_pipeline.config.aliases import aliases_of

    about = PromotionConfig.model_fields[field]
    names = [name.replace("_", "-") for name in (field, *aliases_of(field))]
    kind = about.annotation if about.annotation in (int, float, bool) else str
    metavar = "WORD"
    if field in CONTRACT_THRESHOLDS:
        metavar = "N" if kind is int else CONTRACT_THRESHOLDS[field].unit.name
    default = f"{about.default:g}" if isinstance(about.default, float) else str(about.default)
    option = typer.Option(
        *(f"--{name}/--no-{name}" if kind is bool else f"--{name}" for name in names),
        metavar=None if kind is bool else metavar,
        help=f"{meaning_of(field).rstrip('.')}; default {default.lower()}.",
        show_default=False,
    )
    return inspect.Parameter(
        field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise InputError(f"--set {text!r} is not NAME=VALUE: write for example --set ramp_steps=75,100")
    return name.strip().replace("-", "_"), value.strip()


def _parsed(texts: dict[str, str]) -> PromotionConfig:
    from promotion_pipeline.config import parse_texts

    return parse_texts(texts, source="command line")


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
