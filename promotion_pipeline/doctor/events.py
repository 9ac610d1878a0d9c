"""Checks of the events that stated metrics are made of."""

from __future__ import annotations

from promotion_pipeline.doctor.findings import CheckOutcome, listed, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.rollups.metrics.readable import events_problem


def readable(subject: Subject) -> CheckOutcome:
    """Whether `ai_events` can be read, where a running experiment has a metric of events."""
    names = _stated_by(subject)
    if not names:
        return ok("no running experiment has a metric of events")
    found = events_problem(subject.database)
    if found is None:
        return ok(f"ai_events can be read; {len(names)} running experiments have metrics of it")
    said, _, advice = found.partition(": ")
    return problem(
        f"ai_events cannot be used: {said}; metrics of events of {listed(names)} are not measured, and their"
        " guardrails not kept",
        advice or "see the table ai_events in docs/reference/tables.md",
    )


def _stated_by(subject: Subject) -> list[str]:
    rows = subject.database.execute(
        "SELECT experiment.name FROM ab_experiments AS experiment"
        " JOIN ab_experiment_phases AS phase ON phase.experiment_id = experiment.id AND phase.ended_at IS NULL"
        " WHERE experiment.is_active AND phase.fixed <> '{}' AND jsonb_path_exists(phase.fixed, '$.*.event')"
        " ORDER BY experiment.name"
    ).fetchall()
    return [str(row["name"]) for row in rows]
