"""Checks of the data: is it decided, complete, and do the experiments make sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from promotion_pipeline.config import thresholds_in_force
from promotion_pipeline.decisions.deployments import second_deployment
from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.decisions.phases import unnoted_experiments
from promotion_pipeline.doctor.findings import CheckOutcome, listed, ok, problem, sql_command, sql_text
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups import incomplete_phases, landed
from promotion_pipeline.rollups.conservation import unbalanced_hours
from promotion_pipeline.rollups.metrics.unusable import unusable_events_since
from promotion_pipeline.rollups.postgresql.unusable import unusable_since
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.windows import HOUR
from promotion_pipeline.text.numbers import instant_text

DAY = timedelta(hours=24)
MINUTES_TO_DECIDE = 15
"""Minutes after the schedule's minute until which the hour just over may be undecided."""
LOST_WINDOW = timedelta(hours=24)
"""How far beyond the look-back late rows are looked for."""
ROLL_UP_AGAIN = (
    "dagster asset materialize -m promotion_pipeline.definitions --select hourly_variant_rollups --partition-range"
)


def last_hour(subject: Subject) -> CheckOutcome:
    """Whether the newest complete hour was decided."""
    row = subject.database.execute(
        """
        SELECT count(*) AS running,
            (SELECT max(as_of) FROM eligibility_decisions WHERE label = %s) AS decided_to
        FROM ab_experiments WHERE is_active AND start_date < date_trunc('hour', now(), 'UTC') - interval '1 hour'
        """,
        [record_label(subject.settings)],
    ).fetchone()
    assert row is not None
    if not row["running"]:
        return ok("no experiment runs")
    complete = newest_complete_hour(subject.database)
    now = database_now(subject.database)
    minutes = subject.settings.schedule_minute + MINUTES_TO_DECIDE
    due = complete - HOUR if now - complete < timedelta(minutes=minutes) else complete
    if row["decided_to"] is None:
        return problem(f"{row['running']} experiments run and nothing was ever decided", _evaluate(due))
    decided_to = row["decided_to"].astimezone(UTC)
    if decided_to < due:
        landing = landed(subject.opened, due, now)
        if decided_to >= landing.end:
            return ok(f"decided up to {instant_text(decided_to)}; {landing.sentence}")
        hours = (due - decided_to) // HOUR
        return problem(
            f"decided up to {instant_text(decided_to)} only, {hours} hours are missing", "promotion-pipeline dev"
        )
    return ok(f"decided up to {instant_text(decided_to)}")


def _evaluate(due: datetime) -> str:
    return f"promotion-pipeline dev  (decides up to {instant_text(due)} and every hour from then on)"


def late_rows(subject: Subject) -> CheckOutcome:
    """Rows that came after the last time that their hour was looked at, and rows from the future."""
    lookback = timedelta(hours=subject.settings.lookback_hours)
    end = newest_complete_hour(subject.database) - lookback
    future = subject.database.execute(
        "SELECT max(created_at) AS newest FROM promotion_pipeline_requests"
        " WHERE created_at > now() + interval '5 minutes'"
    ).fetchone()
    if future is not None and future["newest"] is not None:
        remove = sql_command("DELETE FROM ai_requests WHERE created_at > now()")
        return problem(
            f"there are requests from the future, up to {instant_text(future['newest'])}: the application's clock or"
            " time zone is wrong",
            f"{remove}  (after the application's clock is right)",
        )
    lost = unbalanced_hours(subject.opened, end - LOST_WINDOW, end)
    if lost:
        late = sum(max(hour.source_requests - hour.counted_requests, 0) for hour in lost)
        gone = sum(max(hour.counted_requests - hour.source_requests, 0) for hour in lost)
        wider = max(subject.settings.lookback_hours, 24) * 2
        window = f"{lost[0].hour:%Y-%m-%d-%H:%M}...{lost[-1].hour:%Y-%m-%d-%H:%M}"
        said = _said_of_lost(late, gone, len(lost), subject.settings.lookback_hours)
        wider_from_now_on = f"  (and from now on: export AUTO_PROMOTION_LOOKBACK_HOURS={wider})" if late else ""
        return problem(said, f"{ROLL_UP_AGAIN} {window}{wider_from_now_on}")
    return ok(f"every row older than {subject.settings.lookback_hours} hours is counted; newer ones are read again")


def _said_of_lost(late: int, gone: int, hours: int, lookback_hours: int) -> str:
    """What is said of hours beyond the look-back whose sums are not those of their rows."""
    what = []
    if late:
        what.append(f"{late:,} rows came more than {lookback_hours} hours late and count nowhere")
    if gone:
        what.append(f"{gone:,} rows that were counted are not in the log any more (deleted, or left out by `exclude`)")
    if not what:
        what.append("the sums are not those of the rows")
    return f"in {hours} hours, {' and '.join(what)}"


def usable_numbers(subject: Subject) -> CheckOutcome:
    """Whether every latency and value of the newest day can be summed up; what cannot is left out of the sums."""
    since = newest_complete_hour(subject.database) - DAY
    found = [one.sentence for one in unusable_since(subject.database, since)] + [
        f"{one.experiment_name}: {one.values:,} values of events of metric {one.metric!r} cannot be used and are"
        " left out"
        for one in unusable_events_since(subject.database, since, database_now(subject.database))
    ]
    if not found:
        return ok(f"every latency_ms and value since {instant_text(since)} can be used")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return problem(
        f"since {instant_text(since)}, {found[0]}{more}",
        "see what writes them: latency_ms is 0 or more, values are finite and below 1e100, or null",
    )


def complete(subject: Subject) -> CheckOutcome:
    """Whether every running experiment is judged on all its data: its requests in the log against those in its sums."""
    until = newest_complete_hour(subject.database) - timedelta(hours=subject.settings.lookback_hours)
    found = incomplete_phases(subject.opened, subject.database, until)
    if not found:
        return ok("the sums of every running experiment are those of its requests")
    rows = subject.database.execute(
        "SELECT id, name FROM ab_experiments WHERE id = ANY(%s)", [[one.experiment_id for one in found]]
    ).fetchall()
    names = {row["id"]: row["name"] for row in rows}
    worst = found[0]
    window = f"--from {worst.since.astimezone(UTC):%Y-%m-%dT%H:00Z} --roll-up"
    return problem(
        f"{listed([names[one.experiment_id] for one in found])} not promoted unattended"
        f" ({names[worst.experiment_id]!r}: {worst.sentence})",
        f"promotion-pipeline evaluate {window}  (the hourly run adds what came late; what is gone it leaves counted)",
    )


def splits(subject: Subject) -> CheckOutcome:
    """Whether every running experiment hands out all of its traffic."""
    rows = subject.database.execute(
        """
        SELECT e.name, sum(v.traffic_percentage::numeric) AS total
        FROM ab_experiments e JOIN ab_variants v ON v.experiment_id = e.id
        WHERE e.is_active AND e.start_date IS NOT NULL GROUP BY e.id, e.name
        HAVING abs(sum(v.traffic_percentage::numeric) - 100) > 0.05
        ORDER BY e.name
        """
    ).fetchall()
    if not rows:
        return ok("every running experiment's split sums to 100")
    name, total = rows[0]["name"], rows[0]["total"]
    said = f"the split of {listed([row['name'] for row in rows])} does not sum to 100 ({name!r}: {total})"
    share = f"round(100 * v.traffic_percentage::numeric / {total}, 2)" if total else "50"
    statement = (
        f"UPDATE ab_variants v SET traffic_percentage = {share}"
        f" FROM ab_experiments e WHERE e.id = v.experiment_id AND e.name = {sql_text(name)}"
    )
    return problem(said, f"{sql_command(statement)}  (or with the shares that you mean)")


def controls(subject: Subject) -> CheckOutcome:
    """Whether every running experiment has one control and a treatment."""
    rows = subject.database.execute(
        """
        SELECT e.name, count(v.id) AS variants, count(v.id) FILTER (WHERE v.is_control) AS controls
        FROM ab_experiments e LEFT JOIN ab_variants v ON v.experiment_id = e.id
        WHERE e.is_active AND e.start_date IS NOT NULL GROUP BY e.id, e.name
        HAVING count(v.id) FILTER (WHERE v.is_control) <> 1 OR count(v.id) < 2 ORDER BY e.name
        """
    ).fetchall()
    if not rows:
        return ok("every running experiment has one control and a treatment")
    first = rows[0]
    said = (
        f"{listed([row['name'] for row in rows])} cannot be judged ({first['name']!r}: {first['controls']} controls"
        f" among {first['variants']} variants)"
    )
    statement = (
        "UPDATE ab_variants v SET is_control = (v.name = 'control') FROM ab_experiments e"
        f" WHERE e.id = v.experiment_id AND e.name = {sql_text(first['name'])}"
    )
    return problem(said, f"{sql_command(statement)}  (with the name of its control variant)")


def deployments(subject: Subject) -> CheckOutcome:
    """Whether one deployment alone acts on this database."""
    said = second_deployment(subject.database)
    if said is None:
        return ok("no second deployment acts with other thresholds")
    return problem(
        said, "export AUTO_PROMOTION_MODE=shadow  (in the one that shall not act; or give both the same thresholds)"
    )


def phases(subject: Subject) -> CheckOutcome:
    """Whether what is measured is what the experiments' tables say."""
    unnoted = unnoted_experiments(subject.database)
    rows = subject.database.execute(
        "SELECT name FROM ab_experiments WHERE id = ANY(%s) AND is_active ORDER BY name", [list(unnoted)]
    ).fetchall()
    if not rows:
        return ok("every running experiment is measured on the split that its tables say")
    names = [row["name"] for row in rows]
    return problem(
        f"{listed(names)} {'was' if len(names) == 1 else 'were'} changed past the database's triggers (logical"
        " replication, a restore, session_replication_role): nothing is promoted on what was measured before",
        "promotion-pipeline auto-check  (or wait for the hourly run: both measure anew from then on)",
    )


def thresholds(subject: Subject) -> CheckOutcome:
    """Whether every running experiment's own thresholds can be read."""
    rows = subject.database.execute(
        "SELECT name, promotion_config FROM ab_experiments"
        " WHERE is_active AND promotion_config IS NOT NULL AND promotion_config <> '{}' ORDER BY name"
    ).fetchall()
    bad: dict[str, str] = {}
    for row in rows:
        try:
            thresholds_in_force(subject.settings.thresholds, row["promotion_config"])
        except ConfigError as error:
            bad[row["name"]] = str(error)
    if bad:
        name, said = next(iter(bad.items()))
        statement = f"UPDATE ab_experiments SET promotion_config = '{{}}' WHERE name = {sql_text(name)}"
        return problem(
            f"the thresholds of {listed(list(bad))} cannot be used ({name!r}: {said})",
            f"{sql_command(statement)}  (takes the defaults; or correct it)",
        )
    return ok(f"{len(rows)} running experiments have thresholds of their own, all valid")
