"""The rules of the campaign see what is wrong: each kind of half-done or doubled act is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promotion_pipeline.promotion.record.events import Action
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.faults.acts import Acknowledged
from promotion_pipeline_tests.faults.subjects import CampaignDatabase, CampaignServer, Setting
from promotion_pipeline_tests.faults.tally import Tally

ONE = "experiment_id = %(id)s"

DAMAGE = {
    "the split": (Setting.PROMOTED, f"UPDATE ab_variants SET traffic_percentage = 50 WHERE {ONE}"),
    "a share": (Setting.DECIDED, f"UPDATE ab_variants SET traffic_percentage = 60 WHERE {ONE} AND is_control"),
    "running beside its promotion": (Setting.PROMOTED, "UPDATE ab_experiments SET is_active = true WHERE id = %(id)s"),
    "stopped without one": (Setting.DECIDED, "UPDATE ab_experiments SET is_active = false WHERE id = %(id)s"),
    "no open phase": (Setting.PROMOTED, f"UPDATE ab_experiment_phases SET ended_at = now() WHERE {ONE}"),
    "a phase of another split": (
        Setting.PROMOTED,
        f"UPDATE ab_experiment_phases SET traffic = '{{}}' WHERE {ONE} AND ended_at IS NULL",
    ),
    "a gap between phases": (
        Setting.PROMOTED,
        f"UPDATE ab_experiment_phases SET ended_at = ended_at - interval '1 s' WHERE {ONE} AND ended_at IS NOT NULL",
    ),
    "no audit": (Setting.PROMOTED, f"DELETE FROM promotion_audit WHERE {ONE}"),
    "no record": (Setting.PROMOTED, f"DELETE FROM experiment_promotions WHERE {ONE}"),
    "no notification": (Setting.PROMOTED, f"DELETE FROM notification_outbox WHERE {ONE}"),
    "a notification too much": (
        Setting.PROMOTED,
        "INSERT INTO notification_outbox (event, level, experiment_id, dedup_key, payload)"
        " VALUES ('rollback', 'critical', %(id)s, 'rollback:' || %(id)s, '{}')",
    ),
    "no decision of record": (
        Setting.PROMOTED,
        f"UPDATE eligibility_decisions SET as_of = as_of - interval '1 h' WHERE {ONE}",
    ),
    "a step that nobody took": (Setting.RAMPING, f"UPDATE experiment_promotions SET ramp_step = 1 WHERE {ONE}"),
    "no hold": (Setting.ROLLED_BACK, "UPDATE ab_experiments SET auto_promotion_hold = NULL WHERE id = %(id)s"),
    "a rollback undone": (
        Setting.ROLLED_BACK,
        "UPDATE experiment_promotions SET state = 'promoted', rollback_at = NULL, rollback_reason = NULL,"
        f" rolled_back_by = NULL WHERE {ONE}",
    ),
    "an answer that nobody gave": (
        Setting.ASKED,
        f"UPDATE promotion_approvals SET state = 'approved', answered_at = now() WHERE {ONE}",
    ),
    "a request without its audit": (Setting.ASKED, f"DELETE FROM promotion_audit WHERE {ONE}"),
}


@pytest.fixture(scope="module")
def database(server: EmbeddedServer) -> Iterator[CampaignDatabase]:
    """One database for all: each case damages an experiment of its own."""
    with CampaignServer(server, TEMPLATE).database() as opened:
        yield opened


def damaged(database: CampaignDatabase, setting: Setting, statement: str) -> Tally:
    """What is found after a statement that no rule of the database sees."""
    subject, tally = database.subjects(setting, 1)[0], Tally("test", "tests")
    tally.check(database.store, [subject.id], when="before")
    assert tally.is_clean, tally.lines()
    with database.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement, {"id": subject.id})
    tally.check(database.store, [subject.id], when="after")
    return tally


@pytest.mark.parametrize(("setting", "statement"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(database: CampaignDatabase, setting: Setting, statement: str) -> None:
    assert damaged(database, setting, statement).inconsistent


def test_an_act_that_was_done_twice_is_found(database: CampaignDatabase) -> None:
    statement = (
        "INSERT INTO promotion_audit (actor, action, experiment_id, promotion_id)"
        f" SELECT actor, action, experiment_id, promotion_id FROM promotion_audit WHERE {ONE}"
    )
    assert damaged(database, Setting.PROMOTED, statement).doubles


def test_an_acknowledged_act_that_is_gone_is_found(database: CampaignDatabase) -> None:
    subject, tally = database.subjects(Setting.DECIDED, 1)[0], Tally("test", "tests")
    tally.note([Acknowledged(Action.PROMOTE, subject.id)])
    tally.check(database.store, [subject.id], when="now")
    assert len(tally.lost) == 1


def test_an_act_of_the_effect_that_is_missing_or_too_much_is_found(database: CampaignDatabase) -> None:
    subject, tally = database.subjects(Setting.PROMOTED, 1)[0], Tally("test", "tests")
    tally.check(database.store, [subject.id], when="now", effect={Action.PROMOTE: 1})
    assert tally.is_clean
    tally.check(database.store, [subject.id], when="now", effect={Action.PROMOTE: 1, Action.ROLL_BACK: 1})
    assert len(tally.inconsistent) == 1
    tally.check(database.store, [subject.id], when="now", effect={})
    assert len(tally.doubles) == 1
