"""Notifications about the system itself: failed runs, and what an hour decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.labels import RECORD, record_label
from promotion_pipeline.notifications.channels.registry import configured_channels
from promotion_pipeline.notifications.events import SystemEvent
from promotion_pipeline.notifications.message import shortened
from promotion_pipeline.notifications.payload import RunFailurePayload, RunRecoveredPayload, SummaryPayload, SummaryRow
from promotion_pipeline.notifications.routing import channels_for
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.outbox import enqueue

LONGEST_ERROR = 600
MOST_ROWS = 50
SUMMARY_IS_NEWS_FOR = timedelta(hours=3)
"""An hour that was decided later than this is not news any more: catching up floods no inbox."""


def enqueue_run_failure(
    store: Store, *, job: str, run_id: str, root_run_id: str, error: str, step: str | None = None, attempts: int = 1
) -> bool:
    """Tell people that a run failed for good; False if they were told of it, or of the run that it retried.

    Args:
        store: where the outbox is.
        job: its name; failures of one job are one incident.
        run_id: the run that failed last.
        root_run_id: the first of the runs that were tried.
        error: its message; secrets of the settings are taken out.
        step: the step that failed.
        attempts: how often it was tried.

    Raises:
        DependencyError: the database cannot be reached.
    """
    payload = RunFailurePayload(
        job=job,
        run_id=run_id,
        step=step or "",
        attempts=attempts,
        error=shortened(scrubbed(" ".join(error.split()), store.settings), LONGEST_ERROR),
    )
    with store.connect() as connection, connection.transaction():
        key = f"run_failure:{root_run_id}"
        return enqueue(connection, SystemEvent.RUN_FAILURE, "warning", None, None, key, payload.stored())


def enqueue_run_recovery(store: Store, *, job: str, run_id: str) -> bool:
    """Tell people that a job works again; False where nobody was told that it did not.

    Raises:
        DependencyError: the database cannot be reached.
    """
    with store.connect() as connection, connection.transaction():
        last = connection.execute(
            "SELECT id, event FROM notification_outbox WHERE event IN ('run_failure', 'run_recovered')"
            " AND payload ->> 'job' = %s ORDER BY id DESC LIMIT 1",
            [job],
        ).fetchone()
        if last is None or last["event"] != SystemEvent.RUN_FAILURE:
            return False
        payload = RunRecoveredPayload(job=job, run_id=run_id)
        key = f"run_recovered:{last['id']}"
        return enqueue(connection, SystemEvent.RUN_RECOVERED, "info", None, None, key, payload.stored())


def enqueue_summary(store: Store, settings: Settings | None = None) -> bool:
    """Write the summary of the newest decided hour, if a channel for it is on and it was not written yet.

    AUTO_PROMOTION_SUMMARY_HOURS says how many hours one summary covers; 0 writes none.

    Raises:
        DependencyError: the database cannot be reached.
    """
    settings = settings or store.settings
    with store.connect() as connection, connection.transaction():
        as_of = summary_due(connection, settings)
        if as_of is None:
            return False
        label = record_label(settings)
        payload = _summary(connection, label, as_of, _since(connection, timedelta(hours=settings.summary_hours)))
        key = _summary_key(label, as_of)
        return enqueue(connection, SystemEvent.HOURLY_SUMMARY, "info", None, None, key, payload.stored())


def summary_due(connection: Connection, settings: Settings) -> datetime | None:
    """The as-of whose summary is to be written; None: there is none, or nobody wants it."""
    hours = settings.summary_hours
    if hours == 0 or not channels_for(SystemEvent.HOURLY_SUMMARY, "info", configured_channels(settings)):
        return None
    label = record_label(settings)
    as_of = _newest_decided(connection, label)
    if as_of is None or as_of.hour % hours:
        return None
    written = connection.execute("SELECT 1 FROM notification_outbox WHERE dedup_key = %s", [_summary_key(label, as_of)])
    return None if written.fetchone() else as_of


def _summary_key(label: str, as_of: datetime) -> str:
    return f"summary:{as_of.isoformat()}" if label == RECORD else f"summary:{label}:{as_of.isoformat()}"


def _newest_decided(connection: Connection, label: str) -> datetime | None:
    """The as-of of the newest decisions of record, unless it is old news."""
    row = connection.execute(
        "SELECT max(as_of) AS as_of FROM eligibility_decisions"
        " WHERE label = %s AND hour >= now() - %s AND as_of <= now()",
        [label, SUMMARY_IS_NEWS_FOR],
    ).fetchone()
    return row["as_of"].astimezone(UTC) if row and row["as_of"] else None


def _since(connection: Connection, span: timedelta) -> datetime:
    """Since when a summary tells what happened: since the one before, so that nothing is told twice or left out."""
    row = connection.execute(
        "SELECT coalesce((SELECT max(created_at) FROM notification_outbox WHERE event = 'hourly_summary'"
        " AND created_at > now() - %(far)s), now() - %(span)s) AS since",
        {"span": span, "far": span + SUMMARY_IS_NEWS_FOR},
    ).fetchone()
    assert row is not None
    since: datetime = row["since"]
    return since


def _promoted(connection: Connection, since: datetime) -> list[str]:
    """What was promoted, and what it was promoted to."""
    rows = connection.execute(
        "SELECT experiment_name, promoted_variant_name FROM experiment_promotions"
        " WHERE state <> 'shadow' AND promoted_at > %s ORDER BY promoted_at LIMIT %s",
        [since, MOST_ROWS],
    ).fetchall()
    return [f"{row['experiment_name']} ({row['promoted_variant_name']})" for row in rows]


def _summary(connection: Connection, label: str, as_of: datetime, since: datetime) -> SummaryPayload:
    counts = connection.execute(
        """
        SELECT count(*) AS evaluated, count(*) FILTER (WHERE is_eligible) AS eligible,
            count(*) FILTER (WHERE verdict IN ('inconclusive', 'error')) AS not_judged,
            (SELECT count(*) FROM experiment_promotions WHERE state <> 'shadow' AND promoted_at > %(since)s)
                AS promoted,
            (SELECT count(*) FROM experiment_promotions WHERE rollback_at > %(since)s) AS rolled_back,
            (SELECT count(*) FROM promotion_approvals WHERE state = 'awaiting_approval' AND expires_at > now())
                AS waiting
        FROM eligibility_decisions WHERE as_of = %(as_of)s AND label = %(label)s
        """,
        {"as_of": as_of, "since": since, "label": label},
    ).fetchone()
    assert counts is not None
    rows = connection.execute(
        """
        SELECT e.name AS experiment, d.verdict, d.candidate_variant_name AS candidate, d.improvement, d.confidence,
            d.sample_size
        FROM eligibility_decisions d JOIN ab_experiments e ON e.id = d.experiment_id
        WHERE d.as_of = %s AND d.label = %s
        ORDER BY array_position(ARRAY['eligible', 'error', 'rejected', 'inconclusive', 'not_yet'], d.verdict),
            d.confidence DESC NULLS LAST, e.name
        LIMIT %s
        """,
        [as_of, label, MOST_ROWS],
    ).fetchall()
    return SummaryPayload(
        **counts,
        promoted_names=tuple(_promoted(connection, since)),
        as_of=as_of,
        experiments=tuple(SummaryRow.read(row).stored() for row in rows),
        is_cut=counts["evaluated"] > len(rows),
    )
