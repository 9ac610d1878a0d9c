"""The checks in their order, and what each of them needs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

import psycopg

from promotion_pipeline.doctor import channels, data, installation, orchestration, promotions
from promotion_pipeline.doctor import log as log_of_requests
from promotion_pipeline.doctor.environment import read_environment
from promotion_pipeline.doctor.findings import Finding, Result, Status
from promotion_pipeline.doctor.subject import Subject, host_clock
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.notifications.channels.registry import CHANNELS
from promotion_pipeline.notifications.scrub import scrubbed

log = logging.getLogger(__name__)


class Needs(StrEnum):
    """What must be in order for a check to mean anything."""

    NOTHING = "nothing"
    """It always runs."""
    DATABASE = "the database"
    """A connection."""
    SCHEMA = "the migrations"
    """A connection, and the tables of this version."""
    DAGSTER = "Dagster's home and storage"
    """The tables of Dagster, and its configuration."""


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis."""

    name: str
    needs: Needs
    look: Callable[[Subject], Result]


CHECKS = (
    Check("settings", Needs.NOTHING, installation.settings),
    Check("secret strength", Needs.NOTHING, installation.secret),
    Check("database", Needs.NOTHING, installation.database),
    Check("version", Needs.NOTHING, installation.version),
    Check("migrations", Needs.DATABASE, installation.migrations),
    Check("clock", Needs.DATABASE, installation.clock),
    Check("time zone", Needs.DATABASE, installation.time_zone),
    Check("Dagster home", Needs.NOTHING, orchestration.dagster_home),
    Check("Dagster storage", Needs.DATABASE, orchestration.dagster_storage),
    Check("daemon", Needs.DAGSTER, orchestration.daemon),
    Check("schedule", Needs.DAGSTER, orchestration.schedule),
    Check("sensor", Needs.DAGSTER, orchestration.sensor),
    Check("watch sensor", Needs.DAGSTER, orchestration.watch_sensor),
    Check("delivery sensor", Needs.DAGSTER, orchestration.delivery_sensor),
    Check("promotions", Needs.SCHEMA, promotions.promotions),
    Check("watch", Needs.SCHEMA, promotions.watch),
    Check("last hour", Needs.SCHEMA, data.last_hour),
    Check("log", Needs.SCHEMA, log_of_requests.newest),
    Check("log columns", Needs.SCHEMA, log_of_requests.columns),
    Check("log kept since", Needs.SCHEMA, log_of_requests.kept_since),
    Check("log files", Needs.SCHEMA, log_of_requests.files),
    Check("late rows", Needs.SCHEMA, data.late_rows),
    Check("complete data", Needs.SCHEMA, data.complete),
    Check("splits", Needs.SCHEMA, data.splits),
    Check("controls", Needs.SCHEMA, data.controls),
    Check("thresholds", Needs.SCHEMA, data.thresholds),
    Check("phases", Needs.SCHEMA, data.phases),
    Check("deployments", Needs.SCHEMA, data.deployments),
    *(Check(channel.title, Needs.NOTHING, partial(channels.reaches, channel)) for channel in CHANNELS),
    Check("links", Needs.NOTHING, installation.links),
    Check("deliveries", Needs.SCHEMA, channels.deliveries),
)
"""In the order in which they are run and shown: what others need comes first."""

MEETS = {
    Needs.SCHEMA: ("migrations",),
    Needs.DAGSTER: ("Dagster home", "Dagster storage"),
}
"""The checks that must be OK for a need to be met."""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found."""

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Nothing is wrong; advice does not count."""
        return all(finding.status in {Status.OK, Status.ADVICE} for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all is well, 5 the database is down, 1 anything else."""
        if any(finding.status is Status.DOWN for finding in self.findings):
            return DependencyError.exit_code
        return 0 if self.is_well else 1

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"isWell": self.is_well, "checks": [finding.to_json() for finding in self.findings]}


def examine(
    environment: Mapping[str, str] | None = None,
    *,
    clock: Callable[[], datetime] = host_clock,
    told: Callable[[Finding], None] | None = None,
) -> Diagnosis:
    """Look at everything; changes nothing and raises nothing.

    Args:
        environment: default that of this process.
        clock: this machine's clock.
        told: called with each finding as soon as it is there.
    """
    variables = os.environ if environment is None else environment
    subject = Subject(read_environment(variables), variables, clock)
    findings: list[Finding] = []
    with subject.closing:
        for finding in _findings(subject):
            findings.append(finding)
            if told is not None:
                told(finding)
    return Diagnosis(tuple(findings))


def _findings(subject: Subject) -> Iterator[Finding]:
    subject.open()
    well: set[str] = set()
    for check in CHECKS:
        finding = _finding(check, subject, well)
        if finding.status is Status.OK:
            well.add(check.name)
        yield finding


def _finding(check: Check, subject: Subject, well: set[str]) -> Finding:
    met = set(MEETS.get(check.needs, ())) <= well
    if (check.needs is not Needs.NOTHING and subject.connection is None) or not met:
        return Finding(check.name, Status.SKIPPED, f"needs {check.needs.value} to be in order")
    try:
        result = check.look(subject)
    except (PromotionError, psycopg.Error) as error:
        result = Result(Status.PROBLEM, f"could not be looked at: {_one_line(error)}", "promotion-pipeline doctor")
    except Exception as error:
        log.debug("check %s failed", check.name, exc_info=True)
        said = f"could not be looked at: {type(error).__name__}: {_one_line(error)}"
        result = Result(Status.PROBLEM, said, "promotion-pipeline doctor  (and report it if it stays)")
    message = scrubbed(_one_line(result.message), subject.settings)
    return Finding(check.name, result.status, message, result.fix and scrubbed(result.fix, subject.settings))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
