"""What a team asks of the product, one function a question: each fails where a log cannot answer it.

`test_engine_table.py` asks every log every question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from promotion_pipeline import get_promotion_history, promote_winner
from promotion_pipeline.doctor import examine
from promotion_pipeline.doctor.findings import Status
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.promotion.act.ramp import advance_ramps
from promotion_pipeline.promotion.history.verify import verify_history
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.models import Outcome, PromotionEligibility
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.promotion.watch.rules import WatchStatus
from promotion_pipeline.rollups import catch_up, open_log
from promotion_pipeline.rollups.log_gaps import log_gaps
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.promotion.test_ramp_and_watch import FAILING, HEALTHY, served_since
from promotion_pipeline_tests.rollups.places import Place
from promotion_pipeline_tests.seeding import WINNER, Seeded, count, seed_experiment

HOUR = timedelta(hours=1)


@dataclass
class Asked:
    """One log, empty, the product's store as it is for its own table, and a stage for the real graph."""

    where: Place
    store: Store
    stage: Callable[[], Stage]

    def seeded(self, **config: object) -> Seeded:
        """An experiment that is won, with its requests in the log."""
        seeded = seed_experiment(self.store, "checkout", WINNER, users=300, promotion_config=dict(config))
        self.where.move_requests()
        return seeded

    def roll_up(self, seeded: Seeded, first: int = 0, last: int = 96) -> None:
        with open_log(self.where.store) as log:
            log.roll_up(seeded.start + first * HOUR, seeded.start + last * HOUR)

    def check(self) -> PromotionEligibility:
        [answer] = assess(self.where.store, ["checkout"])
        return answer

    def stored(self, seeded: Seeded) -> pd.DataFrame:
        keys = ["hour", "phase_id", "variant_id"]
        frame = read_rollups(self.where.store, seeded.start, seeded.end).astype(
            {"phase_id": "str", "variant_id": "str"}
        )
        return frame.sort_values(keys, ignore_index=True).drop(columns="experiment_id")


def tick(asked: Asked) -> None:
    """The hourly run rolls up and decides."""
    seeded, stage = asked.seeded(), asked.stage()
    settings = stage.store.settings.model_copy(update={"source": asked.where.store.settings.source})
    there = Store(stage.store.url, settings)
    InProcess(stage.instance, there, log_level="CRITICAL").run_hours(seeded.end - HOUR, seeded.end)
    eligible = "SELECT count(*) FROM eligibility_decisions WHERE is_eligible AND is_promotable AND label = 'record'"
    assert count(asked.where.store, eligible) == 1


def decisions_equal(asked: Asked) -> None:
    """Rollups and the decision are those of the same requests in `ai_requests`."""
    seeded = seed_experiment(asked.store, "checkout", WINNER, users=300)
    with open_log(asked.store) as log:
        log.roll_up(seeded.start, seeded.end)
    [wanted] = assess(asked.store, ["checkout"])
    rows = asked.stored(seeded)
    with asked.store.connect() as connection:
        connection.execute("TRUNCATE hourly_variant_rollups, hourly_user_rollups, rollup_hours, phase_rollups")
    asked.where.move_requests()
    asked.roll_up(seeded)
    pd.testing.assert_frame_equal(asked.stored(seeded), rows, check_dtype=False, check_exact=False, rtol=1e-9)
    found = asked.check()
    assert found.verdict is wanted.verdict
    assert found.confidence == pytest.approx(wanted.confidence, rel=1e-9)
    assert found.evidence.lift_lower == pytest.approx(wanted.evidence.lift_lower, rel=1e-9)


def live_check(asked: Asked) -> None:
    """Hours that are not rolled up are asked of the log."""
    asked.seeded()
    assert asked.check().is_eligible
    assert asked.check().sample_size == 10_000


def watch(asked: Asked) -> None:
    """A winner that fails after its promotion is seen."""
    seeded = asked.seeded()
    promotion = promote_winner("checkout", "manual", "anna", store=asked.where.store)
    served_since(asked.store, seeded, promotion, 2, FAILING)
    asked.where.move_requests()
    [seen] = watch_promotions(asked.where.store)
    assert seen.status is WatchStatus.BREACH
    # Time passes by moving the product's rows; what a log elsewhere had of the last hours stays where it was.
    assert seen.requests >= FAILING.requests


def auto_rollback(asked: Asked) -> None:
    """And is rolled back where that is on."""
    seeded = asked.seeded(autoRollback=True)
    promotion = promote_winner("checkout", "manual", "anna", store=asked.where.store)
    served_since(asked.store, seeded, promotion, 2, FAILING)
    asked.where.move_requests()
    watch_promotions(asked.where.store)
    assert get_promotion_history("checkout", store=asked.where.store)[0].state is PromotionState.ROLLED_BACK


def ramp(asked: Asked) -> None:
    """A step that was held and is clean is followed by the next."""
    seeded = asked.seeded(rampSteps=[75, 100], rampHoldHours=1)
    promotion = promote_winner("checkout", "manual", "anna", store=asked.where.store)
    served_since(asked.store, seeded, promotion, 2, HEALTHY)
    asked.where.move_requests()
    assert [entry.outcome for entry in advance_ramps(asked.where.store)] == [Outcome.RAMPED]


def late_within(asked: Asked) -> None:
    """Rows that come late, within the look-back, are counted by the next run."""
    seeded = asked.seeded()
    late = asked.where.lose(seeded.start + 60 * HOUR, seeded.start + 61 * HOUR)
    asked.where.put(late.iloc[: len(late) // 2])
    asked.roll_up(seeded)
    asked.where.put(late.iloc[len(late) // 2 :])
    asked.roll_up(seeded, 48)
    assert asked.stored(seeded)["requests"].sum() == 20_000


def late_beyond(asked: Asked) -> None:
    """Rows that come after the look-back withhold, and are counted in the end."""
    seeded = asked.seeded()
    late = asked.where.lose(seeded.start + 10 * HOUR, seeded.start + 11 * HOUR)
    asked.where.put(late.iloc[: len(late) // 2])
    asked.roll_up(seeded)
    asked.where.put(late.iloc[len(late) // 2 :])
    assert "incomplete_data" in asked.check().warning_codes
    catch_up(asked.where.store, seeded.start + 48 * HOUR)
    assert asked.stored(seeded)["requests"].sum() == 20_000
    assert asked.check().evidence.is_met


def vanished_hour(asked: Asked) -> None:
    """An hour that is gone changes no sum, is named, and withholds."""
    seeded = asked.seeded()
    asked.roll_up(seeded)
    before = asked.stored(seeded)
    asked.where.lose(seeded.start + 60 * HOUR, seeded.start + 61 * HOUR)
    asked.roll_up(seeded, 48)
    pd.testing.assert_frame_equal(asked.stored(seeded), before)
    with asked.where.store.connect() as connection:
        assert [gap.experiment_name for gap in log_gaps(connection)] == ["checkout"]
    found = asked.check()
    assert "incomplete_data" in found.warning_codes
    assert not found.evidence.is_met


def corrupt_file(asked: Asked) -> None:
    """A broken file of long ago stops nothing, one of the phase withholds; a table that is gone is named."""
    seeded = asked.seeded()
    if not asked.where.is_files:
        asked.where.execute("ALTER TABLE {} RENAME TO elsewhere")
        with pytest.raises(Exception, match=asked.where.table):
            asked.check()
        return
    asked.where.file_of(seeded.start - timedelta(days=9)).write_bytes(b"broken")
    asked.roll_up(seeded)
    assert asked.check().evidence.is_met
    broken = asked.where.file_of(seeded.end - 2 * HOUR)
    broken.write_bytes(b"broken")
    asked.roll_up(seeded, 48)
    found = asked.check()
    assert found.is_eligible
    assert not found.evidence.is_met
    assert any(broken.name in said for said in found.warnings)
    assert asked.stored(seeded)["requests"].sum() == 20_000


def renamed_column(asked: Asked) -> None:
    """A column that is called otherwise from now on is an error that names file or table; our own view follows it."""
    seeded = asked.seeded()
    if asked.where.name == "own table":
        before = asked.check()
        asked.where.execute("ALTER TABLE {} RENAME converted TO has_converted")
        assert asked.check().evidence == before.evidence
        return
    if asked.where.is_files:
        lost = asked.where.lose(seeded.end - HOUR, seeded.end)
        asked.where.put(lost.rename(columns={"converted": "has_converted"}))
        named = f"{seeded.end - HOUR:%Y-%m-%dT%H}-0.parquet"
    else:
        asked.where.execute("ALTER TABLE {} RENAME converted TO has_converted")
        named = "converted"
    with pytest.raises(Exception, match=named):
        asked.check()


def no_error_column(asked: Asked) -> None:
    """Errors that nobody measured pass no check."""
    seeded = asked.seeded()
    if asked.where.name == "own table":
        asked.roll_up(seeded)
        with asked.where.store.connect() as connection:
            connection.execute("UPDATE hourly_variant_rollups SET errors = NULL")
    elif asked.where.is_files:
        asked.where.put(asked.where.lose(seeded.start, seeded.end).drop(columns="is_error"))
    else:
        asked.where.execute("ALTER TABLE {} DROP COLUMN is_error")
    found = asked.check()
    assert not found.is_eligible
    assert not found.safety_checks.error_rate_acceptable
    assert any("not measured" in check.message for check in found.checks)


def doctor(asked: Asked) -> None:
    """It says where the log is, how new, with which columns, since when, and of its files."""
    asked.roll_up(asked.seeded())
    settings = asked.where.store.settings
    environment = {"AUTO_PROMOTION_DATABASE_URL": asked.where.store.url, "AUTO_PROMOTION_HOME": str(settings.home)}
    if settings.source is not None:
        environment["AUTO_PROMOTION_SOURCE"] = str(settings.source)
    found = {one.name: one for one in examine(environment).findings if one.name.startswith("log")}
    assert list(found) == ["log", "log columns", "log kept since", "log files"]
    assert {one.status for one in found.values()} == {Status.OK}, found
    assert asked.where.shown in found["log"].message


def verify(asked: Asked) -> None:
    """A promotion's decision follows from the data, until the log has lost them."""
    seeded = asked.seeded()
    asked.roll_up(seeded)
    promote_winner("checkout", "manual", "anna", store=asked.where.store)
    [before] = verify_history("checkout", store=asked.where.store)
    assert before.is_same
    asked.where.lose(seeded.start + 60 * HOUR, seeded.start + 61 * HOUR)
    [after] = verify_history("checkout", store=asked.where.store)
    assert not after.is_same


QUESTIONS: dict[str, Callable[[Asked], None]] = {
    "tick": tick,
    "decisions equal": decisions_equal,
    "live check": live_check,
    "watch": watch,
    "auto-rollback": auto_rollback,
    "ramp": ramp,
    "late rows within the look-back": late_within,
    "late rows beyond it": late_beyond,
    "vanished hour": vanished_hour,
    "corrupt file": corrupt_file,
    "renamed column": renamed_column,
    "no error column": no_error_column,
    "doctor": doctor,
    "verify": verify,
}


def table_of(passed: dict[tuple[str, str], bool], places: tuple[str, ...]) -> str:
    """The cells as a table in Markdown; a question that failed is "not"."""
    lines = [f"| question | {' | '.join(places)} |", f"| --- |{' --- |' * len(places)}"]
    for question in QUESTIONS:
        cells = ["yes" if passed.get((name, question)) else "not" for name in places]
        lines.append(f"| {question} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_table(file: Path, table: str) -> None:
    """Put the table between the marks of a page."""
    begin, end = "<!-- engine table -->", "<!-- end of engine table -->"
    text = file.read_text()
    before, _, rest = text.partition(begin)
    if not rest:
        raise PromotionError(f"{file} has no {begin}")
    file.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}")
