"""Opens what an experiment's `traffic_target` names: the one place that knows every kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import assert_never

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import TargetError
from promotion_pipeline.traffic.targets.configured import (
    FlagdTarget,
    OfrepTarget,
    TableTarget,
    TargetKind,
    TrafficTarget,
    UnleashTarget,
    WebhookTarget,
)
from promotion_pipeline.traffic.targets.port import Target
from promotion_pipeline.traffic.targets.unleash import Unleash
from promotion_pipeline.traffic.targets.webhook import Webhook

SERVED_FROM_OUR_DATABASE = frozenset({TargetKind.TABLE, TargetKind.FLAGD, TargetKind.OFREP})
"""Kinds that read our own tables: the transaction of the act is the delivery."""


def missing_settings(kind: str, settings: Settings) -> str | None:
    """The variables that this process lacks to reach targets of a kind; None: it has them."""
    if kind == TargetKind.UNLEASH and (settings.unleash_url is None or settings.unleash_token is None):
        return "AUTO_PROMOTION_UNLEASH_URL and AUTO_PROMOTION_UNLEASH_TOKEN"
    if kind == TargetKind.WEBHOOK and settings.traffic_webhook_secret is None:
        return "AUTO_PROMOTION_TRAFFIC_WEBHOOK_SECRET"
    return None


@contextlib.contextmanager
def opened_target(
    configured: TrafficTarget, settings: Settings, experiment_name: str, names: Sequence[str], message_id: str
) -> Iterator[Target]:
    """The target, connected while the context lasts.

    Args:
        names: of the experiment's variants.
        message_id: the same for every attempt at one delivery.

    Raises:
        TargetError: a setting that it needs is missing, or it is served from our database and takes no deliveries.
    """
    target = _target(configured, settings, experiment_name, names, message_id)
    try:
        yield target
    finally:
        target.close()


def _target(
    configured: TrafficTarget, settings: Settings, experiment_name: str, names: Sequence[str], message_id: str
) -> Target:
    missing = missing_settings(configured.kind, settings)
    if missing is not None:
        raise TargetError(f"set {missing}: the traffic of an experiment is served there", needs_a_person=True)
    match configured:
        case UnleashTarget():
            assert settings.unleash_url is not None
            assert settings.unleash_token is not None
            return Unleash(configured, names, settings.unleash_url, settings.unleash_token.get_secret_value())
        case WebhookTarget():
            assert settings.traffic_webhook_secret is not None
            secret = settings.traffic_webhook_secret.get_secret_value()
            return Webhook(configured, experiment_name, secret, message_id)
        case TableTarget() | FlagdTarget() | OfrepTarget():
            raise TargetError(f"{configured.kind} is served from our own tables: nothing is delivered to it")
    assert_never(configured)
