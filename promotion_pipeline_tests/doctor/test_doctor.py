"""The doctor names what is broken and the command that repairs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType
from typer.testing import CliRunner

from promotion_pipeline.cli.main import app
from promotion_pipeline.doctor import Status
from promotion_pipeline.doctor.examine import CHECKS
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline_tests.doctor.conftest import GOOD_SECRET, Installation
from promotion_pipeline_tests.notifications.servers import Behaviour, mail_server, web_server
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, VariantSpec, seed_experiment

SCHEDULE = "hourly_promotion_schedule"


def wrong(installation: Installation) -> dict[str, str]:
    """Message and fix of everything that is not OK."""
    found = installation.examined()
    return {one.name: f"{one.message} | {one.fix}" for one in found.findings if one.status is not Status.OK}


def test_a_healthy_installation_is_well_in_every_check(installation: Installation) -> None:
    assert wrong(installation) == {}
    diagnosis = installation.examined()
    assert diagnosis.exit_code == 0
    assert len(diagnosis.findings) == len(CHECKS)
    assert len(CHECKS) >= 12


def test_database_down(installation: Installation) -> None:
    installation.environment["AUTO_PROMOTION_DATABASE_URL"] = "postgresql://app:hunter2222@127.0.0.1:1/app"
    diagnosis = installation.examined()
    found = {one.name: one for one in diagnosis.findings}
    assert found["database"].status is Status.DOWN
    assert "127.0.0.1" in found["database"].message
    assert "AUTO_PROMOTION_DATABASE_URL" in str(found["database"].fix)
    assert found["migrations"].status is Status.SKIPPED
    assert diagnosis.exit_code == 5
    assert "hunter2222" not in str(diagnosis)


def test_migrations_behind(installation: Installation) -> None:
    installation.execute("UPDATE promotion_pipeline_version SET version_num = '0001'")
    found = installation.finding("migrations")
    assert found.status is Status.PROBLEM
    assert "at revision 0001" in found.message
    assert found.fix == "promotion-pipeline db upgrade"


def test_migrations_ahead(installation: Installation) -> None:
    installation.execute("UPDATE promotion_pipeline_version SET version_num = '9999'")
    assert "pip install --upgrade" in str(installation.finding("migrations").fix)


def test_a_view_of_the_log_that_is_behind_its_columns(installation: Installation) -> None:
    installation.execute("DROP VIEW promotion_pipeline_requests")
    installation.execute("ALTER TABLE ai_requests ALTER latency_ms TYPE integer")
    found = installation.finding("migrations")
    assert (found.status, found.fix) == (Status.PROBLEM, "promotion-pipeline db upgrade")
    assert "promotion_pipeline_requests" in found.message
    repair(installation, found.fix)
    assert installation.finding("migrations").status is Status.OK


def test_daemon_stopped(installation: Installation) -> None:
    installation.beat(seconds_ago=3 * 3600)
    found = installation.finding("daemon")
    assert found.status is Status.PROBLEM
    assert "3.0 hours" in found.message
    assert str(found.fix).startswith("promotion-pipeline dev")


@pytest.mark.parametrize(("minutes", "said"), [(-7, "420 s behind"), (7, "420 s ahead of")])
def test_clock_skewed(installation: Installation, minutes: int, said: str) -> None:
    installation.skew = timedelta(minutes=minutes)
    found = installation.finding("clock")
    assert found.status is Status.PROBLEM
    assert said in found.message.replace("419 s", "420 s")
    assert "set-ntp" in str(found.fix)


def test_bad_split_and_its_fix_works(installation: Installation) -> None:
    arms = (VariantSpec("control", is_control=True, traffic=30), VariantSpec("treatment", traffic=30))
    seed_experiment(installation.store, "it's new", arms)
    found = installation.finding("splits")
    assert found.status is Status.PROBLEM
    assert "it's new" in found.message
    assert "60.00" in found.message
    repair(installation, found.fix)
    assert installation.finding("splits").status is Status.OK


def test_short_secret(installation: Installation) -> None:
    installation.environment["AUTO_PROMOTION_CRON_SECRET"] = "hunter2"
    found = installation.finding("secret strength")
    assert found.status is Status.PROBLEM
    assert "7 characters, at least 16" in found.message
    assert "token_urlsafe" in str(found.fix)
    assert "hunter2" not in str(installation.examined())
    assert installation.finding("settings").status is Status.OK


@pytest.mark.parametrize("secret", ["your-secret-here", "aaaaaaaaaaaaaaaaaaaa", "password-password-1"])
def test_a_secret_that_can_be_guessed(installation: Installation, secret: str) -> None:
    installation.environment["AUTO_PROMOTION_CRON_SECRET"] = secret
    assert "guessed" in installation.finding("secret strength").message


def test_an_unknown_setting_is_named_with_what_was_meant(installation: Installation) -> None:
    installation.environment["AUTO_PROMOTION_MIN_CONFIDENSE"] = "99"
    found = installation.finding("settings")
    assert "AUTO_PROMOTION_MIN_CONFIDENCE" in found.message
    assert str(found.fix).startswith("unset AUTO_PROMOTION_MIN_CONFIDENSE")


def test_a_wrong_value_hides_nothing_else(installation: Installation) -> None:
    installation.environment |= {"AUTO_PROMOTION_MAX_ERROR_RATE": "5", "AUTO_PROMOTION_SMTP_HOST": "mail.example.com"}
    installation.beat(seconds_ago=4000)
    found = wrong(installation)
    assert "5 % is written 0.05" in found["settings"]
    assert "AUTO_PROMOTION_EMAIL_TO" in found["settings"]
    assert "daemon" in found


def test_a_schedule_that_was_switched_off(installation: Installation) -> None:
    installation.switch(SCHEDULE, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED)
    found = installation.finding("schedule")
    assert found.message == f"{SCHEDULE} is switched off"
    assert f"dagster schedule start {SCHEDULE} -m promotion_pipeline.definitions" in str(found.fix)


def test_a_sensor_that_was_switched_off(installation: Installation) -> None:
    installation.switch("promotion_sensor", InstigatorType.SENSOR, InstigatorStatus.STOPPED)
    assert "switched off" in installation.finding("sensor").message


def test_running_experiments_that_nobody_decides(installation: Installation) -> None:
    seed_experiment(installation.store, "checkout", WINNER)
    assert "nothing was ever decided" in installation.finding("last hour").message


def test_rows_that_came_too_late_to_count(installation: Installation) -> None:
    installation.execute(
        "INSERT INTO rollup_hours (hour, requests) VALUES (date_trunc('hour', now(), 'UTC') - interval '60 hours', 0)"
    )
    seed_experiment(installation.store, "checkout", WINNER)
    found = installation.finding("late rows")
    assert "more than 48 hours late" in found.message
    assert "AUTO_PROMOTION_LOOKBACK_HOURS=96" in str(found.fix)


def test_rows_that_are_gone_did_not_come_late(installation: Installation) -> None:
    installation.execute(
        "INSERT INTO rollup_hours (hour, requests) VALUES (date_trunc('hour', now(), 'UTC') - interval '60 hours', 42)"
    )
    found = installation.finding("late rows")
    assert "in 1 hours, 42 rows that were counted are not in the log any more" in found.message
    assert "late and count" not in found.message and "LOOKBACK" not in str(found.fix)


def test_an_experiment_that_was_read_without_its_past(installation: Installation) -> None:
    seed_experiment(installation.store, "beside", NO_DIFFERENCE)
    with installation.store.connect() as connection:
        newest = newest_complete_hour(connection)
    rollup_window(installation.store, newest - timedelta(hours=96), newest)
    seeded = seed_experiment(installation.store, "checkout", WINNER)
    rollup_window(installation.store, newest - timedelta(hours=48), newest)
    found = installation.finding("complete data")
    assert found.status is Status.PROBLEM
    assert "'checkout': it is judged on a part of its data: 10,000 requests" in found.message
    assert f"promotion-pipeline evaluate --from {seeded.start:%Y-%m-%dT%H:00Z} --roll-up" in str(found.fix)
    catch_up(installation.store, newest)
    assert installation.finding("complete data").status is Status.OK


def test_rows_from_the_future(installation: Installation) -> None:
    installation.execute(
        "INSERT INTO ai_requests (experiment_id, variant_id, created_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), now() + interval '2 hours')"
    )
    found = installation.finding("late rows")
    assert "from the future" in found.message
    repair(installation, found.fix)
    assert installation.finding("late rows").status is Status.OK


def test_numbers_that_are_left_out_of_the_sums(installation: Installation) -> None:
    seeded = seed_experiment(installation.store, "checkout", WINNER)
    seed_experiment(installation.store, "search", NO_DIFFERENCE)
    installation.execute(
        "INSERT INTO ai_requests (experiment_id, variant_id, created_at, latency_ms, value)"
        " SELECT %s, %s, now() - interval '2 hours', latency, value"
        " FROM (VALUES (-1::float8, 1::float8), ('NaN', 2), (5, 'Infinity'), (0, 0)) AS odd (latency, value)",
        seeded.id,
        seeded.variant_ids["control"],
    )
    found = installation.finding("usable numbers")
    assert found.status is Status.PROBLEM
    assert (
        "checkout: numbers that cannot be used are left out of the sums: 2 of latency_ms and 1 of value"
        in found.message
    )
    assert "latency_ms is 0 or more" in str(found.fix)


def test_events_whose_values_are_left_out_and_a_table_of_events_that_is_renamed(installation: Installation) -> None:
    assert "no running experiment" in installation.finding("events").message
    revenue = {"name": "revenue", "kind": "user_mean", "event": "buy", "role": "goal"}
    seeded = seed_experiment(installation.store, "checkout", WINNER, promotion_config={"metrics": [revenue]})
    installation.execute(
        "INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)"
        " SELECT gen_random_uuid(), %s, 'ann', now() - interval '2 hours', 'buy', value"
        " FROM (VALUES ('NaN'::numeric), ('Infinity'), (5), (NULL)) AS odd (value)",
        seeded.id,
    )
    said = "checkout: 2 values of events of metric 'revenue' cannot be used and are left out"
    assert said in installation.finding("usable numbers").message
    assert installation.finding("events").status is Status.OK
    installation.execute("ALTER TABLE ai_events RENAME TO their_events")
    found = installation.finding("events")
    assert found.status is Status.PROBLEM
    assert "there is no such table; metrics of events of 'checkout' are not measured" in found.message
    assert "name it so again" in str(found.fix)


def test_an_experiment_without_control_and_its_fix_works(installation: Installation) -> None:
    seed_experiment(installation.store, "checkout", (VariantSpec("control"), VariantSpec("treatment")))
    found = installation.finding("controls")
    assert "0 controls among 2 variants" in found.message
    repair(installation, found.fix)
    assert installation.finding("controls").status is Status.OK


def test_thresholds_of_an_experiment_that_cannot_be_read(installation: Installation) -> None:
    seed_experiment(installation.store, "checkout", WINNER, promotion_config={"minSampleSise": 5})
    assert "minSampleSise" in installation.finding("thresholds").message


def test_times_without_a_zone_are_utc_and_said_to_be(installation: Installation) -> None:
    # A table that was there before: the product's own is kept by the day, and its times cannot lose their zone.
    installation.execute("ALTER TABLE ai_requests RENAME TO requests_by_day")
    installation.execute("CREATE TABLE ai_requests (LIKE requests_by_day)")
    installation.execute("ALTER TABLE ai_requests ALTER COLUMN created_at TYPE timestamp")
    found = installation.finding("time zone")
    assert found.status is Status.OK
    assert "'ai_requests.created_at'" in found.message
    assert "UTC" in found.message


def test_dagster_without_its_configuration(installation: Installation) -> None:
    installation.environment["DAGSTER_HOME"] = str(Path(installation.environment["AUTO_PROMOTION_HOME"]) / "elsewhere")
    found = wrong(installation)
    assert "no dagster.yaml" in found["Dagster home"]
    assert "daemon" in found


def test_channels_that_work_and_channels_that_do_not(installation: Installation) -> None:
    with web_server() as web, mail_server() as box:
        installation.environment |= {
            "AUTO_PROMOTION_SLACK_TOKEN": "xoxb-canary-token",
            "AUTO_PROMOTION_SLACK_BASE_URL": web.slack_url,
            "AUTO_PROMOTION_PAGERDUTY_ROUTING_KEY": "0123456789abcdef0123456789abcdef",
            "AUTO_PROMOTION_PAGERDUTY_BASE_URL": web.url,
            "AUTO_PROMOTION_SMTP_HOST": "127.0.0.1",
            "AUTO_PROMOTION_SMTP_PORT": str(box.port),
            "AUTO_PROMOTION_SMTP_STARTTLS": "false",
            "AUTO_PROMOTION_EMAIL_TO": "ann@example.com",
        }
        assert set(wrong(installation)) == {"links"}
        assert installation.examined().exit_code == 0
        web.always(Behaviour.BAD_TOKEN)
        box.is_up = False
        installation.environment["AUTO_PROMOTION_PAGERDUTY_BASE_URL"] = "http://127.0.0.1:1"
        found = wrong(installation)
        assert "invalid_auth" in found["Slack"]
        assert {"Slack", "PagerDuty", "e-mail"} <= set(found)
        assert "canary" not in str(found)
        assert not web.posted
        assert not box.mails


def test_notifications_that_were_given_up(installation: Installation) -> None:
    installation.execute(
        "INSERT INTO notification_outbox (event, level, dedup_key, payload) VALUES ('promotion', 'info', 'a', '{}')"
    )
    installation.execute(
        "INSERT INTO notification_deliveries (outbox_id, channel, state)"
        " SELECT id, 'slack', 'dead' FROM notification_outbox"
    )
    assert installation.finding("deliveries").fix == "promotion-pipeline notifications replay --all"


def test_the_command_prints_a_line_a_check_and_exits_as_documented(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)
    well = CliRunner().invoke(app, ["doctor"])
    assert well.exit_code == 0
    assert len(well.stdout.splitlines()) == len(CHECKS)
    assert all(line.startswith("OK ") for line in well.stdout.splitlines())
    installation.execute("UPDATE promotion_pipeline_version SET version_num = '0001'")
    ill = CliRunner().invoke(app, ["doctor", "--json"])
    assert ill.exit_code == 1
    said = json.loads(ill.stdout)
    assert not said["isWell"]
    assert {"name", "status", "message", "fix"} == set(said["checks"][0])
    assert GOOD_SECRET not in ill.output


def repair(installation: Installation, fix: str | None) -> None:
    """Run the command that a finding names, as a person would."""
    command = shlex.split(str(fix).partition("  (")[0])
    assert command[0] == "promotion-pipeline"
    environment = {**os.environ, **installation.environment}
    subprocess.run(
        [sys.executable, "-m", "promotion_pipeline.cli", *command[1:]], env=environment, check=True, capture_output=True
    )


def test_two_live_deployments_with_other_thresholds(installation: Installation) -> None:
    for size in (1000, 5000):
        installation.execute(
            "INSERT INTO live_deployments (id, config, since) VALUES"
            f" ('{size}', '{{\"min_sample_size\": {size}}}', now() - interval '1 hour')"
        )
    found = installation.finding("deployments")
    assert found.status is Status.PROBLEM
    assert "min_sample_size 1000 and 5000" in found.message
    assert "AUTO_PROMOTION_MODE=shadow" in str(found.fix)


def test_an_experiment_changed_past_the_triggers(installation: Installation) -> None:
    seed_experiment(installation.store, "replicated", WINNER)
    with installation.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 90 ELSE 10 END")
    found = installation.finding("phases")
    assert found.status is Status.PROBLEM
    assert "replicated" in found.message and "past the database's triggers" in found.message
