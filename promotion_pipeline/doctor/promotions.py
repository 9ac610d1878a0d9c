"""Checks of what is promoted: is any winner worse, any split changed, anything unseen."""

from __future__ import annotations

from promotion_pipeline.doctor.findings import CheckOutcome, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.promotion.record.watched import AlarmKind
from promotion_pipeline.promotion.watch.alarms import alarms_in
from promotion_pipeline.promotion.watch.look import look
from promotion_pipeline.promotion.watch.rules import WatchStatus


def promotions(subject: Subject) -> CheckOutcome:
    """Whether an alarm about a live promotion is open; the worst is named, with the command that ends it."""
    alarms = [alarm for of_one in alarms_in(subject.database).values() for alarm in of_one]
    if not alarms:
        return ok("no winner is worse than when it was promoted, and every split is the one that was set")
    first = min(alarms, key=lambda alarm: (list(AlarmKind).index(alarm.kind), alarm.since))
    more = f" (and {len(alarms) - 1} more: promotion-pipeline check)" if len(alarms) > 1 else ""
    return problem(f"{first.experiment_name!r} is {first.sentence}{more}", first.commands[0])


def watch(subject: Subject) -> CheckOutcome:
    """Whether the watch can see what it has to: a look of its own, that changes nothing."""
    looks = [one for one in look(subject.opened) if one.is_watched]
    if not looks:
        return ok("nothing is watched: no promotion of the last days")
    blind = [one for one in looks if one.blind is not None]
    if blind:
        name, said = blind[0].promotion.experiment_name, blind[0].blind
        more = f" (and {len(blind) - 1} more)" if len(blind) > 1 else ""
        return problem(
            f"{name!r} cannot be watched: {said}{more}",
            "log the winner's requests with the experiment and variant, then: promotion-pipeline watch",
        )
    few = [one for one in looks if one.status is WatchStatus.UNMEASURED]
    if few:
        return ok(
            f"{len(looks)} promotions are watched; {len(few)} cannot be measured yet"
            f" ({few[0].promotion.experiment_name!r}: {few[0].message})"
        )
    return ok(f"{len(looks)} promotions are watched and measured")
