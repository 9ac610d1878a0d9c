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

from promotion_pipeline.doctor import channels, data, events, installation, orchestration, promotions, traffic
from promotion_pipeline.doctor import log as log_of_requests
from promotion_pipeline.doctor.environment import read_environment
from promotion_pipeline.doctor.findings import CheckOutcome, Finding, Status
from promotion_pipeline.doctor.subject import Subject, host_clock
from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.notifications.channels.registry import CHANNELS
from promotion_pipeline.notifications.scrub import scrubbed
from promotion_pipeline.traffic.targets.configured import TargetKind

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
class DoctorCheck:
    """One line of the diagnosis."""

    name: str
    needs: Needs
    look: Callable[[Subject], CheckOutcome | None]
    """None: it does not concern this installation, and has no line."""


CHECKS = (
    DoctorCheck("settings", Needs.NOTHING, installation.settings),
    DoctorCheck("secret strength", Needs.NOTHING, installation.secret),
    DoctorCheck("database", Needs.NOTHING, installation.database),
    DoctorCheck("version", Needs.NOTHING, installation.version),
    DoctorCheck("migrations", Needs.DATABASE, installation.migrations),
    DoctorCheck("clock", Needs.DATABASE, installation.clock),
    DoctorCheck("time zone", Needs.DATABASE, installation.time_zone),
    DoctorCheck("Dagster home", Needs.NOTHING, orchestration.dagster_home),
    DoctorCheck("Dagster storage", Needs.DATABASE, orchestration.dagster_storage),
    DoctorCheck("daemon", Needs.DAGSTER, orchestration.daemon),
    DoctorCheck("schedule", Needs.DAGSTER, orchestration.schedule),
    DoctorCheck("comparison", Needs.DAGSTER, orchestration.comparison),
    DoctorCheck("sensor", Needs.DAGSTER, orchestration.sensor),
    DoctorCheck("watch sensor", Needs.DAGSTER, orchestration.watch_sensor),
    DoctorCheck("delivery sensor", Needs.DAGSTER, orchestration.delivery_sensor),
    DoctorCheck("promotions", Needs.SCHEMA, promotions.promotions),
    DoctorCheck("watch", Needs.SCHEMA, promotions.watch),
    DoctorCheck("traffic targets", Needs.SCHEMA, traffic.targets),
    DoctorCheck("served traffic", Needs.SCHEMA, traffic.deliveries),
    DoctorCheck("last hour", Needs.SCHEMA, data.last_hour),
    DoctorCheck("log", Needs.SCHEMA, log_of_requests.newest),
    DoctorCheck("log columns", Needs.SCHEMA, log_of_requests.columns),
    DoctorCheck("log kept since", Needs.SCHEMA, log_of_requests.kept_since),
    DoctorCheck("log files", Needs.SCHEMA, log_of_requests.files),
    DoctorCheck("late rows", Needs.SCHEMA, data.late_rows),
    DoctorCheck("usable numbers", Needs.SCHEMA, data.usable_numbers),
    DoctorCheck("events", Needs.SCHEMA, events.readable),
    DoctorCheck("complete data", Needs.SCHEMA, data.complete),
    DoctorCheck("splits", Needs.SCHEMA, data.splits),
    DoctorCheck("controls", Needs.SCHEMA, data.controls),
    DoctorCheck("thresholds", Needs.SCHEMA, data.thresholds),
    DoctorCheck("phases", Needs.SCHEMA, data.phases),
    DoctorCheck("deployments", Needs.SCHEMA, data.deployments),
    *(DoctorCheck(channel.title, Needs.NOTHING, partial(channels.reaches, channel)) for channel in CHANNELS),
    DoctorCheck("links", Needs.NOTHING, installation.links),
    DoctorCheck("deliveries", Needs.SCHEMA, channels.deliveries),
)
"""In the order in which they are run and shown: what others need comes first."""

TARGET_CHECKS = tuple(
    DoctorCheck(f"target {kind.value}", Needs.SCHEMA, partial(traffic.target, kind))
    for kind in TargetKind
    if kind is not TargetKind.TABLE
)
"""One for each kind of target that is in use; the others have no line."""

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
    on_finding: Callable[[Finding], None] | None = None,
) -> Diagnosis:
    """Look at everything; changes nothing and raises nothing.

    Args:
        environment: default that of this process.
        clock: this machine's clock.
        on_finding: called with each finding as soon as it is there.
    """
    variables = os.environ if environment is None else environment
    subject = Subject(read_environment(variables), variables, clock)
    findings: list[Finding] = []
    with subject.closing:
        for finding in _findings(subject):
            findings.append(finding)
            if on_finding is not None:
                on_finding(finding)
    return Diagnosis(tuple(findings))


def _findings(subject: Subject) -> Iterator[Finding]:
    subject.open()
    well: set[str] = set()
    for check in CHECKS:
        finding = _finding(check, subject, well)
        assert finding is not None
        if finding.status is Status.OK:
            well.add(check.name)
        yield finding
        if check.look is traffic.targets and finding.status is not Status.SKIPPED:
            yield from filter(None, (_finding(one, subject, well) for one in TARGET_CHECKS))


def _finding(check: DoctorCheck, subject: Subject, well: set[str]) -> Finding | None:
    met = set(MEETS.get(check.needs, ())) <= well
    if (check.needs is not Needs.NOTHING and subject.connection is None) or not met:
        return Finding(check.name, Status.SKIPPED, f"needs {check.needs.value} to be in order")
    try:
        result = check.look(subject)
    except (PromotionError, psycopg.Error) as error:
        result = CheckOutcome(
            Status.PROBLEM, f"could not be looked at: {_one_line(error)}", "promotion-pipeline doctor"
        )
    except Exception as error:
        log.debug("check %s failed", check.name, exc_info=True)
        said = f"could not be looked at: {type(error).__name__}: {_one_line(error)}"
        result = CheckOutcome(Status.PROBLEM, said, "promotion-pipeline doctor  (and report it if it stays)")
    if result is None:
        return None
    message = scrubbed(_one_line(result.message), subject.settings)
    return Finding(check.name, result.status, message, result.fix and scrubbed(result.fix, subject.settings))


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
