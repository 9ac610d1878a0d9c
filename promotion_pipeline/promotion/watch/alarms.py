"""What is wrong with live promotions at this moment: the same list at every door, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from promotion_pipeline.promotion.record.experiments import experiments_named
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.promotion.record.watched import Alarm, AlarmKind, command
from promotion_pipeline.promotion.watch.drift import DRIFTED, drift_now
from promotion_pipeline.promotion.watch.look import Look
from promotion_pipeline.promotion.watch.state import OPEN, live_where
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store

ORDER = tuple(AlarmKind)


def open_alarms(store: Store | None = None) -> dict[UUID, tuple[Alarm, ...]]:
    """The alarms of every experiment that has any, by its id.

    Raises:
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        return alarms_in(connection)


def alarms_of(experiment_name: str, *, store: Store | None = None) -> tuple[Alarm, ...]:
    """What is wrong with the live promotion of one experiment.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [experiment_name])[0]
        return alarms_in(connection, [experiment.id]).get(experiment.id, ())


def alarms_in(connection: Connection, experiment_ids: Sequence[UUID] | None = None) -> dict[UUID, tuple[Alarm, ...]]:
    """The same over an open connection, of these experiments (None: of all); one short query where there is none."""
    found = live_where(connection, f"{OPEN} OR {DRIFTED}", experiment_ids)
    alarms = {promotion.experiment_id: _alarms(connection, promotion) for promotion in found}
    return {experiment_id: of_one for experiment_id, of_one in alarms.items() if of_one}


def _alarms(connection: Connection, promotion: Promotion) -> tuple[Alarm, ...]:
    alarms = [
        *_breach(promotion),
        *_drift(connection, promotion),
        *_blind(promotion),
    ]
    return tuple(sorted(alarms, key=lambda alarm: ORDER.index(alarm.kind)))


def _breach(promotion: Promotion) -> list[Alarm]:
    watch, name = promotion.watch, promotion.experiment_name
    if watch is None or watch.breach is None or watch.breached_at is None:
        return []
    message = f"{promotion.promoted_variant_name!r}: {watch.breach['message']}; {watch.breach['rollback']}"
    ways = (command("rollback", name, "--to control"), command("acknowledge", name))
    return [Alarm(experiment_name=name, kind=AlarmKind.BREACH, since=watch.breached_at, message=message, commands=ways)]


def _drift(connection: Connection, promotion: Promotion) -> list[Alarm]:
    name, drift = promotion.experiment_name, drift_now(connection, promotion)
    if drift is None:
        return []
    seen_at = None if promotion.watch is None else promotion.watch.drifted_at
    ways = (command("traffic overwrite", name), command("rollback", name, "--to close"))
    since = seen_at or database_now(connection)
    return [Alarm(experiment_name=name, kind=AlarmKind.DRIFT, since=since, message=drift, commands=ways)]


def _blind(promotion: Promotion) -> list[Alarm]:
    watch = promotion.watch
    if watch is None or watch.blind_told_at is None or watch.blind_since is None or watch.blind_because is None:
        return []
    ways = ("promotion-pipeline watch", "promotion-pipeline doctor")
    return [
        Alarm(
            experiment_name=promotion.experiment_name,
            kind=AlarmKind.BLIND,
            since=watch.blind_since,
            message=watch.blind_because,
            commands=ways,
        )
    ]


def fingerprint(alarms: Mapping[UUID, Sequence[Alarm]]) -> str:
    """Names the set of open alarms; empty: there is none."""
    return " ".join(
        sorted(f"{experiment}:{alarm.kind.value}" for experiment, of_one in alarms.items() for alarm in of_one)
    )


def standing(looks: Sequence[Look]) -> str:
    """The `fingerprint` of what looks found open, without asking again."""
    found = set()
    for look in looks:
        before = look.before
        holds = {
            AlarmKind.BREACH: before is not None and before.breached_at is not None,
            AlarmKind.DRIFT: look.drift is not None,
            AlarmKind.BLIND: before is not None and before.blind_told_at is not None,
        }
        found |= {f"{look.promotion.experiment_id}:{kind.value}" for kind, is_open in holds.items() if is_open}
    return " ".join(sorted(found))
