"""Checks of the channels, and of what waits in them."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline.doctor.findings import CheckOutcome, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels import Channel
from promotion_pipeline.notifications.deliver import senders_of
from promotion_pipeline.notifications.mail import encrypts_from_the_start

ANSWER_SECONDS = 5.0
OLDEST_WAITING = timedelta(minutes=30)
SWITCHES = {
    Channel.SLACK: "AUTO_PROMOTION_SLACK_TOKEN",
    Channel.PAGERDUTY: "AUTO_PROMOTION_PAGERDUTY_ROUTING_KEY",
    Channel.EMAIL: "AUTO_PROMOTION_SMTP_HOST and AUTO_PROMOTION_EMAIL_TO",
}
LIST = "promotion-pipeline notifications list"


def slack(subject: Subject) -> CheckOutcome:
    """Whether Slack knows the token."""
    return _channel(subject, Channel.SLACK, "export AUTO_PROMOTION_SLACK_TOKEN=xoxb-...  (a bot token with chat:write)")


def pagerduty(subject: Subject) -> CheckOutcome:
    """Whether PagerDuty can be reached."""
    return _channel(subject, Channel.PAGERDUTY, "promotion-pipeline notifications test --channel pagerduty")


def email(subject: Subject) -> CheckOutcome:
    """Whether the mail server lets us in."""
    settings = subject.settings
    is_local = settings.smtp_host in {"127.0.0.1", "localhost", "::1"}
    if settings.smtp_user and not (settings.smtp_starttls or encrypts_from_the_start(settings) or is_local):
        return problem("the mail password would travel in the clear", "export AUTO_PROMOTION_SMTP_STARTTLS=true")
    return _channel(subject, Channel.EMAIL, "promotion-pipeline notifications test --channel email")


def _channel(subject: Subject, channel: Channel, fix: str) -> CheckOutcome:
    for sender in senders_of(subject.settings, ANSWER_SECONDS, [channel]):
        try:
            return ok(sender.probe())
        except DependencyError as error:
            return problem(str(error), fix)
        finally:
            sender.close()
    return ok(f"off; {SWITCHES[channel]} switches it on")


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
