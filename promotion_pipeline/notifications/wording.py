"""What is said of each event of the lifecycle: what happened, the numbers that matter, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from promotion_pipeline.notifications.message import Fact
from promotion_pipeline.notifications.notification import Notification, number_of
from promotion_pipeline.text.numbers import (
    confidence_text,
    count_text,
    duration_text,
    percent_text,
    signed_percent_text,
)


@dataclass(frozen=True)
class Draft:
    """The words of a message; empty sentences and facts without a number are left out."""

    title: str
    sentences: tuple[str, ...]
    facts: tuple[Fact | None, ...] = ()
    next_step: str = "Nothing."


def promotion(n: Notification) -> Draft:
    """A winner was promoted, perhaps with warnings."""
    winner, warnings = n.text("winner"), n.texts("warnings")
    share = n.number("traffic_percent")
    is_ramping = n.text("state") == "ramping" and share is not None
    got = f"{percent_text(share)} of the traffic" if is_ramping else "all traffic"
    kind = {"auto": "an automatic", "manual": "a manual"}.get(n.text("promotion_type"), "")
    return Draft(
        title=f"{n.name}: {winner} promoted" + (" with warnings" if warnings else ""),
        sentences=(
            *(f"The numbers cannot be trusted: {said}." for said in n.texts("distrust")),
            f"{winner} won over {n.text('control')} and now gets {got}.",
            f"It was {kind} promotion by {n.text('promoted_by')}." if kind else "",
            "The next step of the ramp follows while the watch stays clean." if is_ramping else "",
            *(f"Warning: {warning}" for warning in warnings),
        ),
        facts=_three_numbers(n),
        next_step=f"Nothing, if you expected it. To undo it: {_rollback_command(n)}",
    )


def approval_requested(n: Notification) -> Draft:
    """Eligible, and a person is asked."""
    distrust = n.texts("distrust")
    if distrust:
        return _untrusted(n, distrust[0])
    return Draft(
        title=f"{n.name}: {n.text('candidate')} waits for approval",
        sentences=(
            f"{n.text('candidate')} passes every check, and a person has to decide.",
            *(f"Not promoted unattended: {sentence}." for sentence in n.texts("withheld")),
            *(f"Warning: {warning}" for warning in n.texts("warnings")),
        ),
        facts=_three_numbers(n),
        next_step=f"Look at the evidence and approve it there, or: {_command('approve', n)}",
    )


def _untrusted(n: Notification, distrust: str) -> Draft:
    """A person is asked about numbers that cannot be trusted: that comes first."""
    return Draft(
        title=f"{n.name}: the numbers cannot be trusted ({n.text('candidate')} waits for an answer)",
        sentences=(
            f"The numbers cannot be trusted: {distrust}.",
            f"On them {n.text('candidate')} passes the checks; assignment or logging is broken, so find out what"
            " first.",
            *(f"Warning: {warning}" for warning in n.texts("warnings")),
        ),
        facts=_three_numbers(n),
        next_step=f"Find out what is broken, and decline meanwhile: {_command('decline', n)} --reason '...'. To promote"
        f" all the same: {_command('approve', n)} --despite sample_ratio_mismatch --reason '...'",
    )


def approval_declined(n: Notification) -> Draft:
    """A person said no."""
    return Draft(
        title=f"{n.name}: {n.text('candidate')} declined",
        sentences=(
            f"{n.text('declined_by')} declined the promotion of {n.text('candidate')}: {n.text('reason')}",
            "Automatic promotion of the experiment is on hold.",
        ),
        next_step=f"When it may be promoted again: {_command('release', n)}",
    )


def rollback(n: Notification) -> Draft:
    """A promotion was rolled back: why, and what the traffic is now."""
    split = ", ".join(f"{variant} {percent_text(share)}" for variant, share in n.split())
    target = _TARGETS.get(n.text("to"), _TARGETS["previous"])
    is_close, runs = n.text("to") == "close", n.payload.get("is_active") is not False
    live = duration_text(n.instant("promoted_at"), n.instant("rollback_at") or n.at)
    return Draft(
        title=f"{n.name}: promotion of {n.text('winner')} closed"
        if is_close
        else f"{n.name}: {n.text('winner')} rolled back",
        sentences=(
            f"{n.text('rolled_back_by')} {'closed' if is_close else 'rolled back'} the promotion of"
            f" {n.text('winner')}: {n.text('reason')}",
            f"{target}: {split}." if split else f"{target}.",
            f"{'Kept' if is_close else 'Overwritten'}: {n.text('drift')}." if n.texts("drift") else "",
            f"The experiment {'runs' if is_close else 'runs again'}, and its automatic promotion is on hold."
            if runs
            else "The experiment does not run, and its automatic promotion is on hold.",
        ),
        facts=(
            Fact("Was live for", live) if live else None,
            fact("Lift it was promoted for", n.improvement, signed_percent_text),
            fact("Confidence then", n.confidence, confidence_text),
        ),
        next_step=f"Find out why. When it may be promoted again: {_command('release', n)}",
    )


def watch_breach(n: Notification) -> Draft:
    """The winner got worse after its promotion: everything that is worse, whether it ends by itself, how to end it."""
    winner = n.text("winner", "the winner")
    metrics = n.texts("metrics") or n.texts("metric")
    named = ", ".join(metric.replace("_", " ") for metric in metrics) or "a metric"
    command = n.text("command", "") or f"{_command('rollback', n)} --to control --reason '...'"
    ends = f"To end the harm at once: {command}"
    if n.text("to") == "close":
        ends = f"Control exists no more: change the traffic yourself, then {command}"
    rollback = n.text("rollback", "")
    return Draft(
        title=f"{n.name}: {winner} got worse after its promotion ({named})",
        sentences=(
            *(n.texts("message") or (f"The watch found {winner} worse than it was when it was promoted.",)),
            f"{rollback[0].upper()}{rollback[1:]}." if rollback else "",
        ),
        facts=tuple(_breach_facts(n)),
        next_step="Nothing, all traffic goes back to control; find out why."
        if n.payload.get("is_automatic") is True
        else f"{ends}  (or, if it shall stay: {_command('acknowledge', n)} --reason '...')",
    )


def _breach_facts(n: Notification) -> Iterator[Fact]:
    """Now, then and control, of each metric once: of its shortest window that found it."""
    shown: dict[str, Mapping[str, object]] = {
        str(row.get("metric")): row
        # A message that was written before alarms had several metrics is one check itself.
        for row in (n.rows("checks") or [n.payload])
        if row.get("observed") is not None
    }
    for metric, row in shown.items():
        write, label = _MEASURES.get(metric, _measure), metric.replace("_", " ")
        for name, key in (("now", "observed"), ("when promoted", "baseline"), ("of control", "control")):
            value = number_of(row.get(key))
            if value is not None:
                yield Fact(f"{label[0].upper()}{label[1:]} {name}", write(value))


def breach_acknowledged(n: Notification) -> Draft:
    """A person keeps the promotion in spite of a breach."""
    return Draft(
        title=f"{n.name}: {n.text('winner', 'the winner')} is kept",
        sentences=(
            f"{n.text('acknowledged_by')} looked at the breach and keeps the promotion: {n.text('reason')}",
            *n.texts("message"),
        ),
        next_step="Nothing: people are told again when something else gets worse, or this again after it was well.",
    )


def watch_blind(n: Notification) -> Draft:
    """For an hour nothing of the winner could be seen."""
    return Draft(
        title=f"{n.name}: the watch cannot see {n.text('winner', 'the winner')}",
        sentences=(
            *n.texts("message"),
            "Until it sees something nobody would be told that the winner got worse, and nothing is rolled back.",
        ),
        next_step="Log the winner's requests as before the promotion, or mend the log: promotion-pipeline doctor",
    )


def split_drift(n: Notification) -> Draft:
    """Somebody else changed the split of a promotion."""
    return Draft(
        title=f"{n.name}: the split is not that of the promotion any more",
        sentences=n.texts("message") or ("Somebody else changed it.",),
        next_step=f"To put the promotion's split back: {_command('traffic overwrite', n)} --reason '...'  To keep what"
        f" stands and end the promotion: {_command('rollback', n)} --to close --reason '...'",
    )


def split_overwritten(n: Notification) -> Draft:
    """The split of a promotion was put back."""
    split = ", ".join(f"{variant} {percent_text(share)}" for variant, share in n.split())
    return Draft(
        title=f"{n.name}: the split of the promotion is back",
        sentences=(
            f"{n.text('overwritten_by')} put it back: {n.text('reason')}",
            f"It is {split}." if split else "",
            f"Overwritten: {n.text('drift')}." if n.texts("drift") else "",
        ),
    )


def hold_released(n: Notification) -> Draft:
    """The hold after a rollback was lifted."""
    why = n.text("reason", "")
    return Draft(
        title=f"{n.name}: hold lifted",
        sentences=(
            f"{n.text('released_by')} lifted the hold on automatic promotion" + (f": {why}" if why else "."),
            f"The hold was: {n.text('hold')}" if n.texts("hold") else "",
        ),
        next_step="Nothing: from the next hour on it may be promoted again.",
    )


def warnings_settled(n: Notification) -> Draft:
    """Nobody needs to look at the warnings of a promotion any more."""
    return Draft(
        title=f"{n.name}: the warnings of its promotion are settled",
        sentences=(f"{n.text('settled_by')}: {n.text('reason')}",),
    )


def ramp_step(n: Notification) -> Draft:
    """A ramp went one step on."""
    winner, share = n.text("winner", "the winner"), n.number("traffic_percent")
    return Draft(
        title=f"{n.name}: {winner} now gets {percent_text(share)} of the traffic",
        sentences=(
            f"{n.text('by')} took the next step of the ramp of {winner}."
            if n.texts("by") and n.text("by") not in _RAMPERS
            else f"The watch was clean, so the ramp of {winner} went one step on.",
        ),
        facts=(fact("Traffic of the winner", share, percent_text),),
        next_step="Nothing: the ramp is done." if share == 100 else "Nothing: the next step follows by itself.",
    )


def ramp_blocked(n: Notification) -> Draft:
    """A ramp's next step is due and cannot be taken."""
    said = n.texts("reasons") or n.texts("reason") or n.texts("message")
    return Draft(
        title=f"{n.name}: the ramp of {n.text('winner', 'the winner')} does not go on",
        sentences=("Its next step is due and cannot be taken.", *said),
        facts=(fact("Traffic of the winner", n.number("traffic_percent"), percent_text),),
        next_step=f"Clear what blocks it; it goes on by itself then. {_by_hand(n)}To undo the promotion:"
        f" {_rollback_command(n)}",
    )


def _by_hand(n: Notification) -> str:
    if n.payload.get("can_be_taken") is not True:
        return ""
    return f"To take the step all the same: {_command('advance', n)} --reason '...'  "


def fact(label: str, value: float | None, shown: Callable[[float | None], str]) -> Fact | None:
    """A number with its name; None where it is not known."""
    return None if value is None else Fact(label, shown(value))


def _three_numbers(n: Notification) -> tuple[Fact | None, ...]:
    return (
        fact("Lift over control", n.improvement, signed_percent_text),
        fact("Expected after shrinkage", n.number("shrunken_lift"), _about),
        fact("Confidence", n.confidence, confidence_text),
        fact("Requests in the smaller arm", n.number("sample_size"), count_text),
    )


def _about(fraction: float | None) -> str:
    return f"about {signed_percent_text(None if fraction is None else 100 * fraction)}"


def _measure(value: float | None) -> str:
    return f"{value:,.4g}"


def _rate(value: float | None) -> str:
    return percent_text(None if value is None else 100 * value)


def _milliseconds(value: float | None) -> str:
    return f"{value:,.0f} ms"


_TARGETS = {
    "previous": "The split of before is restored",
    "control": "All traffic goes to control",
    "close": "The traffic stays as it stands",
}
_RAMPERS = ("promotion_ramp",)
"""Actors that are no person."""
_MEASURES = {"error_rate": _rate, "conversion": _rate, "latency": _milliseconds}
"""How a metric of the watch is written."""


def _command(verb: str, n: Notification) -> str:
    return f"promotion-pipeline {verb} {shlex.quote(n.name)}"


def _rollback_command(n: Notification) -> str:
    return f"{_command('rollback', n)} --reason '...'"
