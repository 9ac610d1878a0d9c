"""A dump of an adopted database, and its restores."""

from __future__ import annotations

import subprocess
from pathlib import Path

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.adoption import specified
from promotion_pipeline_tests.adoption.servers import binaries_of

_COUNTS = """
    SELECT (SELECT count(*) FROM experiment_promotions) AS promotions,
        (SELECT count(*) FROM ab_experiment_phases) AS phases,
        (SELECT sum(requests) FROM user_totals) AS users, (SELECT count(*) FROM promotion_audit) AS audit,
        (SELECT count(*) FROM promotion_pipeline_requests) AS requests
"""


def _restored(dump: bytes, url: str, *options: str) -> tuple[int, bytes]:
    binaries = binaries_of(15)
    assert binaries is not None
    command = [str(binaries / "pg_restore"), "--exit-on-error", *options, "-d", url]
    done = subprocess.run(command, input=dump, capture_output=True, check=False)
    return done.returncode, done.stderr


def test_a_dump_is_restored_whole_and_into_tables_that_are_there(
    older_server: str, older_database: str, tmp_path: Path
) -> None:
    with connect(older_database) as connection:
        specified.bring(connection)
    migrate.upgrade(older_database)
    store = Store(older_database, Settings(home=tmp_path))
    with store.connect() as connection:
        roll_up_missing(store, newest_complete_hour(connection))
    promote_winner("runs", "manual", "user-1", store=store)
    rollback_promotion("runs", "errors", "maria", store=store)
    binaries = binaries_of(15)
    assert binaries is not None
    dump = subprocess.run([binaries / "pg_dump", "-Fc", older_database], check=True, capture_output=True).stdout
    with store.connect() as connection:
        counts = connection.execute(_COUNTS.encode()).fetchone()

    name = older_database.partition("@/")[2].partition("?")[0]
    whole, filled = (older_server.format(f"{name}_{kind}") for kind in ("whole", "filled"))
    for kind in ("whole", "filled"):
        create_database(older_server.format("postgres"), f"{name}_{kind}", "template0")
    assert _restored(dump, whole) == (0, b"")
    with connect(filled) as connection:
        connection.execute(specified.TABLES.encode())
    migrate.upgrade(filled)
    with connect(filled) as connection:
        connection.execute("TRUNCATE promotion_pipeline_version, adopted_tables, notification_channels CASCADE")
    assert _restored(dump, filled, "--data-only", "--disable-triggers") == (0, b"")
    for url in (whole, filled):
        with connect(url) as connection:
            assert connection.execute(_COUNTS.encode()).fetchone() == counts
        migrate.upgrade(url)
        again = Store(url, Settings(home=tmp_path))
        assert rollback_promotion("was-promoted", "x", "maria", store=again).state == "rolled_back"
