"""What is said of each event of the lifecycle: what happened, the numbers that matter, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from promotion_pipeline.notifications.message import Fact, Message
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.promotion.act.payload import (
    ApprovalDeclinedPayload,
    ApprovalRequestedPayload,
    BreachAcknowledgedPayload,
    BreachCheck,
    HoldReleasedPayload,
    PromotionPayload,
    RampBlockedPayload,
    RampStepPayload,
    RollbackPayload,
    SplitDriftPayload,
    SplitOverwrittenPayload,
    WarningsSettledPayload,
    WatchBlindPayload,
    WatchBreachPayload,
)
from promotion_pipeline.text.numbers import (
    confidence_text,
    count_text,
    duration_text,
    lift_text,
    measure_text,
    milliseconds_text,
    rate_text,
    share_text,
)


def promotion(n: Notification, payload: PromotionPayload) -> Message:
    """A winner was promoted, perhaps with warnings."""
    winner, warnings = payload.winner, payload.warnings
    share = payload.traffic_percent
    is_ramping = payload.state == "ramping" and share is not None
    got = f"{share_text(share)} of the traffic" if is_ramping else "all traffic"
    follows = "The next step of the ramp follows while the watch stays clean." if is_ramping else ""
    kind = {"auto": "an automatic", "manual": "a manual"}.get(payload.promotion_type, "")
    return n.message(
        f"{n.name}: {winner} promoted" + (" with warnings" if warnings else ""),
        *(f"The numbers cannot be trusted: {said}." for said in payload.distrust),
        f"{winner} won over {payload.control} and now gets {got}.",
        f"It was {kind} promotion by {payload.promoted_by}." if kind else "",
        _held_back(payload) or follows,
        *(f"Warning: {warning}" for warning in warnings),
        facts=_three_numbers(n, payload),
        next_step=f"Nothing, if you expected it. To undo it: {_rollback_command(n)}",
    )


def approval_requested(n: Notification, payload: ApprovalRequestedPayload) -> Message:
    """Eligible, and a person is asked."""
    if payload.distrust:
        return _untrusted(n, payload)
    return n.message(
        f"{n.name}: {payload.candidate} waits for approval",
        f"{payload.candidate} passes every check, and a person has to decide.",
        *(f"Not promoted unattended: {sentence}." for sentence in payload.withheld),
        *(f"Warning: {warning}" for warning in payload.warnings),
        facts=_three_numbers(n, payload),
        next_step=f"Look at the evidence and approve it there, or: {_command('approve', n)}",
    )


def _untrusted(n: Notification, payload: ApprovalRequestedPayload) -> Message:
    """A person is asked about numbers that cannot be trusted: that comes first."""
    return n.message(
        f"{n.name}: the numbers cannot be trusted ({payload.candidate} waits for an answer)",
        f"The numbers cannot be trusted: {payload.distrust[0]}.",
        f"On them {payload.candidate} passes the checks; assignment or logging is broken, so find out what first.",
        *(f"Warning: {warning}" for warning in payload.warnings),
        facts=_three_numbers(n, payload),
        next_step=f"Find out what is broken, and decline meanwhile: {_command('decline', n)} --reason '...'. To promote"
        f" all the same: {_command('approve', n)} --despite sample_ratio_mismatch --reason '...'",
    )


def approval_declined(n: Notification, payload: ApprovalDeclinedPayload) -> Message:
    """A person said no."""
    return n.message(
        f"{n.name}: {payload.candidate} declined",
        f"{payload.declined_by} declined the promotion of {payload.candidate}: {payload.reason}",
        "Automatic promotion of the experiment is on hold.",
        next_step=f"When it may be promoted again: {_command('release', n)}",
    )


def rollback(n: Notification, payload: RollbackPayload) -> Message:
    """A promotion was rolled back: why, and what the traffic is now."""
    split = ", ".join(f"{variant} {share_text(share)}" for variant, share in n.split(payload.split))
    target = _TARGETS.get(payload.to, _TARGETS["previous"])
    is_close = payload.to == "close"
    live = duration_text(n.promotion.get("promoted_at"), n.promotion.get("rollback_at") or n.at)
    return n.message(
        f"{n.name}: promotion of {payload.winner} closed" if is_close else f"{n.name}: {payload.winner} rolled back",
        f"{payload.rolled_back_by} {'closed' if is_close else 'rolled back'} the promotion of"
        f" {payload.winner}: {payload.reason}",
        f"{target}: {split}." if split else f"{target}.",
        f"{'Kept' if is_close else 'Overwritten'}: {payload.drift}." if payload.drift else "",
        f"The experiment {'runs' if is_close else 'runs again'}, and its automatic promotion is on hold."
        if payload.is_active
        else "The experiment does not run, and its automatic promotion is on hold.",
        facts=(
            Fact("Was live for", live) if live else None,
            fact("Lift it was promoted for", n.improvement, lift_text),
            fact("Confidence then", n.confidence, confidence_text),
        ),
        next_step=f"Find out why. When it may be promoted again: {_command('release', n)}",
    )


def watch_breach(n: Notification, payload: WatchBreachPayload) -> Message:
    """The winner got worse after its promotion: everything that is worse, whether it ends by itself, how to end it."""
    winner = payload.winner
    metrics = payload.metrics or payload.metric
    named = ", ".join(metric.replace("_", " ") for metric in metrics) or "a metric"
    command = payload.command or f"{_command('rollback', n)} --to control --reason '...'"
    ends = f"To end the harm at once: {command}"
    if payload.to == "close":
        ends = f"Control exists no more: change the traffic yourself, then {command}"
    rollback = payload.rollback
    return n.message(
        f"{n.name}: {winner} got worse after its promotion ({named})",
        *(payload.message or (f"The watch found {winner} worse than it was when it was promoted.",)),
        f"{rollback[0].upper()}{rollback[1:]}." if rollback else "",
        facts=tuple(_breach_facts(n, payload)),
        next_step="Nothing, all traffic goes back to control; find out why."
        if payload.is_automatic
        else f"{ends}  (or, if it shall stay: {_command('acknowledge', n)} --reason '...')",
    )


def _breach_facts(n: Notification, payload: WatchBreachPayload) -> Iterator[Fact]:
    """Now, then and control, of each metric once: of its shortest window that found it."""
    # A row that was written before alarms had several metrics is one check itself.
    checks = [BreachCheck.read(row) for row in (payload.checks or (n.payload,))]
    for check in {check.metric: check for check in checks if check.observed is not None}.values():
        write, label = _MEASURES.get(check.metric, measure_text), check.metric.replace("_", " ")
        seen = (("now", check.observed), ("when promoted", check.baseline), ("of control", check.control))
        for when, value in seen:
            if value is not None:
                yield Fact(f"{label[0].upper()}{label[1:]} {when}", write(value))


def breach_acknowledged(n: Notification, payload: BreachAcknowledgedPayload) -> Message:
    """A person keeps the promotion in spite of a breach."""
    return n.message(
        f"{n.name}: {payload.winner} is kept",
        f"{payload.acknowledged_by} looked at the breach and keeps the promotion: {payload.reason}",
        *payload.message,
        next_step="Nothing: people are told again when something else gets worse, or this again after it was well.",
    )


def watch_blind(n: Notification, payload: WatchBlindPayload) -> Message:
    """For an hour nothing of the winner could be seen."""
    return n.message(
        f"{n.name}: the watch cannot see {payload.winner}",
        *payload.message,
        "Until it sees something nobody would be told that the winner got worse, and nothing is rolled back.",
        next_step="Log the winner's requests as before the promotion, or mend the log: promotion-pipeline doctor",
    )


def split_drift(n: Notification, payload: SplitDriftPayload) -> Message:
    """Somebody else changed the split of a promotion."""
    return n.message(
        f"{n.name}: the split is not that of the promotion any more",
        *(payload.message or ("Somebody else changed it.",)),
        next_step=f"To put the promotion's split back: {_command('traffic overwrite', n)} --reason '...'  To keep what"
        f" stands and end the promotion: {_command('rollback', n)} --to close --reason '...'",
    )


def split_overwritten(n: Notification, payload: SplitOverwrittenPayload) -> Message:
    """The split of a promotion was put back."""
    split = ", ".join(f"{variant} {share_text(share)}" for variant, share in n.split(payload.split))
    return n.message(
        f"{n.name}: the split of the promotion is back",
        f"{payload.overwritten_by} put it back: {payload.reason}",
        f"It is {split}." if split else "",
        f"Overwritten: {payload.drift}." if payload.drift else "",
    )


def hold_released(n: Notification, payload: HoldReleasedPayload) -> Message:
    """The hold after a rollback was lifted."""
    why = payload.reason
    return n.message(
        f"{n.name}: hold lifted",
        f"{payload.released_by} lifted the hold on automatic promotion" + (f": {why}" if why else "."),
        f"The hold was: {payload.hold}" if payload.hold else "",
        next_step="Nothing: from the next hour on it may be promoted again.",
    )


def warnings_settled(n: Notification, payload: WarningsSettledPayload) -> Message:
    """Nobody needs to look at the warnings of a promotion any more."""
    return n.message(
        f"{n.name}: the warnings of its promotion are settled",
        f"{payload.settled_by}: {payload.reason}",
    )


def ramp_step(n: Notification, payload: RampStepPayload) -> Message:
    """A ramp went one step on."""
    winner, share = payload.winner, payload.traffic_percent
    return n.message(
        f"{n.name}: {winner} now gets {share_text(share)} of the traffic",
        f"{payload.by} took the next step of the ramp of {winner}."
        if payload.by and payload.by not in _RAMPERS
        else f"The watch was clean, so the ramp of {winner} went one step on.",
        _held_back(payload),
        facts=(fact("Traffic of the winner", share, share_text),),
        next_step="Nothing: the ramp is done." if share == 100 else "Nothing: the next step follows by itself.",
    )


def _held_back(payload: PromotionPayload) -> str:
    """What a holdback is for, where one began; empty: none did."""
    share, hours = payload.traffic_percent, payload.holdback_hours
    if share is None or hours is None:
        return ""
    return (
        f"{payload.control} keeps {share_text(100.0 - share)} for {hours / 24:g} days, to measure what {payload.winner}"
        " brings; then all traffic follows by itself."
    )


def ramp_blocked(n: Notification, payload: RampBlockedPayload) -> Message:
    """A ramp's next step is due and cannot be taken."""
    by_hand = ""
    if payload.can_be_taken:
        by_hand = f"To take the step all the same: {_command('advance', n)} --reason '...'  "
    return n.message(
        f"{n.name}: the ramp of {payload.winner} does not go on",
        "Its next step is due and cannot be taken.",
        *payload.message,
        facts=(fact("Traffic of the winner", payload.traffic_percent, share_text),),
        next_step=f"Clear what blocks it; it goes on by itself then. {by_hand}To undo the promotion:"
        f" {_rollback_command(n)}",
    )


def fact(label: str, value: float | None, shown: Callable[[float | None], str]) -> Fact | None:
    """A number with its name; None where it is not known."""
    return None if value is None else Fact(label, shown(value))


def _three_numbers(n: Notification, payload: PromotionPayload | ApprovalRequestedPayload) -> tuple[Fact | None, ...]:
    return (
        fact("Lift over control", n.improvement, lift_text),
        fact("Expected after shrinkage", payload.shrunken_lift, _about),
        fact("Confidence", n.confidence, confidence_text),
        fact("Requests in the smaller arm", payload.sample_size, count_text),
    )


def _about(fraction: float | None) -> str:
    return f"about {rate_text(fraction, signed=True)}"


_TARGETS = {
    "previous": "The split of before is restored",
    "control": "All traffic goes to control",
    "close": "The traffic stays as it stands",
}
_RAMPERS = ("promotion_ramp",)
"""Actors that are no person."""
_MEASURES = {"error_rate": rate_text, "conversion": rate_text, "latency": milliseconds_text}
"""How a metric of the watch is written."""


def _command(verb: str, n: Notification) -> str:
    return f"promotion-pipeline {verb} {shlex.quote(n.name)}"


def _rollback_command(n: Notification) -> str:
    return f"{_command('rollback', n)} --reason '...'"
