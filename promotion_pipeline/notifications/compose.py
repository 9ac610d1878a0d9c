"""From a notification to its message."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications import wording
from promotion_pipeline.notifications.links import approval_link, dagster_link, evidence_link, overview_link, run_link
from promotion_pipeline.notifications.message import Fact, Link, Message, Table, one_line
from promotion_pipeline.notifications.notification import Notification, number_of
from promotion_pipeline.notifications.routing import RESOLVES, SystemEvent
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.notifications.wording import Draft, fact
from promotion_pipeline.promotion.record.events import Event
from promotion_pipeline.text.numbers import confidence_text, count_text, instant_text, signed_percent_text

SUMMARY_COLUMNS = ("experiment", "verdict", "candidate", "lift", "confidence", "requests")


def compose(notification: Notification, settings: Settings) -> Message:
    """The message of a notification; an event without words of its own gets those of its payload.

    No secret of the settings is in it, whatever the payload says.
    """
    draft = DRAFTS.get(notification.event, _anything)(notification)
    message = Message(
        event=notification.event,
        level=notification.level,
        title=draft.title,
        at=notification.at,
        what_happened=tuple(sentence for sentence in draft.sentences if sentence),
        facts=tuple(each for each in draft.facts if each is not None),
        next_step=draft.next_step,
        links=_links(notification, settings),
        experiment_name=notification.experiment_name,
        resolves=notification.event in RESOLVES,
        table=_table(notification),
    )
    return _without_secrets(message, settings)


def _run_failure(n: Notification) -> Draft:
    step = n.text("step", "")
    return Draft(
        title=f"A run of {n.text('job')} failed",
        sentences=(
            f"It failed{f' in step {step}' if step else ''} and is not tried again: {n.text('error', 'no message')}",
        ),
        facts=(fact("Attempts", n.number("attempts"), count_text),),
        next_step="Open the run for its log. If the next one fails too: promotion-pipeline doctor",
    )


def _run_recovered(n: Notification) -> Draft:
    return Draft(f"{n.text('job')} works again", (f"A run of {n.text('job')} succeeded after the failure of before.",))


def _summary(n: Notification) -> Draft:
    at = instant_text(n.instant("as_of") or n.at)
    happened = {
        "promoted": n.number("promoted"),
        "rolled back": n.number("rolled_back"),
        "waiting for approval": n.number("waiting"),
    }
    news = ", ".join(f"{count_text(count)} {word}" for word, count in happened.items() if count) or "nothing changed"
    failed = n.number("not_judged")
    return Draft(
        title=f"Experiments at {at}: {news}",
        sentences=(
            f"{count_text(n.number('evaluated'))} experiments were evaluated at {at},"
            f" {count_text(n.number('eligible'))} are eligible; {news}.",
            f"Promoted: {', '.join(n.texts('promoted_names'))}." if n.texts("promoted_names") else "",
            f"{count_text(failed)} could not be judged." if failed else "",
            f"The {len(n.rows('experiments'))} that matter most are shown." if n.payload.get("is_cut") else "",
        ),
        facts=(
            fact("Evaluated", n.number("evaluated"), count_text),
            fact("Promoted", n.number("promoted"), count_text),
            fact("Waiting for approval", n.number("waiting"), count_text),
        ),
        next_step="Approve or decline what waits, on its evidence page." if n.number("waiting") else "Nothing.",
    )


def _test(_: Notification) -> Draft:
    return Draft("Test message", ("This channel works: somebody ran `promotion-pipeline notifications test`.",))


def _anything(n: Notification) -> Draft:
    label = n.event.replace("_", " ")
    subject = f"{n.experiment_name}: " if n.experiment_name else ""
    said = n.texts("message") or n.texts("messages") or n.texts("reason") or (label,)
    return Draft(subject + n.text("title", label), said, (), n.text("next_step", "Look at the evidence."))


DRAFTS: Mapping[str, Callable[[Notification], Draft]] = {
    Event.PROMOTION: wording.promotion,
    Event.PROMOTION_WITH_WARNINGS: wording.promotion,
    Event.APPROVAL_REQUESTED: wording.approval_requested,
    Event.APPROVAL_DECLINED: wording.approval_declined,
    Event.ROLLBACK: wording.rollback,
    Event.WATCH_BREACH: wording.watch_breach,
    Event.BREACH_ACKNOWLEDGED: wording.breach_acknowledged,
    Event.WATCH_BLIND: wording.watch_blind,
    Event.SPLIT_DRIFT: wording.split_drift,
    Event.SPLIT_OVERWRITTEN: wording.split_overwritten,
    Event.HOLD_RELEASED: wording.hold_released,
    Event.WARNINGS_SETTLED: wording.warnings_settled,
    Event.RAMP_STEP: wording.ramp_step,
    Event.RAMP_BLOCKED: wording.ramp_blocked,
    SystemEvent.RUN_FAILURE: _run_failure,
    SystemEvent.RUN_RECOVERED: _run_recovered,
    SystemEvent.HOURLY_SUMMARY: _summary,
    SystemEvent.TEST: _test,
}


def _links(n: Notification, settings: Settings) -> tuple[Link, ...]:
    run = run_link(settings, n.run_id) if n.run_id else dagster_link(settings)
    if n.experiment_name and n.event == Event.APPROVAL_REQUESTED:
        return approval_link(settings, n.experiment_name), run
    if n.experiment_name:
        return evidence_link(settings, n.experiment_name), run
    return (overview_link(settings), run) if n.event == SystemEvent.HOURLY_SUMMARY else (run,)


def _table(n: Notification) -> Table | None:
    rows = n.rows("experiments")
    return Table(SUMMARY_COLUMNS, tuple(_summary_row(row) for row in rows)) if rows else None


def _summary_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        one_line(str(row.get("experiment"))),
        str(row.get("verdict")),
        one_line(str(row.get("candidate") or "-")),
        signed_percent_text(number_of(row.get("improvement"))),
        confidence_text(number_of(row.get("confidence"))),
        count_text(number_of(row.get("sample_size"))),
    )


def _without_secrets(message: Message, settings: Settings) -> Message:
    def clean(text: str) -> str:
        return scrubbed(text, settings)

    table = message.table
    return dataclasses.replace(
        message,
        title=one_line(clean(message.title)),
        what_happened=tuple(clean(sentence) for sentence in message.what_happened),
        facts=tuple(Fact(clean(each.label), clean(each.value)) for each in message.facts),
        next_step=clean(message.next_step),
        links=tuple(Link(link.label, clean(link.url)) for link in message.links),
        experiment_name=None if message.experiment_name is None else clean(message.experiment_name),
        table=table and Table(table.columns, tuple(tuple(clean(cell) for cell in row) for row in table.rows)),
    )
