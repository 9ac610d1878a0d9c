"""Rows that the first version wrote and did not send are sent by this one, with the same words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.notifications.compose import compose
from promotion_pipeline.notifications.notification import Notification
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.outbox import enqueue
from promotion_pipeline_tests.notifications.helpers import deliver
from promotion_pipeline_tests.notifications.servers import Web

FIRST = json.loads(Path(__file__).with_name("first_payloads.json").read_text(encoding="utf-8"))
"""Event, level and payload as the first version wrote them, and the title and lines that people read of them."""
WRITTEN_AT = datetime(2026, 3, 1, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("row", FIRST, ids=lambda row: str(row["event"]))
def test_a_row_of_the_first_version_says_what_it_said_then(row: dict[str, Any]) -> None:
    stored = {
        "event": row["event"],
        "level": row["level"],
        "created_at": WRITTEN_AT,
        "dedup_key": "key",
        "payload": row["payload"],
        "experiment_name": row["payload"].get("experiment_name"),
        "variant_names": {"id-1": "blue", "id-2": "green"},
        "confidence": 97.0,
        "improvement": 12.5,
        "promoted_at": datetime(2026, 3, 1, 2, 30, tzinfo=UTC),
        "rollback_at": None,
    }
    said = compose(Notification.from_row(stored), Settings())
    assert (said.title, said.as_text().split("\n")) == (row["title"], row["text"])


def test_rows_of_the_first_version_leave_the_outbox(channels: Store, slack: Web) -> None:
    with channels.connect() as connection:
        for number, row in enumerate(FIRST):
            enqueue(connection, row["event"], row["level"], None, None, f"first:{number}", row["payload"])
    report = deliver(channels)
    assert report.dead == 0
    titles = {body["text"].split("\n")[0] for body in slack.confirmed}
    assert {row["title"] for row in FIRST if row["event"] == "rollback"} <= titles
