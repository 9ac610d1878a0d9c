"""`approvals`: what waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.options import Json
from promotion_pipeline.cli.output import shell_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promotion_pipeline.api.tokens import Token
    from promotion_pipeline.promotion.record.models import Approval

COLUMNS = ["experiment", "candidate", "lift", "confidence", "requests", "asked because", "since", "expires"]
NUMBERS = ("confidence", "improvement", "sampleSize")


def register(app: typer.Typer) -> None:
    """Add `approvals`."""
    summary = "List the promotions that wait for a person, and who may answer."
    app.command(
        "approvals",
        short_help=summary,
        help=examples(summary, "promotion-pipeline approvals", "promotion-pipeline approvals --json"),
    )(approvals)


def approvals(as_json: Json = False) -> None:
    """List the open requests, the oldest first."""
    from promotion_pipeline.api.tokens import Role, live_tokens
    from promotion_pipeline.promotion.act.approvals import open_approvals
    from promotion_pipeline.store.database import current_store

    waiting = sorted(open_approvals(), key=lambda approval: approval.requested_at)
    may_answer = live_tokens(current_store(), Role.OPERATOR)
    if as_json:
        output.print_json([_as_json(approval, may_answer) for approval in waiting])
    elif not waiting:
        output.note("Nothing waits for approval.")
    else:
        output.print_table(COLUMNS, [_row(approval) for approval in waiting])
        _say_how(waiting, may_answer)


def _as_json(approval: Approval, may_answer: Sequence[Token]) -> dict[str, Any]:
    """The request as the HTTP API shows it, its three numbers, and the tokens that may answer."""
    numbers = {name: approval.decision[name] for name in NUMBERS}
    return {**approval.to_json(), **numbers, "mayAnswer": [token.name for token in may_answer]}


def _row(approval: Approval) -> list[object]:
    decision = approval.decision
    return [
        approval.experiment_name,
        approval.candidate_variant_name,
        output.percent(decision["improvement"], signed=True),
        output.confidence(decision["confidence"]),
        output.number(decision["sampleSize"]),
        ", ".join(reason.replace("_", " ") for reason in decision["evidence"]["withheld"]) or "-",
        output.when(approval.requested_at),
        output.when(approval.expires_at) if approval.answered_by is None else f"approved by {approval.answered_by}",
    ]


def _say_how(waiting: Sequence[Approval], may_answer: Sequence[Token]) -> None:
    names = (
        ", ".join(f"{token.name} ({token.role})" for token in may_answer) or "nobody yet: see `tokens create --help`"
    )
    name, program = shell_name(waiting[0].experiment_name), output.program()
    output.note(f"To answer: {program} approve {name}, or {program} decline {name} --reason TEXT")
    output.note(f"Over HTTP and on the evidence page may answer: {names}")
