"""Checks of the installation: version, settings, secrets, database, migrations, clock, time zone."""

from __future__ import annotations

import sys
from datetime import timedelta
from urllib.parse import urlsplit

from promotion_pipeline.config import ENVIRONMENT_PREFIX, MINIMUM_SECRET_LENGTH, Mode
from promotion_pipeline.doctor.findings import CheckOutcome, Status, advice, listed, ok, problem
from promotion_pipeline.doctor.subject import NothingYetError, Subject
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels.registry import configured_channels
from promotion_pipeline.store import migrate
from promotion_pipeline.store.adoption.settle import REQUESTS_VIEW, is_view_current
from promotion_pipeline.store.clock import database_now

OLDEST_POSTGRESQL = 15
LARGEST_SKEW = timedelta(seconds=30)
FEWEST_CHARACTERS = 8
"""Different characters that a secret must have."""
PLACEHOLDERS = ("your-secret", "changeme", "change-me", "secret-here", "password", "example", "placeholder")
DATABASE_URL = ENVIRONMENT_PREFIX + "DATABASE_URL"
CRON_SECRET = ENVIRONMENT_PREFIX + "CRON_SECRET"
NEW_SECRET = f"export {CRON_SECRET}=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
SET_UP = "promotion-pipeline demo  (or, without demo data: promotion-pipeline db upgrade)"
UPGRADE = "promotion-pipeline db upgrade"
TIMES = {"ai_requests": ["created_at"], "ab_experiments": ["start_date", "end_date"]}


def version(subject: Subject) -> CheckOutcome:
    """The package, Python and PostgreSQL."""
    from importlib.metadata import version as installed

    said = f"promotion-pipeline {installed('promotion-pipeline')} on Python {sys.version.split()[0]}"
    if subject.connection is None:
        return ok(said)
    number = subject.connection.info.server_version
    if number // 10_000 < OLDEST_POSTGRESQL:
        return problem(
            f"{said}, but PostgreSQL {number // 10_000} is older than {OLDEST_POSTGRESQL}",
            f"upgrade the server to PostgreSQL {OLDEST_POSTGRESQL} or newer",
        )
    return ok(f"{said} with PostgreSQL {number // 10_000}.{number % 10_000}")


def settings(subject: Subject) -> CheckOutcome:
    """Names and values of the environment; secrets have a check of their own."""
    reading = subject.reading
    if reading.unknown:
        names = list(reading.unknown)
        return problem(next(iter(reading.unknown.values())), f"unset {' '.join(names)}  (or correct the name)")
    invalid = {name: said for name, said in reading.invalid.items() if name != CRON_SECRET}
    if invalid:
        name, said = next(iter(invalid.items()))
        return problem("; ".join(invalid.values()), f"export {name}=...  ({said.partition(': ')[2] or 'correct it'})")
    off = "" if reading.settings.enabled else "; automatic promotion is switched off"
    shadow = "; shadow mode: no traffic changes" if reading.settings.mode is Mode.SHADOW else ""
    return ok(f"{len(reading.given)} set by {ENVIRONMENT_PREFIX}*, all known and within their bounds{off}{shadow}")


def secret(subject: Subject) -> CheckOutcome:
    """The secret that lets a cron job promote."""
    given = subject.reading.given.get(CRON_SECRET, "")
    if not given:
        return ok("no cron secret is set: the sweep over HTTP takes tokens only")
    if len(given) < MINIMUM_SECRET_LENGTH:
        return problem(
            f"the cron secret has {len(given)} characters, at least {MINIMUM_SECRET_LENGTH} are needed", NEW_SECRET
        )
    if len(set(given)) < FEWEST_CHARACTERS or any(word in given.lower() for word in PLACEHOLDERS):
        return problem("the cron secret can be guessed: it repeats itself or is a placeholder", NEW_SECRET)
    return ok(f"the cron secret has {len(given)} characters")


def database(subject: Subject) -> CheckOutcome:
    """Whether it answers."""
    if isinstance(subject.problem, NothingYetError):
        return problem(str(subject.problem), SET_UP)
    if subject.problem is not None and not isinstance(subject.problem, DependencyError):
        return problem(str(subject.problem), f"export {DATABASE_URL}=postgresql://user:password@host:5432/database")
    if subject.problem is not None:
        said, _, _ = str(subject.problem).partition("; check that")
        return CheckOutcome(Status.DOWN, said, _start_command(subject))
    info = subject.database.info
    if info.parameter_status("server_encoding") == "SQL_ASCII":
        return problem(
            f"{info.dbname} has the encoding SQL_ASCII: one name that is no UTF-8 stops every experiment",
            f"createdb -E UTF8 --locale=C -T template0 {info.dbname}_utf8 && pg_dump {info.dbname} | psql"
            f" {info.dbname}_utf8  (then name {info.dbname}_utf8 in {DATABASE_URL})",
        )
    return ok(f"{'embedded, in ' + str(subject.settings.home) if subject.is_embedded else info.host} answers")


def _start_command(subject: Subject) -> str:
    if subject.is_embedded:
        return SET_UP
    return f"sudo systemctl start postgresql  (on the database's host; or correct {DATABASE_URL})"


def migrations(subject: Subject) -> CheckOutcome:
    """Whether the schema is the one that this version needs."""
    current, head = migrate.revision_of(subject.database), migrate.head_revision()
    if current == head:
        if not is_view_current(subject.database):
            return problem(f"{REQUESTS_VIEW} does not read the columns that ai_requests has now", UPGRADE)
        subject.has_schema = True
        return ok(f"the schema is at revision {head}")
    if current is not None and current > head:
        return problem(
            f"the schema is at revision {current}, newer than {head} which this version knows",
            "pip install --upgrade promotion-pipeline",
        )
    return problem(f"the schema is at revision {current or 'none'}, {head} is needed", UPGRADE)


def clock(subject: Subject) -> CheckOutcome:
    """This machine's clock against the database's: the schedule goes by the one, decisions by the other."""
    before = subject.clock()
    there = database_now(subject.database)
    after = subject.clock()
    skew = there - (before + (after - before) / 2)
    seconds = abs(skew.total_seconds())
    if abs(skew) > LARGEST_SKEW + (after - before) / 2:
        direction = "behind" if skew > timedelta(0) else "ahead of"
        return problem(
            f"this machine's clock is {seconds:.0f} s {direction} the database's",
            "sudo timedatectl set-ntp true  (on the machine that is wrong)",
        )
    return ok(f"this machine and the database agree within {max(seconds, 0.1):.1f} s")


def time_zone(subject: Subject) -> CheckOutcome:
    """Whether the application's times carry their zone."""
    rows = subject.database.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = ANY(current_schemas(false)) AND table_name = ANY(%s)"
        " AND data_type = 'timestamp without time zone'",
        [list(TIMES)],
    ).fetchall()
    naive = [(row["table_name"], row["column_name"]) for row in rows if row["column_name"] in TIMES[row["table_name"]]]
    if naive:
        return ok(f"times without a zone are read as UTC: {listed([f'{table}.{column}' for table, column in naive])}")
    default = subject.database.execute("SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'").fetchone()
    return ok(f"times carry their zone; hours are UTC (the server's default is {default and default['reset_val']})")


def links(subject: Subject) -> CheckOutcome:
    """Whether people can follow the links of messages."""
    on = configured_channels(subject.settings)
    url = subject.settings.public_url
    if on and urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}:
        return advice(
            f"messages link to {url}, which works on this machine only",
            "export AUTO_PROMOTION_PUBLIC_URL=https://...  (where people reach `promotion-pipeline serve`)",
        )
    return ok(f"messages link to {url}" if on else "no channel is on, so nothing is linked")
