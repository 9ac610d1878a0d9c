"""Everything that reads experiments or requests, run once; and what it leaves of the sound experiments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2

from promotion_pipeline.api.app import create_app
from promotion_pipeline.api.tokens import Role, create_token
from promotion_pipeline.decisions.redecide import redecide_late
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.doctor import data
from promotion_pipeline.doctor.environment import ReadSettings
from promotion_pipeline.doctor.subject import Subject
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.orchestration.checks import EVALUATION_CHECKS, ROLLUP_CHECKS, Window
from promotion_pipeline.orchestration.schedules import due_run
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.history.verify import verify_history
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.rollups.catching_up import roll_up, roll_up_missing
from promotion_pipeline.rollups.conservation import hour_counts
from promotion_pipeline.rollups.freshness import freshness
from promotion_pipeline.rollups.postgresql.totals import refresh_totals
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.hostile.world import SOUND, WATCHED

HOURS = 2
"""Hours that the hourly run decides."""
ASKED = 4
"""Hostile experiments that single questions are asked about."""
DATA_CHECKS = (data.last_hour, data.late_rows, data.splits, data.controls, data.thresholds)

_LEFT = {
    "rollups": "SELECT r.*::text AS row FROM hourly_variant_rollups r WHERE {}",
    "metrics": "SELECT r.*::text AS row FROM variant_metrics r WHERE {}",
    "significance": "SELECT r.*::text AS row FROM significance_results r WHERE {}",
    "decisions": "SELECT (to_jsonb(r) - 'decided_at')::text AS row FROM eligibility_decisions r WHERE {}",
    "promotions": "SELECT (to_jsonb(r) - ARRAY['id', 'promoted_at', 'step_started_at', 'snapshot'])::text"
    " AS row FROM experiment_promotions r WHERE {}",
    "approvals": "SELECT candidate_variant_id::text || state AS row FROM promotion_approvals r WHERE {}",
    "users": "SELECT u.*::text AS row FROM hourly_user_rollups u"
    " JOIN ab_experiment_phases r ON r.id = u.phase_id WHERE {}",
    "user totals": "SELECT u.*::text AS row FROM user_totals u JOIN ab_experiment_phases r ON r.id = u.phase_id"
    " WHERE {}",
}


@dataclass(frozen=True)
class Left:
    """What one pass through every door left."""

    rows: dict[str, list[str]]
    """Of the sound experiments: the rows of each table as text, which tells every bit of a number."""
    answers: dict[str, Any]
    """About the sound experiments: what the doors said."""


def hourly_run(store: Store, end: datetime) -> None:
    """What the hourly job does, without Dagster's own part; its checks too."""
    due_run(store, end)
    start = end - timedelta(hours=HOURS)
    first = start - timedelta(hours=store.settings.lookback_hours)
    roll_up(store, first, end)
    roll_up_missing(store, first)
    refresh_totals(store, end)
    freshness(store, end)
    hour_counts(store, start, end)
    evaluate_window(store, start, end)
    redecide_late(store)
    for check in (*ROLLUP_CHECKS.values(), *EVALUATION_CHECKS.values()):
        check.ask(store, Window(start, end))


def through_every_door(store: Store, end: datetime, hostile: Sequence[str]) -> Left:
    """The hourly run, the watch, the questions, the sweep, the sensor's part, the page and the diagnosis.

    Raises:
        Exception: whatever a door raised that stops it for everybody.
    """
    answers: dict[str, Any] = {}
    live = assess(store, list(SOUND))
    answers["check before the run"] = [answer.model_dump(mode="json") for answer in live]
    hourly_run(store, end)
    answers["check"] = [
        answer.model_dump(mode="json") for answer in assess(store, None) if answer.experiment_name in SOUND
    ]
    answers["watch"] = [
        (found.status, found.requests, found.message)
        for found in watch_promotions(store)
        if found.experiment_name == WATCHED
    ]
    _ask_about(store, hostile[:ASKED], end)
    _through_http(store, hostile[:ASKED])
    _diagnose(store)
    for act in pending_promotions(store):
        try:
            apply_pending(store, act.experiment_id, "test")
        except PromotionError:
            assert act.experiment_name not in SOUND
    swept = auto_check_promotions("test", store=store)
    answers["sweep"] = [(entry.experiment_name, entry.outcome) for entry in swept.results if _is_sound(entry)]
    return Left(_rows(store), answers)


def _is_sound(entry: Any) -> bool:
    return entry.experiment_name in SOUND


def _ask_about(store: Store, names: Sequence[str], end: datetime) -> None:
    for name in names:
        for ask in (
            lambda name=name: assess(store, [name]),
            lambda name=name: assess(store, [name], None, end - timedelta(hours=3)),
            lambda name=name: get_promotion_history(name, store=store),
            lambda name=name: verify_history(name, store=store),
        ):
            try:
                ask()
            except PromotionError as error:
                assert len(str(error)) < 5_000, str(error)[:200]


def _through_http(store: Store, names: Sequence[str]) -> None:
    token, _ = create_token(store, "hostile test", Role.OPERATOR, "test")
    prefix = "/api/monitoring/experiments"
    asked = dict.fromkeys((prefix, "/api/monitoring/approvals"), True)
    asked |= {f"{prefix}/{quote(name, safe='')}/{what}": False for name in names for what in ("promote", "history")}
    answers = asyncio.run(_get(store, token, list(asked)))
    for path, answer in answers.items():
        assert answer.status_code == 200 if asked[path] else answer.status_code < 500, (path[:200], answer.text[:500])
        assert answer.json() is not None


async def _get(store: Store, token: str, paths: Sequence[str]) -> dict[str, httpx2.Response]:
    app = create_app(store)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return {path: await client.get(path) for path in paths}
    finally:
        app.state.door.store.close()


def _diagnose(store: Store) -> None:
    with store.connect() as connection:
        subject = Subject(ReadSettings(store.settings, {}), {}, store=store, connection=connection, has_schema=True)
        for check in DATA_CHECKS:
            assert check(subject).message


def _rows(store: Store) -> dict[str, list[str]]:
    left = {}
    with store.connect() as connection:
        ids = [
            row["id"]
            for row in connection.execute("SELECT id FROM ab_experiments WHERE name = ANY(%s)", [[*SOUND, WATCHED]])
        ]
        for name, query in _LEFT.items():
            rows = connection.execute(query.format("r.experiment_id = ANY(%s)").encode(), [ids]).fetchall()
            left[name] = sorted(row["row"] for row in rows)
    return left
