"""What is said of the system itself, and of events that have no words of their own."""

from __future__ import annotations

from promotion_pipeline.notifications.message import Message, MessageTable, one_line
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.notifications.payload import (
    RunFailurePayload,
    RunRecoveredPayload,
    SummaryPayload,
    SummaryRow,
)
from promotion_pipeline.notifications.wording import fact
from promotion_pipeline.store.payload import OwnWords
from promotion_pipeline.text.numbers import confidence_text, count_text, instant_text, lift_text

SUMMARY_COLUMNS = ("experiment", "verdict", "candidate", "lift", "confidence", "requests")


def run_failure(n: Notification, payload: RunFailurePayload) -> Message:
    """A run failed for good."""
    step = f" in step {payload.step}" if payload.step else ""
    return n.message(
        f"A run of {payload.job} failed",
        f"It failed{step} and is not tried again: {payload.error}",
        facts=(fact("Attempts", payload.attempts, count_text),),
        next_step="Open the run for its log. If the next one fails too: promotion-pipeline doctor",
    )


def run_recovered(n: Notification, payload: RunRecoveredPayload) -> Message:
    """The job works again."""
    return n.message(f"{payload.job} works again", f"A run of {payload.job} succeeded after the failure of before.")


def summary(n: Notification, payload: SummaryPayload) -> Message:
    """What an hour decided, and what happened since the summary before."""
    at = instant_text(payload.as_of or n.at)
    happened = {
        "promoted": payload.promoted,
        "rolled back": payload.rolled_back,
        "waiting for approval": payload.waiting,
    }
    news = ", ".join(f"{count_text(count)} {word}" for word, count in happened.items() if count) or "nothing changed"
    return n.message(
        f"Experiments at {at}: {news}",
        f"{count_text(payload.evaluated)} experiments were evaluated at {at},"
        f" {count_text(payload.eligible)} are eligible; {news}.",
        f"Promoted: {', '.join(payload.promoted_names)}." if payload.promoted_names else "",
        f"{count_text(payload.not_judged)} could not be judged." if payload.not_judged else "",
        f"The {len(payload.experiments)} that matter most are shown." if payload.is_cut else "",
        facts=(
            fact("Evaluated", payload.evaluated, count_text),
            fact("Promoted", payload.promoted, count_text),
            fact("Waiting for approval", payload.waiting, count_text),
        ),
        next_step="Approve or decline what waits, on its evidence page." if payload.waiting else "Nothing.",
        table=_table(payload),
    )


def test(n: Notification) -> Message:
    """Somebody tries a channel."""
    return n.message("Test message", "This channel works: somebody ran `promotion-pipeline notifications test`.")


def anything(n: Notification, payload: OwnWords) -> Message:
    """An event without words of its own says those of its payload."""
    label = n.event.replace("_", " ")
    subject = f"{n.experiment_name}: " if n.experiment_name else ""
    said = payload.message or payload.messages or payload.reason or (label,)
    return n.message(subject + (payload.title or label), *said, next_step=payload.next_step)


def _table(payload: SummaryPayload) -> MessageTable | None:
    rows = tuple(_summary_row(SummaryRow.read(row)) for row in payload.experiments)
    return MessageTable(SUMMARY_COLUMNS, rows) if rows else None


def _summary_row(row: SummaryRow) -> tuple[str, ...]:
    return (
        one_line(row.experiment),
        row.verdict,
        one_line(row.candidate),
        lift_text(row.improvement),
        confidence_text(row.confidence),
        count_text(row.sample_size),
    )
