"""Everything that happened to an experiment, in plain words: what the audit keeps, and holds set past it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from promotion_pipeline.promotion.history.evidence import HoldPeriod, audit_of, holds_of
from promotion_pipeline.promotion.record.events import Action, AuditEntry
from promotion_pipeline.promotion.record.experiments import experiments_named
from promotion_pipeline.promotion.record.inputs import experiment_name_of
from promotion_pipeline.promotion.record.models import who_acted
from promotion_pipeline.promotion.record.queries import claimed_and_through
from promotion_pipeline.promotion.record.result import Result
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import share_text

NEWEST = 200
"""Events that are given at most; the older ones stay in `promotion_audit`."""
PAST_THE_ACTS = "somebody in the database"

_Details = Mapping[str, Any]


class Happened(Result):
    """One thing that happened to an experiment."""

    at: datetime
    actor: str
    """Who, with the credential that spoke for them or who the request said they were."""
    action: str
    """One of `Action`."""
    reason: str | None = None
    details: str = ""
    """What it was, in plain words."""


def events_of(experiment_name: str, *, store: Store | None = None) -> tuple[Happened, ...]:
    """What happened to an experiment, newest first, at most the newest `NEWEST`.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    name, where = experiment_name_of(experiment_name), store_or_current(store)
    with where.connect() as connection, database_errors():
        experiment_id = experiments_named(connection, [name])[0].id
    return tuple(event for event, _ in happened_to(where, experiment_id))


def happened_to(store: Store, experiment_id: UUID) -> list[tuple[Happened, UUID | None]]:
    """The same of an experiment by its id, each event with the promotion that it was about; None: about none.

    Raises:
        DependencyError: the database is down.
    """
    audit = audit_of(store, experiment_id, newest=NEWEST)
    # Where older audit lines are left out, holds of that time are too: whether an act had set them is not known here.
    since = audit[0].at if len(audit) == NEWEST else None
    acts = [(_event(entry), entry.promotion_id) for entry in audit]
    past = [
        (event, None)
        for event in _past_the_acts(holds_of(store, experiment_id), audit)
        if since is None or event.at > since
    ]
    return sorted([*acts, *past], key=lambda found: found[0].at, reverse=True)[:NEWEST]


def _event(entry: AuditEntry) -> Happened:
    details = entry.details
    claimed, through = claimed_and_through(details.get("http"), entry.actor)
    said = _SAID.get(entry.action)
    return Happened(
        at=entry.at,
        actor=who_acted(entry.actor, through, claimed),
        action=entry.action,
        reason=_reason(details),
        details=said(details) if said is not None else entry.action.replace("_", " "),
    )


def _reason(details: _Details) -> str | None:
    metadata = details.get("metadata")
    given = details.get("reason") or (metadata.get("reason") if isinstance(metadata, dict) else None)
    return None if given in (None, "") else str(given)


def _promoted(details: _Details) -> str:
    said = f"{details.get('winner')!r} promoted ({details.get('type')})"
    if details.get("state") == "ramping":
        said += ", the first step of its ramp"
    on_hold = details.get("on_hold")
    return f"{said}, although automatic promotion was on hold ({on_hold})" if on_hold else said


def _asked(details: _Details) -> str:
    return "; ".join(
        [f"a person is asked about {details.get('candidate')!r}", *map(str, details.get("withheld") or ())]
    )


def _approved(details: _Details) -> str:
    on_hold = details.get("on_hold")
    return "a person said yes" + (f", although automatic promotion was on hold ({on_hold})" if on_hold else "")


def _stepped(details: _Details) -> str:
    percent = details.get("percent")
    if not isinstance(percent, int | float):
        return "the next step of the ramp"
    what = f"step {int(details.get('ramp_step') or 0) + 1} of the ramp"
    if details.get("holdback_begins"):
        what = "the holdback begins"
    elif details.get("holdback_is_over"):
        what = "the holdback is over"
    return f"{what}: {share_text(percent)} of the traffic"


def _rolled_back(details: _Details) -> str:
    where = {
        "close": "closed: the traffic stays as it stood",
        "control": "rolled back: all traffic to control",
    }.get(str(details.get("to")), "rolled back to the split of before")
    drift = details.get("drift")
    said = f"{where}, on hold for automatic promotion"
    return f"{said}; before it: {drift}" if drift else said


def _put_back(details: _Details) -> str:
    if "overwritten" in details:
        return "the decided split was put back over somebody else's edit of what is served"
    return f"the promotion's split was put back; before it: {details.get('drift')}"


_SAID: Mapping[str, Callable[[_Details], str]] = MappingProxyType(
    {
        Action.PROMOTE: _promoted,
        Action.SHADOW_PROMOTE: lambda details: f"shadow: would have promoted {details.get('winner')!r}",
        Action.REQUEST_APPROVAL: _asked,
        Action.APPROVE: _approved,
        Action.DECLINE: lambda details: f"a person said no to {details.get('candidate')!r}; on hold from then on",
        Action.EXPIRE_APPROVAL: lambda _: "nobody answered in time: the request is over",
        Action.RAMP: _stepped,
        Action.WATCH_BREACH: lambda details: f"the watch raised an alarm: {details.get('message')}",
        Action.ACKNOWLEDGE_BREACH: lambda details: f"kept in spite of the alarm: {details.get('message')}",
        Action.OVERWRITE_SPLIT: _put_back,
        Action.ADOPT_SPLIT: lambda _: "the split that somebody else made the target serve was taken over",
        Action.RETRY_DELIVERY: lambda details: f"the delivery was tried again: {details.get('error')}",
        Action.ROLL_BACK: _rolled_back,
        Action.HOLD: lambda _: "automatic promotion put on hold",
        Action.RELEASE_HOLD: lambda details: f"the hold was lifted ({details.get('hold')})",
        Action.ACKNOWLEDGE_WARNINGS: lambda _: "a person looked at the promotion's warnings",
    }
)


def _past_the_acts(holds: Sequence[HoldPeriod], audit: Sequence[AuditEntry]) -> list[Happened]:
    """Holds that were set or lifted by a statement of somebody's own: no act wrote a line about them."""
    put = {text for entry in audit if (text := _hold_put(entry)) is not None}
    lifted = {str(entry.details.get("hold")) for entry in audit if entry.action == Action.RELEASE_HOLD}
    # Where the next hold begins as this one ends, it was replaced, not lifted.
    starts = {hold.valid_from for hold in holds}
    found = []
    for hold in holds:
        if hold.reason not in put:
            found.append(_by_hand(hold.valid_from, Action.HOLD, hold.reason, "automatic promotion put on hold"))
        until = hold.valid_until
        if until is not None and until not in starts and hold.reason not in lifted:
            found.append(_by_hand(until, Action.RELEASE_HOLD, None, f"the hold was lifted ({hold.reason})"))
    return found


def _hold_put(entry: AuditEntry) -> str | None:
    """The hold that an act put, as it is written at the experiment."""
    said = f"by {entry.actor}: {entry.details.get('reason')}"
    match entry.action:
        case Action.HOLD:
            return str(entry.details.get("hold"))
        case Action.DECLINE:
            return f"declined {said}"
        case Action.ROLL_BACK:
            return f"{'closed' if entry.details.get('to') == 'close' else 'rolled back'} {said}"
        case _:
            return None


def _by_hand(at: datetime, action: Action, reason: str | None, said: str) -> Happened:
    return Happened(at=at, actor=PAST_THE_ACTS, action=action.value, reason=reason, details=said)
