"""Checks of Dagster: its home and storage, the daemon, the schedule and the sensors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from promotion_pipeline.doctor.findings import CheckOutcome, ok, problem
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.notifications.channels.registry import configured_channels
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.process_environment import variables
from promotion_pipeline.store.database import SQLALCHEMY_SCHEME
from promotion_pipeline.text.numbers import duration_text

if TYPE_CHECKING:
    import dagster as dg

    from promotion_pipeline.orchestration.dagster_private import InstigatorState

DEV = "promotion-pipeline dev"
DAEMON = f"{DEV}  (in production: sudo systemctl restart dagster-daemon, or the daemon's pod)"
WRITE_CONFIG = (
    "python -c 'from promotion_pipeline.orchestration.instance import default_config; print(default_config())'"
)
MODULE = "promotion_pipeline.definitions"
SILENT_SECONDS = 120.0
"""A daemon beats every 30 s; after this long it is gone."""
NEEDED_DAEMONS = ("SCHEDULER", "SENSOR")


def dagster_home(subject: Subject) -> CheckOutcome:
    """The folder with `dagster.yaml`."""
    home = subject.dagster_home
    if not (home / "dagster.yaml").exists():
        fix = f"{WRITE_CONFIG} > {home}/dagster.yaml" if "DAGSTER_HOME" in subject.environment else DEV
        return problem(f"{home} has no dagster.yaml: Dagster would keep its runs in files of its own", fix)
    return ok(str(home))


def dagster_storage(subject: Subject) -> CheckOutcome:
    """The database of Dagster's runs and events."""
    try:
        with subject.dagster_connection() as connection:
            found = connection.execute("SELECT to_regclass('runs') IS NOT NULL AS made").fetchone()
    except DependencyError as error:
        said, _, _ = str(error).partition("; check that")
        return problem(f"Dagster's storage cannot be used: {said}", f"{DEV}  (makes it)")
    if found is None or not found["made"]:
        return problem("Dagster's storage is empty: Dagster never ran on it", DEV)
    return ok("PostgreSQL, tables are there")


def daemon(subject: Subject) -> CheckOutcome:
    """Whether the process that runs schedules and sensors is alive."""
    beats = _instance(subject).get_daemon_heartbeats()
    missing = [name for name in NEEDED_DAEMONS if name not in beats]
    if missing:
        return problem(f"the daemon never ran ({', '.join(missing)})", DAEMON)
    newest = max(beats[name].timestamp for name in NEEDED_DAEMONS)
    oldest = min(beats[name].timestamp for name in NEEDED_DAEMONS)
    now = subject.clock().timestamp()
    if now - oldest > SILENT_SECONDS:
        return problem(f"the daemon gave no sign of life for {_ago(now - oldest)}", DAEMON)
    errors = [error.message for name in NEEDED_DAEMONS for error in beats[name].errors or ()]
    if errors:
        return problem(f"the daemon lives but fails: {' '.join(errors[0].split())[:300]}", DAEMON)
    return ok(f"last sign of life {now - newest:.0f} s ago")


def schedule(subject: Subject) -> CheckOutcome:
    """Whether the hourly run is started by itself."""
    start = f"dagster schedule start {names.SCHEDULE} -m {MODULE}"
    return _instigator(subject, names.SCHEDULE, start)


def comparison(subject: Subject) -> CheckOutcome:
    """Whether what is served is compared with what is decided by itself."""
    start = f"dagster schedule start {names.SERVED_SCHEDULE} -m {MODULE}"
    return _instigator(subject, names.SERVED_SCHEDULE, start)


def sensor(subject: Subject) -> CheckOutcome:
    """Whether decisions are applied by themselves."""
    return _instigator(subject, names.SENSOR, f"dagster sensor start {names.SENSOR} -m {MODULE}")


def watch_sensor(subject: Subject) -> CheckOutcome:
    """Whether what was promoted is watched by itself."""
    return _instigator(subject, names.WATCH_SENSOR, f"dagster sensor start {names.WATCH_SENSOR} -m {MODULE}")


def delivery_sensor(subject: Subject) -> CheckOutcome:
    """Whether people are told by itself."""
    if not configured_channels(subject.settings):
        return ok("no channel is on, so nothing is to be delivered")
    return _instigator(subject, names.DELIVERY_SENSOR, f"dagster sensor start {names.DELIVERY_SENSOR} -m {MODULE}")


def _instigator(subject: Subject, name: str, start: str) -> CheckOutcome:
    instance = _instance(subject)
    states = [state for state in instance.all_instigator_state() if state.instigator_name == name]
    if not states:
        return problem(f"{name} was never looked at by the daemon", DAEMON)
    running = [state for state in states if state.is_running]
    if not running:
        return problem(f"{name} is switched off", f"DAGSTER_HOME={subject.dagster_home} {start}")
    return _last_tick(instance, running, name)


def _last_tick(instance: dg.DagsterInstance, states: list[InstigatorState], name: str) -> CheckOutcome:
    from promotion_pipeline.orchestration.dagster_private import TickStatus

    ticks = [
        tick for state in states for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    ]
    if not ticks:
        return ok(f"{name} is on; it did not tick yet")
    newest = max(ticks, key=lambda tick: tick.timestamp)
    if newest.status is TickStatus.FAILURE:
        said = " ".join(newest.error.message.split())[:300] if newest.error else "no message"
        return problem(
            f"{name} is on, but its last tick failed: {said}", "promotion-pipeline doctor  (after the next tick)"
        )
    return ok(f"{name} is on")


def _instance(subject: Subject) -> dg.DagsterInstance:
    """The instance of the subject, opened once; its tables are there already."""
    if subject.instance is None:
        import dagster as dg

        from promotion_pipeline.orchestration.process_environment import STORAGE_URL_VARIABLE

        url = SQLALCHEMY_SCHEME + subject.dagster_url().removeprefix("postgresql://")
        subject.closing.enter_context(variables({STORAGE_URL_VARIABLE: url}))
        subject.instance = subject.closing.enter_context(dg.DagsterInstance.from_config(str(subject.dagster_home)))
    return subject.instance


def _ago(seconds: float) -> str:
    return str(duration_text(datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(seconds, UTC)))
