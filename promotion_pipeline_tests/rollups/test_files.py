"""Single files of a log that are broken or differ: named, and in nobody else's way."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from promotion_pipeline.errors import ConfigError, PromotionError
from promotion_pipeline.rollups import Span, open_log
from promotion_pipeline.rollups.log_gaps import GapKind, gap_sentence, log_gaps
from promotion_pipeline.rollups.stored import read_rollups
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.rollups.conftest import MakePlace
from promotion_pipeline_tests.rollups.places import Place, each
from promotion_pipeline_tests.seeding import WINNER, Seeded, seed_experiment

HOUR = timedelta(hours=1)
FILES = ("DuckDB", "Spark", "chdb")
DROPPED = {
    "renamed": lambda rows: rows.rename(columns={"converted": "has_converted"}),
    "without errors": lambda rows: rows.drop(columns="is_error"),
    "without latency": lambda rows: rows.drop(columns="latency_ms"),
}


def seed(where: Place, store: Store) -> Seeded:
    seeded = seed_experiment(store, "checkout", WINNER, users=300)
    where.move_requests()
    return seeded


def requests_by_hour(store: Store, seeded: Seeded) -> pd.Series:
    return read_rollups(store, seeded.start, seeded.end).groupby("hour")["requests"].sum()


@pytest.mark.parametrize("name", each(*FILES))
def test_a_corrupt_file_outside_the_window_stops_nothing(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    where = make_place(name)
    seeded = seed(where, store)
    where.file_of(seeded.start - timedelta(days=4)).write_bytes(b"this was never Parquet")
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end)
        counted = log.counts([Span("all", seeded.id, seeded.start, seeded.end)])
    assert counted == {"all": 20_000}
    assert requests_by_hour(store, seeded).sum() == 20_000
    assert log_gaps(connection) == []


@pytest.mark.parametrize("name", each(*FILES))
def test_a_corrupt_file_inside_is_named_and_changes_no_sum_that_was_counted(
    make_place: MakePlace, store: Store, connection: Connection, name: str
) -> None:
    where = make_place(name)
    seeded = seed(where, store)
    with open_log(where.store) as log:
        log.roll_up(seeded.start, seeded.end - 20 * HOUR)
    before = requests_by_hour(store, seeded)
    broken = {hours: where.folder / f"{seeded.end - hours * HOUR:%Y-%m-%dT%H}-0.parquet" for hours in (30, 2)}
    good = {path: path.read_bytes() for path in broken.values()}
    for path in broken.values():
        path.write_bytes(path.read_bytes()[:-20])
    with open_log(where.store) as log:
        log.roll_up(seeded.end - 48 * HOUR, seeded.end)
    after = requests_by_hour(store, seeded)
    pd.testing.assert_series_equal(after[before.index], before)
    assert len(after) == 95
    [gap] = log_gaps(connection)
    assert (gap.kind, gap.experiment_name) == (GapKind.UNREADABLE, "checkout")
    assert any(path.name in gap_sentence(gap) for path in broken.values())
    for path, content in good.items():
        path.write_bytes(content)
    with open_log(where.store) as log:
        log.roll_up(seeded.end - 48 * HOUR, seeded.end)
    assert requests_by_hour(store, seeded).sum() == 20_000
    assert log_gaps(connection) == []


@pytest.mark.parametrize("change", DROPPED)
@pytest.mark.parametrize("name", each(*FILES))
def test_a_column_that_newer_files_lack_is_an_error_that_names_the_file(
    make_place: MakePlace, store: Store, name: str, change: str
) -> None:
    where = make_place(name)
    seeded = seed(where, store)
    lost = where.lose(seeded.end - HOUR, seeded.end)
    where.put(DROPPED[change](lost))
    file = f"{seeded.end - HOUR:%Y-%m-%dT%H}-0.parquet"
    span = Span("all", seeded.id, seeded.start, seeded.end)
    with open_log(where.store) as log:
        for ask in (
            lambda: log.roll_up(seeded.start, seeded.end),
            lambda: log.rollups(seeded.start, seeded.end),
            lambda: log.sums([span]),
            lambda: log.counts([span]),
        ):
            with pytest.raises(ConfigError, match=file):
                ask()
        # The hours before it are of other files.
        assert log.rollups(seeded.start, seeded.end - HOUR)["requests"].sum() == 20_000 - len(lost)


@pytest.mark.parametrize("name", each(*FILES))
def test_a_log_that_learns_a_measure_later_is_read_whole(make_place: MakePlace, store: Store, name: str) -> None:
    where = make_place(name)
    seeded = seed(where, store)
    old = where.lose(seeded.start, seeded.start + 20 * HOUR)
    where.put(old.drop(columns=["latency_ms", "value"]))
    with open_log(where.store) as log:
        found = log.rollups(seeded.start, seeded.end)
    assert found["requests"].sum() == 20_000
    assert found["latency_samples"].sum() == 20_000 - len(old)


@pytest.mark.parametrize("name", each(*FILES))
def test_a_log_of_broken_files_alone_is_an_error_that_names_one(make_place: MakePlace, store: Store, name: str) -> None:
    where = make_place(name)
    seeded = seed_experiment(store, "checkout", WINNER)
    where.file_of(seeded.start).write_bytes(b"broken")
    with open_log(where.store) as log, pytest.raises(PromotionError, match=where.folder.name):
        log.roll_up(seeded.start, seeded.end)
