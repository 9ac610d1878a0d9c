"""Checks of what serves the traffic: can each target be read, and is everything that is decided served."""

from __future__ import annotations

from promotion_pipeline.doctor.findings import CheckOutcome, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import ConfigError, TargetError
from promotion_pipeline.traffic.deliveries import Served, served_experiment
from promotion_pipeline.traffic.splits import traffic_splits
from promotion_pipeline.traffic.targets.configured import TrafficTarget, kind_of
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE, opened_target

LIST = "promotion-pipeline traffic"
_PLACE = ("kind", "project", "feature", "environment", "strategy_id", "flag", "url")


def targets(subject: Subject) -> CheckOutcome:
    """Whether what each experiment's `traffic_target` names can be read, and serves one running experiment only."""
    rows = subject.database.execute(
        "SELECT id, name::text FROM ab_experiments WHERE traffic_target IS NOT NULL AND is_active ORDER BY name"
    ).fetchall()
    places: dict[str, str] = {}
    for row in rows:
        experiment = served_experiment(subject.database, row["id"])
        try:
            target = experiment.target
            if kind_of(target) not in SERVED_FROM_OUR_DATABASE:
                _read(experiment, target, subject)
        except ConfigError as error:
            return problem(str(error), "correct ab_experiments.traffic_target")
        except TargetError as error:
            return problem(f"{row['name']!r}: {error}", LIST)
        place = str([getattr(target, name, None) for name in _PLACE])
        if place in places and kind_of(target) != "table":
            return problem(
                f"{places[place]!r} and {row['name']!r} are served by the same {target.kind} flag: each would overwrite"
                " the other",
                "give one of them a flag of its own, or stop it",
            )
        places[place] = row["name"]
    return ok(f"{len(rows)} running experiments name a target, and each can be read" if rows else "all from our table")


def deliveries(subject: Subject) -> CheckOutcome:
    """Whether everything that is decided is served."""
    stuck = [split for split in traffic_splits(subject.database) if not split.is_well]
    if not stuck:
        return ok("what is decided is served")
    first = stuck[0]
    more = f" (and {len(stuck) - 1} more)" if len(stuck) > 1 else ""
    return problem(
        f"{first.experiment_name!r}: {first.state or first.target}: {first.error or 'not tried yet'}{more}", LIST
    )


def _read(experiment: Served, target: TrafficTarget, subject: Subject) -> None:
    names = list(experiment.names.values())
    with opened_target(target, subject.settings, experiment.name, names, "doctor") as opened:
        opened.read()
