"""What the last step of the hourly run delivers, so that it takes no run of its own: splits and messages that are due.

Nothing here fails a run. What does not arrive is tried again by the runs that `promotion_sensor` and
`notification_sensor` start; those are also what delivers between the hours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dagster as dg

from promotion_pipeline.notifications import ChannelReport, DeliveryPolicy, DeliveryReport, deliver_everything
from promotion_pipeline.orchestration import names
from promotion_pipeline.promotion.act.serving import deliver_due
from promotion_pipeline.store.database import Store

BUDGET_SECONDS = 60.0
"""After that the hourly run takes no further message: its lane is the next hour's too."""


def bring_splits_to_targets(context: dg.AssetExecutionContext, store: Store) -> None:
    """Try once every split that is decided and not served."""
    with _for_later(context, names.SENSOR, "splits"):
        for delivery in deliver_due(store):
            said = f"traffic of {delivery.experiment_id}: {delivery.state.value}"
            context.log.info(f"{said}: {delivery.error}" if delivery.error else said)


def tell_people(context: dg.AssetExecutionContext, store: Store) -> None:
    """Send the summary of the hour and whatever else is due; a channel that hangs is left to its own thread."""
    with _for_later(context, names.DELIVERY_SENSOR, "messages"):
        report = deliver_everything(store, policy=DeliveryPolicy(budget_seconds=BUDGET_SECONDS))
        # What arrived is in the outbox; an event of the run is for what did not.
        if any(done.retried or done.uncertain or done.dead or done.error for done in report.channels.values()):
            log_report(context, report)


def log_report(context: dg.AssetExecutionContext | dg.OpExecutionContext, report: DeliveryReport) -> None:
    """A line for each channel that had something to send."""
    for channel, done in report.channels.items():
        if done == ChannelReport():
            continue
        said = f"{done.delivered} delivered, {done.retried} to try again, {done.uncertain} uncertain, {done.dead} dead"
        context.log.info(f"{channel}: {said}" + (f"; {done.error}" if done.error else ""))


@contextlib.contextmanager
def _for_later(context: dg.AssetExecutionContext, sensor: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The hour is decided. Whatever broke here is met again, and told, by a run that does nothing else.
        context.log.warning(f"{what} that are due were not delivered, {sensor} sees to it: {type(error).__name__}")
