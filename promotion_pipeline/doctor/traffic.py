"""Checks of what serves the traffic: can each target be read, and is everything that is decided served."""

from __future__ import annotations

from collections import Counter

from promotion_pipeline.doctor.findings import CheckOutcome, listed, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.statements import statements
from promotion_pipeline.traffic.comparing import Compared, read_compared
from promotion_pipeline.traffic.reading import Question, read_targets
from promotion_pipeline.traffic.splits import traffic_splits
from promotion_pipeline.traffic.targets.configured import TargetKind
from promotion_pipeline.traffic.targets.registry import missing_settings

LIST = "promotion-pipeline traffic --read"
READ_SECONDS = 20.0
_SQL = statements(__file__)


def target(kind: TargetKind, subject: Subject) -> CheckOutcome | None:
    """Whether every experiment that this kind of target serves can be read there; None: it serves none."""
    found = [one for one in read_compared(subject.database) if one.kind is kind]
    if not found:
        return None
    if not found[0].is_elsewhere:
        return ok(f"{len(found)} experiments, served from our own tables")
    missing = missing_settings(kind, subject.settings)
    if missing is not None:
        return problem(f"{listed(_names(found))}: what is decided cannot be brought there", f"set {missing}")
    questions = [Question(one.experiment, one.named(one.wanted)) for one in found if one.wanted is not None]
    answers = read_targets(questions, subject.settings, READ_SECONDS)
    unread = {
        one.experiment.name: answer.unread
        for one in found
        if (answer := answers.get(one.experiment.id)) is not None and answer.unread is not None
    }
    if unread:
        name, why = next(iter(unread.items()))
        more = f" (and {len(unread) - 1} more of {len(found)})" if len(unread) > 1 else ""
        return problem(f"{name!r}: {why}{more}", LIST)
    return ok(f"{len(found)} experiments, each can be read")


def targets(subject: Subject) -> CheckOutcome:
    """Whether each `traffic_target` is one, and serves one experiment only."""
    found = read_compared(subject.database)
    for one in found:
        try:
            _ = one.experiment.target
        except ConfigError as error:
            return problem(str(error), "correct ab_experiments.traffic_target")
    row = subject.database.execute(_SQL["shared_places"]).fetchone()
    if row is not None:
        return problem(
            f"{row['first']!r} and {row['second']!r} are served in the same place: each would overwrite the other",
            "give one of them a flag of its own, or stop it",
        )
    kinds = Counter(str(one.kind) for one in found)
    return ok(", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items())) or "no experiment runs")


def deliveries(subject: Subject) -> CheckOutcome:
    """Whether everything that is decided is served and observed."""
    stuck = [split for split in traffic_splits(subject.database) if not split.is_well]
    if not stuck:
        return ok("what is decided is served")
    first = stuck[0]
    more = f" (and {len(stuck) - 1} more)" if len(stuck) > 1 else ""
    said = f"{first.experiment_name!r}: {first.state or first.target}: {first.sentence}{more}"
    return problem(said, " or ".join(first.commands))


def _names(found: list[Compared]) -> list[str]:
    return [one.experiment.name for one in found]
