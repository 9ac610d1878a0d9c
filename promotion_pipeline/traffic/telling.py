"""What people are told of deliveries, written to the outbox in the transaction that settles one."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from enum import StrEnum

from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.outbox import Level, enqueue
from promotion_pipeline.store.payload import OwnWords
from promotion_pipeline.text.numbers import split_text
from promotion_pipeline.traffic.deliveries import Served, TrafficDelivery
from promotion_pipeline.traffic.targets.port import NamedSplit

LATE_AFTER_MINUTES = 10


class TrafficEvent(StrEnum):
    """Kinds of notification that deliveries write."""

    SERVED = "traffic_served"
    """A split arrived where users are; info."""
    CONFLICT = "traffic_conflict"
    """Somebody else changed what is served: nothing is overwritten; critical."""
    FAILED = "traffic_failed"
    """The last attempt failed: what is decided is not served; critical."""
    REFUSED = "traffic_refused"
    """The target refuses in a way that waiting does not change; critical."""
    LATE = "traffic_late"
    """A split is not served ten minutes after it was decided; critical."""
    DIFFERS = "traffic_differs"
    """Users get another split than the decided one, although it is said to be served; critical."""
    UNREAD = "traffic_unread"
    """What a target serves cannot be read; warning."""


def conflict_sentence(where: str, served: NamedSplit, wanted: NamedSplit, changed_by: str | None) -> str:
    """Both versions and, where it is known, whose the foreign one is."""
    by = f", changed last by {changed_by}" if changed_by else ""
    return (
        f"{where} serves {split_text(served)}{by}, which is neither what was there nor the decided"
        f" {split_text(wanted)}: nothing is overwritten"
    )


def tell_of_conflict(
    connection: Connection, delivery: TrafficDelivery, name: str, said: str, *, is_later: bool = False
) -> None:
    """Both versions, and the two ways on.

    Args:
        is_later: found by a read-back, after the last attempt at the delivery.
    """
    _tell(
        connection,
        TrafficEvent.CONFLICT,
        "critical",
        delivery,
        name,
        f"{name}: somebody else changed the traffic that is served",
        said,
        f"{_command('adopt', name)} (keeps theirs), or {_command('overwrite', name)} --reason TEXT (puts ours back).",
        moment=datetime.now(UTC) if is_later else None,
    )


def tell_of_difference(
    connection: Connection, experiment: Served, decided: NamedSplit, said: str, since: datetime
) -> None:
    """That users get another split than the decided one; once an incident."""
    _enqueue(
        connection,
        TrafficEvent.DIFFERS,
        "critical",
        experiment,
        "users do not get the decided traffic",
        f"Decided is {split_text(decided)}; {said}.",
        f"Find out what the application asks, and whether it logs what it serves: {_command('--read')}",
        since,
    )


def tell_of_unread(connection: Connection, experiment: Served, said: str, since: datetime, *, others: int = 0) -> None:
    """That nobody knows what is served; once an incident.

    Args:
        others: so many more experiments cannot be read either; a system that is down is told of once.
    """
    _enqueue(
        connection,
        TrafficEvent.UNREAD,
        "warning",
        experiment,
        f"what is served cannot be read{f' (and of {others:,} more experiments)' if others else ''}",
        said,
        f"Put right what it says, then {_command('--read')}. Where the flag is retired, end the promotion:"
        f" promotion-pipeline rollback {shlex.quote(experiment.name)} --to close --reason TEXT",
        since,
    )


def tell_of_trouble(connection: Connection, delivery: TrafficDelivery, name: str, said: str, *, is_last: bool) -> None:
    """That the last attempt failed, or that waiting alone will not do."""
    title = "the decided traffic is not served" if is_last else "what serves the traffic refuses a change"
    _tell(
        connection,
        TrafficEvent.FAILED if is_last else TrafficEvent.REFUSED,
        "critical",
        delivery,
        name,
        f"{name}: {title}",
        said,
        f"Put right what it says, then {_command('retry', name)}.",
    )


def tell_of_served(connection: Connection, delivery: TrafficDelivery, name: str, split: NamedSplit) -> None:
    """What the act wanted said once it is true; else that the split is served."""
    if delivery.says is not None:
        enqueue(connection, **delivery.says)
        return
    _tell(
        connection,
        TrafficEvent.SERVED,
        "info",
        delivery,
        name,
        f"{name}: the decided traffic is served",
        f"{delivery.target} serves {split_text(split)}.",
        "Nothing is to be done.",
    )


def is_any_late_and_untold(connection: Connection) -> bool:
    """Whether `tell_of_late_ones` has anything to tell: of deliveries that this process cannot make, too."""
    row = connection.execute(
        "SELECT 1 FROM traffic_deliveries d JOIN ab_experiments e ON e.id = d.experiment_id"
        " WHERE d.state IN ('pending', 'applied') AND d.created_at < clock_timestamp() - %s * interval '1 minute'"
        " AND NOT EXISTS (SELECT 1 FROM notification_outbox WHERE dedup_key = %s || ':' || d.id) LIMIT 1",
        [LATE_AFTER_MINUTES, TrafficEvent.LATE.value],
    ).fetchone()
    return row is not None


def tell_of_late_ones(connection: Connection) -> None:
    """Deliveries that are on their way for too long, each once."""
    rows = connection.execute(
        "SELECT d.*, e.name::text AS experiment_name FROM traffic_deliveries d"
        " JOIN ab_experiments e ON e.id = d.experiment_id WHERE d.state IN ('pending', 'applied')"
        " AND d.created_at < clock_timestamp() - %s * interval '1 minute'",
        [LATE_AFTER_MINUTES],
    ).fetchall()
    for row in rows:
        name = row.pop("experiment_name")
        delivery = TrafficDelivery.of(row)
        _tell(
            connection,
            TrafficEvent.LATE,
            "critical",
            delivery,
            name,
            f"{name}: the decided traffic is not served yet",
            f"Decided {LATE_AFTER_MINUTES} minutes ago, tried {delivery.attempts} times:"
            f" {delivery.error or 'it was not tried yet: is the daemon up, and does it know the target?'}",
            f"See promotion-pipeline traffic, then {_command('retry', name)}.",
        )


def _tell(
    connection: Connection,
    event: TrafficEvent,
    level: Level,
    delivery: TrafficDelivery,
    name: str,
    title: str,
    message: str,
    next_step: str,
    moment: datetime | None = None,
) -> None:
    words = OwnWords(title=title, message=(message,), next_step=next_step)
    payload = {"experiment_name": name, **words.stored()}
    # Each conflict is told: what somebody changed after a person settled the first one is another.
    key = f"{event.value}:{delivery.id}" + (f":{delivery.attempts}" if event is TrafficEvent.CONFLICT else "")
    key += "" if moment is None else f":{moment.isoformat()}"
    enqueue(connection, event.value, level, delivery.experiment_id, delivery.promotion_id, key, payload)


def _enqueue(
    connection: Connection,
    event: TrafficEvent,
    level: Level,
    experiment: Served,
    title: str,
    message: str,
    next_step: str,
    since: datetime,
) -> None:
    words = OwnWords(title=f"{experiment.name}: {title}", message=(message,), next_step=next_step)
    payload = {"experiment_name": experiment.name, **words.stored()}
    key = f"{event.value}:{experiment.id}:{since.isoformat()}"
    enqueue(connection, event.value, level, experiment.id, None, key, payload)


def _command(verb: str, name: str | None = None) -> str:
    return f"promotion-pipeline traffic {verb}" + ("" if name is None else f" {shlex.quote(name)}")
