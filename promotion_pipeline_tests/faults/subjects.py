"""Experiments to act upon, many at a time: rollups instead of requests, so that one costs milliseconds."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.config import Settings
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.evaluation.unattended import MadeBy
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.unattended.pending import apply_pending
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.databases import copied_database
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, add_requests, let_time_pass

HISTORY_HOURS = 96
TEMPLATE = "faults_template"
RAMP: dict[str, Any] = {"rampSteps": [60, 80, 100], "rampHoldHours": 24, "autoRollback": True}
HEALTHY = VariantSpec("treatment", requests=1_500, conversions=195, errors=15)
FAILING = VariantSpec("treatment", requests=1_500, conversions=195, errors=300)

_ROLLUPS = """
    INSERT INTO hourly_variant_rollups (hour, experiment_id, phase_id, variant_id, requests, conversions, errors,
        latency_samples, latency_ms_sum, latency_ms_sum_squares, value_sum, value_sum_squares, newest_request_at)
    SELECT hour, p.experiment_id, p.id, v.id, 100,
        CASE WHEN v.is_control THEN 10 WHEN %(proven)s THEN 13 WHEN number %% 20 = 0 THEN 10 ELSE 11 END,
        1, 100, 10000, 1050000, 0, 0, hour + interval '59 minutes'
    FROM ab_experiment_phases p JOIN ab_variants v USING (experiment_id)
    CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 hour', interval '1 hour')
        WITH ORDINALITY AS hours (hour, number)
    WHERE p.experiment_id = ANY(%(ids)s) AND p.ended_at IS NULL
"""
_HOURS = """
    INSERT INTO rollup_hours (hour, requests)
    SELECT hour, 0 FROM generate_series(%(start)s, %(end)s - interval '1 hour', interval '1 hour') AS hour
    ON CONFLICT DO NOTHING
"""
# There are no requests behind these sums, as if their days had been dropped since.
_COVERED = """
    INSERT INTO phase_rollups (phase_id, covered)
    SELECT id, tstzmultirange(tstzrange(%(start)s, %(end)s)) FROM ab_experiment_phases
    WHERE experiment_id = ANY(%(ids)s) AND ended_at IS NULL
"""
_DROPPED = """
    INSERT INTO dropped_requests (before) VALUES (%(end)s)
    ON CONFLICT (one_row) DO UPDATE SET before = greatest(dropped_requests.before, excluded.before)
"""


class Setting(StrEnum):
    """What a subject of the campaign has behind it."""

    DECIDED = "decided"
    """The decision of record says that it may be promoted unattended."""
    UNPROVEN = "unproven"
    """The decision of record says eligible, but a person must be asked."""
    ASKED = "asked"
    """A person was asked."""
    RAMPING = "ramping"
    """Promoted to 60 percent; the next step is due and clean."""
    PROMOTED = "promoted"
    """Promoted to 100 percent."""
    BREACHED = "breached"
    """Promoted to 60 percent, and the winner fails since."""
    ROLLED_BACK = "rolled_back"
    """Promoted and rolled back; on hold."""


@dataclass(frozen=True)
class Subject:
    """One experiment of the campaign."""

    id: UUID
    name: str
    setting: Setting
    control: UUID
    treatment: UUID
    start: datetime
    end: datetime

    @property
    def seeded(self) -> Seeded:
        """The same, as the helpers of the tests take it."""
        return Seeded(self.id, self.name, {"control": self.control, "treatment": self.treatment}, self.start, self.end)


@dataclass
class CampaignDatabase:
    """One database of the campaign."""

    store: Store
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def subjects(self, setting: Setting, count: int) -> list[Subject]:
        """New experiments, all in the same setting."""
        config: dict[str, Any] = RAMP if setting in (Setting.RAMPING, Setting.BREACHED) else {}
        proven = setting not in (Setting.UNPROVEN, Setting.ASKED)
        made = self._insert(setting, count, config, proven)
        for subject in made:
            self._bring(subject)
        return made

    def _insert(self, setting: Setting, count: int, config: dict[str, Any], proven: bool) -> list[Subject]:
        names = [f"{setting.value}-{next(self._numbers)}" for _ in range(count)]
        with self.store.connect() as connection:
            row = connection.execute("SELECT date_trunc('hour', clock_timestamp(), 'UTC') AS at").fetchone()
            assert row is not None
            end = row["at"].astimezone(UTC)
            start = end - timedelta(hours=HISTORY_HOURS)
            with connection.transaction():
                connection.execute(
                    "INSERT INTO ab_experiments (name, start_date, promotion_config) SELECT unnest(%s::text[]), %s, %s",
                    [names, start, Jsonb(config)],
                )
                connection.execute(
                    "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
                    " SELECT id, arm, arm = 'control', 50 FROM ab_experiments"
                    " CROSS JOIN unnest(ARRAY['control', 'treatment']) AS arm WHERE name = ANY(%s)",
                    [names],
                )
            rows = connection.execute(
                "SELECT e.id, e.name, c.id AS control, t.id AS treatment FROM ab_experiments e"
                " JOIN ab_variants c ON c.experiment_id = e.id AND c.is_control"
                " JOIN ab_variants t ON t.experiment_id = e.id AND NOT t.is_control"
                " WHERE e.name = ANY(%s) ORDER BY e.name",
                [names],
            ).fetchall()
            values = {"start": start, "end": end, "proven": proven, "ids": [row["id"] for row in rows]}
            connection.execute(_ROLLUPS, values)
            connection.execute(_HOURS, values)
            connection.execute(_COVERED, values)
            connection.execute(_DROPPED, values)
        evaluate_window(
            self.store,
            end - timedelta(hours=1),
            end,
            experiments=names,
            tables=[Table.DECISIONS],
            made_by=MadeBy.SCHEDULE,
        )
        return [Subject(setting=setting, start=start, end=end, **row) for row in rows]

    def _bring(self, subject: Subject) -> None:
        """From a decision to the setting, by the acts that lead there."""
        store, name = self.store, subject.name
        match subject.setting:
            case Setting.DECIDED | Setting.UNPROVEN:
                return
            case Setting.ASKED:
                apply_pending(store, subject.id, "sensor")
            case Setting.PROMOTED:
                promote_winner(name, "auto", "sensor", store=store)
            case Setting.ROLLED_BACK:
                promote_winner(name, "auto", "sensor", store=store)
                rollback_promotion(name, "errors", "anna", store=store)
            case Setting.RAMPING:
                promote_winner(name, "auto", "sensor", store=store)
                self._serve(subject, 25, HEALTHY)
            case Setting.BREACHED:
                promote_winner(name, "auto", "sensor", store=store)
                self._serve(subject, 2, FAILING)

    def _serve(self, subject: Subject, hours: int, variant: VariantSpec) -> None:
        """Let hours go by in which the winner served these requests."""
        let_time_pass(self.store, subject.seeded, hours)
        with self.store.connect() as connection:
            row = connection.execute("SELECT clock_timestamp() AS at").fetchone()
        assert row is not None
        now = row["at"].astimezone(UTC)
        add_requests(self.store, subject.seeded, variant, start=now - timedelta(hours=hours), end=now)

    def keep_clear_of_the_hour(self, seconds: float) -> None:
        """Wait for the next hour if it begins within `seconds`: then what was decided is not the newest any more."""
        with self.store.connect() as connection:
            row = connection.execute(
                "SELECT extract(epoch FROM date_trunc('hour', clock_timestamp()) + interval '1 hour'"
                " - clock_timestamp())::float8 AS left_seconds"
            ).fetchone()
        assert row is not None
        if row["left_seconds"] < seconds:
            time.sleep(row["left_seconds"] + 0.1)


@dataclass
class CampaignServer:
    """A server and as many databases on it as are asked for; `template` is made where it is missing."""

    server: EmbeddedServer
    template: str = TEMPLATE
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def database(self) -> Iterator[CampaignDatabase]:
        """A fresh database with the schema, dropped afterwards."""
        if next(self._numbers) == 0:
            create_database(self.server.url("postgres"), self.template)
            migrate.upgrade(self.server.url(self.template))
        with copied_database(self.server, self.template, "faults") as url:
            yield CampaignDatabase(Store(url, Settings(home=self.server.home), self.server))
