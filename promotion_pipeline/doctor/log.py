"""Checks of the log of the requests, wherever it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from promotion_pipeline.doctor.findings import CheckOutcome, advice, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.rollups import log_name, open_log
from promotion_pipeline.rollups.log_gaps import gap_sentence, log_gaps
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import instant_text

SILENT_HOURS = 2
"""Hours without a request after which a log that somebody should write is silent."""
MAP_IT = "name it under [columns] in the file of AUTO_PROMOTION_SOURCE"


def newest(subject: Subject) -> CheckOutcome:
    """Whether the log can be reached, and how old its newest request is."""
    with open_log(subject.opened) as log:
        found = log.newest_request()
        name = log.name
    running = _oldest_running(subject) is not None
    if found is None:
        if running:
            return problem(f"{name} can be reached and is empty, but experiments run", f"write requests to {name}")
        return ok(f"{name} can be reached and is empty; no experiment runs")
    age_hours = (database_now(subject.database) - found) / HOUR
    said = f"{name} can be reached; its newest request is of {instant_text(found)}"
    if running and age_hours > SILENT_HOURS:
        return problem(
            f"{said}, {age_hours:,.1f} hours ago, but experiments run", f"see what writes requests to {name}"
        )
    return ok(said)


def columns(subject: Subject) -> CheckOutcome:
    """Whether the log has what is decided on."""
    with open_log(subject.opened) as log:
        found, name = log.columns(), log.name
    there = ", ".join(
        ours if ours == theirs else f"{ours} = {theirs!r}" for ours, theirs in found.items() if theirs is not None
    )
    missing = [ours for ours, theirs in found.items() if theirs is None]
    if "is_error" in missing:
        return problem(
            f"{name} does not say which requests failed: errors are not measured, and nothing is eligible",
            f'{MAP_IT}, for example is_error = "not ok"; or is_error = "never" where nothing can fail',
        )
    if "user_id" in missing:
        return advice(f"{name} names no user: numbers are surer than they should be ({there})", f"user_id: {MAP_IT}")
    return ok(f"{name} has {there}" + (f"; not {', '.join(missing)}" if missing else ""))


def kept_since(subject: Subject) -> CheckOutcome:
    """Whether the log reaches back to the start of what runs, and has what was counted."""
    with open_log(subject.opened) as log:
        ends, name = log.ends(), log.name
    gaps = log_gaps(subject.database)
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        return problem(
            f"{gaps[0].experiment_name!r}: {gap_sentence(gaps[0])}{more}",
            f"put back what {name} has lost; until then nothing of it is promoted unattended",
        )
    if ends is None:
        return ok(f"{name} is empty")
    oldest, said = _oldest_running(subject), f"{name} is kept since {instant_text(ends[0])}"
    first = subject.database.execute(
        "SELECT min(rollup.hour) AS hour FROM hourly_variant_rollups AS rollup"
        " JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id"
        " JOIN ab_experiments AS experiment ON experiment.id = rollup.experiment_id"
        " WHERE phase.ended_at IS NULL AND phase.is_running AND rollup.requests > 0"
        " AND experiment.rollup_source = 'requests'"
    ).fetchone()
    counted = first["hour"] if first is not None else None
    if oldest is not None and counted is not None and ends[0] >= counted + HOUR and not _dropped(subject):
        return problem(
            f"{said}, but requests of {instant_text(counted)} were counted for an experiment that still runs",
            f"keep {name} as long as the longest experiment; what was counted stays",
        )
    return ok(said)


def files(subject: Subject) -> CheckOutcome:
    """Whether files of the last hour are there, and every file can be read."""
    end = newest_complete_hour(subject.database)
    with open_log(subject.opened) as log:
        found, name = log.files_of(end - HOUR, end), log.name
        broken = log.unreadable(end - timedelta(days=400), end + HOUR)
    if found is None:
        return ok(f"{name} is a table, or files that only its engine can see")
    if broken:
        return problem(
            f"{len(broken)} files of {name} cannot be read, the first is {broken[0].name}: {broken[0].why}",
            f"write {Path(broken[0].name).name} again, or move it away",
        )
    if not found and _oldest_running(subject) is not None:
        return problem(
            f"{name} has no file of the hour {instant_text(end - HOUR)}", f"see what writes the files of {name}"
        )
    return ok(f"{len(found)} files of {name} may hold requests of the hour {instant_text(end - HOUR)}; all can be read")


def _oldest_running(subject: Subject) -> object:
    row = subject.database.execute(
        "SELECT min(phase.started_at) AS at FROM ab_experiment_phases AS phase"
        " JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id"
        " WHERE phase.ended_at IS NULL AND phase.is_running AND experiment.rollup_source = 'requests'"
        " AND phase.started_at < now() - interval '1 hour'"
    ).fetchone()
    return None if row is None else row["at"]


def _dropped(subject: Subject) -> bool:
    """Whether the product itself drops old days: what it drops was counted."""
    return log_name(subject.settings) == "ai_requests" and subject.settings.keep_requests_days is not None
