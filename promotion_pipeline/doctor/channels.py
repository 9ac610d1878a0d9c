"""Checks of the channels, and of what waits in them."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline.doctor.findings import CheckOutcome, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels.port import Channel

ANSWER_SECONDS = 5.0
OLDEST_WAITING = timedelta(minutes=30)
LIST = "promotion-pipeline notifications list"


def reaches(channel: Channel, subject: Subject) -> CheckOutcome:
    """Whether a channel lets us in."""
    settings = subject.settings
    mistake = channel.mistake(settings)
    if mistake is not None:
        return problem(*mistake)
    if not channel.is_on(settings):
        return ok(f"off; {channel.switch} switches it on")
    sender = channel.open(settings, ANSWER_SECONDS)
    try:
        return ok(sender.probe())
    except DependencyError as error:
        return problem(str(error), channel.fix or f"promotion-pipeline notifications test --channel {channel}")
    finally:
        sender.close()


def deliveries(subject: Subject) -> CheckOutcome:
    """Whether everything that people are to be told gets through."""
    row = subject.database.execute(
        """
        SELECT count(*) FILTER (WHERE state = 'dead') AS dead,
            count(*) FILTER (WHERE state = 'uncertain' AND next_attempt_at IS NULL) AS held,
            count(*) FILTER (WHERE state = 'pending' AND o.created_at < now() - %(oldest)s) AS stuck,
            (SELECT count(*) FROM notification_outbox
                WHERE fanned_out_at IS NULL AND created_at < now() - %(oldest)s) AS unrouted
        FROM notification_deliveries d JOIN notification_outbox o ON o.id = d.outbox_id WHERE d.state <> 'delivered'
        """,
        {"oldest": OLDEST_WAITING},
    ).fetchone()
    assert row is not None
    if row["dead"]:
        return problem(f"{row['dead']} notifications were given up", "promotion-pipeline notifications replay --all")
    if row["held"]:
        return problem(
            f"{row['held']} notifications may have arrived: a person has to look", f"{LIST} --state uncertain"
        )
    if row["unrouted"]:
        return problem(
            f"{row['unrouted']} notifications wait for a delivery run", "promotion-pipeline notifications deliver"
        )
    if row["stuck"]:
        return problem(f"{row['stuck']} notifications do not get through", f"{LIST} --state pending")
    return ok("nothing is stuck")
