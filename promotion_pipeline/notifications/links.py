"""Where a message sends people: the evidence page and the Dagster UI."""

from __future__ import annotations

from urllib.parse import quote

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.message import Link


def evidence_url(settings: Settings, experiment_name: str) -> str:
    """The evidence page of an experiment, whatever characters its name has."""
    return f"{settings.public_url.rstrip('/')}/experiments/{quote(experiment_name, safe='')}"


def evidence_link(settings: Settings, experiment_name: str) -> Link:
    """The evidence page of an experiment."""
    return Link("Evidence", evidence_url(settings, experiment_name))


def approval_link(settings: Settings, experiment_name: str) -> Link:
    """The evidence page, where approving is one button."""
    return Link("Look and approve", evidence_url(settings, experiment_name))


def overview_link(settings: Settings) -> Link:
    """The list of experiments."""
    return Link("All experiments", f"{settings.public_url.rstrip('/')}/experiments")


def run_link(settings: Settings, run_id: str) -> Link:
    """A run in the Dagster UI."""
    return Link("Dagster run", f"{settings.dagster_url.rstrip('/')}/runs/{quote(run_id, safe='')}")


def dagster_link(settings: Settings) -> Link:
    """The Dagster UI."""
    return Link("Dagster", settings.dagster_url.rstrip("/"))
