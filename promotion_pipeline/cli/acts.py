"""`promote`, `approve`, `decline`, `rollback`, `hold`, `release`: what changes one experiment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promotion_pipeline.cli import output
from promotion_pipeline.cli.check import print_eligibility, traffic_text
from promotion_pipeline.cli.help import examples
from promotion_pipeline.cli.history import print_promotion
from promotion_pipeline.cli.live import RequiredReason, is_to_be_done, print_delivery, print_stands
from promotion_pipeline.cli.options import (
    By,
    DryRun,
    Json,
    Name,
    Reason,
    Yes,
    actor,
    command_class,
    confirm,
    takes_thresholds,
)
from promotion_pipeline.cli.output import shell_name
from promotion_pipeline.errors import InputError, NotEligibleError, UntrustedError

if TYPE_CHECKING:
    from promotion_pipeline.promotion.act.rollback import RollbackPlan
    from promotion_pipeline.promotion.record.models import Promotion, PromotionEligibility

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="WHERE",
        help="previous: the split of before. control: all traffic to control. close: it stays as it stands.",
    ),
]
Kind = Annotated[
    str,
    typer.Option("--type", metavar="KIND", help="manual: the checks. auto: also what unattended ones need."),
]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Kept with the record; JSON values allowed.")
]
DespiteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--despite",
        metavar="WHAT",
        help="sample_ratio_mismatch: promote although the traffic was not split as declared; needs --reason.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite-split", help="Even if somebody changed the split since the promotion.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command, summary, lines in (
        (
            "promote",
            takes_thresholds(promote),
            "Move all traffic to the winner, if the contract checks pass.",
            (
                "promotion-pipeline promote demo-payment-form --dry-run",
                "promotion-pipeline promote demo-payment-form --by maria --reason 'agreed in the review'",
                "promotion-pipeline promote demo-payment-form --set ramp_steps=75,100 --metadata ticket=PROJ-123",
            ),
        ),
        (
            "approve",
            takes_thresholds(approve),
            "Say yes to a promotion that waits for a person, and make it.",
            ("promotion-pipeline approve demo-payment-form --by maria",),
        ),
        (
            "decline",
            decline,
            "Say no to a promotion that waits for a person.",
            ("promotion-pipeline decline demo-payment-form --by maria --reason 'redesign comes first'",),
        ),
        (
            "rollback",
            rollback,
            "Undo the live promotion and hold automatic promotion of the experiment.",
            (
                "promotion-pipeline rollback demo-checkout-button --reason 'errors in production'",
                "promotion-pipeline rollback demo-checkout-button --reason 'outage' --to control --yes",
                "promotion-pipeline rollback demo-checkout-button --reason 'variants were made anew' --to close",
            ),
        ),
        (
            "hold",
            hold,
            "Keep an experiment from being promoted unattended, and pause its ramp.",
            ("promotion-pipeline hold demo-email-subject --reason 'the campaign is not over'",),
        ),
        (
            "release",
            release,
            "Lift a hold, so that the experiment may be promoted unattended again.",
            ("promotion-pipeline release demo-search-ranking --by maria",),
        ),
    ):
        app.command(name, cls=command_class(command), short_help=summary, help=examples(summary, *lines))(command)


def promote(
    name: Name,
    by: By = None,
    reason: Reason = None,
    kind: Kind = "manual",
    metadata: Metadata = None,
    despite: DespiteOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Promote the winner of one experiment."""
    from promotion_pipeline.promotion.act.promote import promote_winner
    from promotion_pipeline.promotion.judge.check import check_promotion_eligibility

    details = _metadata(metadata, reason)
    eligibility = check_promotion_eligibility(name, config)
    if dry_run:
        _would_promote(eligibility, as_json)
        return
    if eligibility.is_eligible:
        _require_seen(eligibility, despite)
        act = traffic_text(eligibility)
        confirm(f"{act[0].upper()}{act[1:]}?", yes=yes)
    promotion = promote_winner(name, kind, actor(by), config, metadata=details, despite=despite or ())
    _show_promoted(promotion, as_json)


def _require_seen(eligibility: PromotionEligibility, despite: list[str] | None) -> None:
    """Say it before anything is asked; the act asks again under its lock."""
    if eligibility.distrust is not None:
        output.note(f"THE NUMBERS CANNOT BE TRUSTED: {eligibility.distrust}")
        if not despite:
            raise UntrustedError(
                f"{eligibility.experiment_name!r} is not promoted on them: find out what is broken, or add"
                " --despite sample_ratio_mismatch and --reason"
            )


def _show_promoted(promotion: Promotion, as_json: bool) -> None:
    print_delivery(promotion)
    if as_json:
        from promotion_pipeline.promotion.judge.eligibility import eligibility_when_promoted

        eligibility = eligibility_when_promoted(promotion)
        output.print_json({"promotion": promotion.to_json(), "eligibility": eligibility.to_json()})
        return
    from promotion_pipeline.promotion.history.standing import in_spite_of_hold

    print_promotion(promotion)
    held = in_spite_of_hold(promotion)
    if held is not None:
        output.print_styled(f"  ! {held}", "yellow")
    output.note(f"To undo: {output.program()} rollback {shell_name(promotion.experiment_name)} --reason TEXT")


def _would_promote(eligibility: PromotionEligibility, as_json: bool) -> None:
    name = eligibility.experiment_name
    if as_json:
        output.print_json({"promotion": None, "eligibility": eligibility.to_json()})
    else:
        print_eligibility(eligibility)
    if not eligibility.is_eligible:
        raise NotEligibleError(f"{name!r} would not be promoted: {'; '.join(eligibility.reasons)}")
    output.note(f"Would {traffic_text(eligibility)}. Nothing changed.")


def _metadata(pairs: list[str] | None, reason: str | None) -> dict[str, Any]:
    details: dict[str, Any] = {} if reason is None else {"reason": reason}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise InputError(f"--metadata {pair!r} is not KEY=VALUE: write for example --metadata ticket=PROJ-123")
        try:
            details[key] = json.loads(value)
        except json.JSONDecodeError:
            details[key] = value
    return details


def approve(
    name: Name,
    by: By = None,
    reason: Reason = None,
    despite: DespiteOption = None,
    metadata: Metadata = None,
    yes: Yes = False,
    as_json: Json = False,
    config: Any = None,
) -> None:
    """Approve and promote."""
    from promotion_pipeline.promotion.act.approvals import approve_promotion

    confirm(f"Promote the waiting winner of {name!r}?", yes=yes)
    details = _metadata(metadata, None)
    promotion = approve_promotion(name, actor(by), config, reason=reason, metadata=details, despite=despite or ())
    _show_promoted(promotion, as_json)


def decline(name: Name, reason: RequiredReason, by: By = None, as_json: Json = False) -> None:
    """Decline a waiting promotion."""
    from promotion_pipeline.promotion.act.approvals import decline_promotion

    approval = decline_promotion(name, actor(by), reason)
    if as_json:
        output.print_json({"approval": approval.to_json()})
    else:
        output.print_line(f"{name}: {approval.candidate_variant_name} declined by {approval.answered_by}")


def rollback(
    name: Name,
    reason: RequiredReason,
    by: By = None,
    to: To = "previous",
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Roll back the live promotion of one experiment."""
    from promotion_pipeline.promotion.act.rollback import plan_rollback, rollback_promotion

    # Planning raises what the act would raise, so that nobody is asked to confirm what cannot be done.
    plan = plan_rollback(name, to=to, confirm_drift=overwrite)
    said = _rollback_text(plan)
    overwrites = plan.drift and plan.to != "close"  # A close leaves the traffic as it stands.
    more = ", and hold automatic promotion." + (f" It would overwrite this: {plan.drift}." if overwrites else "")
    if is_to_be_done(plan, said, more, dry_run=dry_run, as_json=as_json, yes=yes, must_ask=True):
        promotion = rollback_promotion(name, reason, actor(by), to=to, confirm_drift=overwrite)
        print_delivery(promotion)
        print_rollback(promotion, as_json=as_json)


def _rollback_text(plan: RollbackPlan) -> str:
    from promotion_pipeline.text.numbers import split_text

    name = plan.promotion.experiment_name
    if plan.to == "close":
        runs = "which runs" if plan.is_active else "which does not run"
        return f"end the promotion of {name!r}, {runs}, and leave its traffic at {split_text(plan.before)}"
    said = f"set the traffic of {name!r} from {split_text(plan.before)} to {split_text(plan.split)}"
    return f"{said} ({NOT_RECORDED})" if _is_unrecorded(plan.promotion, plan.to) else said


NOT_RECORDED = "the split from before was not recorded"


def _is_unrecorded(promotion: Promotion, to: str | None) -> bool:
    """Whether a rollback to the split from before gives all to control, because nobody recorded that split."""
    return to == "previous" and bool(promotion.snapshot.get("adopted"))


def print_rollback(promotion: Promotion, *, as_json: bool = False) -> None:
    """What a rollback did, and what to type next."""
    is_close = promotion.rollback_to == "close"
    did = f"{'closed' if is_close else 'rolled back'} by {promotion.reverser} ({promotion.rollback_reason})"
    print_stands(promotion, f"{promotion.promoted_variant_name} {did}", "bold yellow", as_json=as_json)
    if as_json:
        return
    if _is_unrecorded(promotion, promotion.rollback_to):
        output.print_styled(f"  {NOT_RECORDED}")
    said = "the promotion is over" if is_close else "the experiment runs again"
    output.print_styled(f"  {said}, on hold for automatic promotion")
    output.note(f"To lift the hold: {output.program()} release {shell_name(promotion.experiment_name)}")


def hold(name: Name, reason: RequiredReason, by: By = None, as_json: Json = False) -> None:
    """Hold one experiment."""
    from promotion_pipeline.promotion.act.holds import hold_promotion

    held = hold_promotion(name, reason, actor(by))
    if as_json:
        output.print_json(held.to_json())
    else:
        output.print_line(f"{name}: {held.hold}; `{output.program()} release {shell_name(name)}` lifts it")


def release(name: Name, by: By = None, reason: Reason = None, as_json: Json = False) -> None:
    """Lift the hold of one experiment."""
    from promotion_pipeline.promotion.act.holds import release_hold

    released = release_hold(name, actor(by), reason=reason)
    if as_json:
        output.print_json(released.to_json())
    else:
        output.print_line(f"{name}: the hold is lifted; the next hour may promote it")
