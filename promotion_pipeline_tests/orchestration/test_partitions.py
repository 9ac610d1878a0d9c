"""Where the partitions begin, whatever the database holds and whether or not it answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.definitions.metadata.metadata_value import CodeLocationReconstructionMetadataValue
from dagster._core.definitions.repository_definition import RepositoryLoadData

from promotion_pipeline.decisions.beginning import WindowSize, steps, window_size
from promotion_pipeline.decisions.sums import bring_sums_up_to_date
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration import partitions
from promotion_pipeline.orchestration.partitions import EARLIEST, START_VARIABLE, first_hour, hours_of_run, range_tags
from promotion_pipeline.rollups import catch_up
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, count, seed_experiment

HOUR = timedelta(hours=1)


@contextmanager
def loading(load_type: DefinitionsLoadType, known: dict[str, str] | None = None) -> Iterator[DefinitionsLoadContext]:
    """As Dagster loads a code location, or a run of one that had read `known`."""
    wrapped = {key: CodeLocationReconstructionMetadataValue(value) for key, value in (known or {}).items()}
    data = RepositoryLoadData(cacheable_asset_data={}, reconstruction_metadata=wrapped, defs_state_info=None)
    context = DefinitionsLoadContext(load_type, repository_load_data=data)
    first_hour.cache_clear()
    with DefinitionsLoadContext.scoped(context):
        yield context
    first_hour.cache_clear()


def read_at_load(store: Store, monkeypatch: pytest.MonkeyPatch) -> datetime:
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", store.url)
    with loading(DefinitionsLoadType.INITIALIZATION):
        return first_hour()


def newest(store: Store) -> datetime:
    with store.connect() as connection:
        return newest_complete_hour(connection)


def begin(store: Store, name: str, start: str) -> None:
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET start_date = %s WHERE name = %s", (start, name))


def test_they_begin_at_the_first_experiment_and_an_earlier_one_that_is_adopted_later_moves_them_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = newest(store)
    seed_experiment(store, "first", NO_DIFFERENCE, start=end - 30 * HOUR)
    assert read_at_load(store, monkeypatch) == end - 30 * HOUR
    seed_experiment(store, "later", NO_DIFFERENCE, start=end - 10 * HOUR)
    assert read_at_load(store, monkeypatch) == end - 30 * HOUR
    seed_experiment(store, "adopted", NO_DIFFERENCE, start=end - 400 * HOUR)
    assert read_at_load(store, monkeypatch) == end - 400 * HOUR


@pytest.mark.parametrize("start", ["1970-01-01", "-infinity", "0044-03-15 BC", "9999-01-01", "infinity"])
def test_a_date_that_nobody_meant_moves_them_nowhere(store: Store, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    end = newest(store)
    seed_experiment(store, "sound", NO_DIFFERENCE, start=end - 30 * HOUR)
    seed_experiment(store, "odd", NO_DIFFERENCE, start=end - 20 * HOUR)
    begin(store, "odd", start)
    assert read_at_load(store, monkeypatch) == end - 30 * HOUR


def test_they_stay_where_the_first_sums_are_when_the_experiment_is_gone_or_was_moved(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = newest(store)
    seed_experiment(store, "first", NO_DIFFERENCE, start=end - 30 * HOUR)
    catch_up(store, end)
    begin(store, "first", (end - HOUR).isoformat())
    assert read_at_load(store, monkeypatch) == end - 30 * HOUR


def test_without_an_experiment_less_than_a_day_is_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest(store) - read_at_load(store, monkeypatch) <= 24 * HOUR


def test_a_date_that_is_set_wins_and_what_is_no_date_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_experiment(store, "first", NO_DIFFERENCE)
    monkeypatch.setenv(START_VARIABLE, "2025-06-01")
    assert read_at_load(store, monkeypatch) == datetime(2025, 6, 1, tzinfo=UTC)
    monkeypatch.setenv(START_VARIABLE, "June")
    with pytest.raises(ConfigError, match="AUTO_PROMOTION_PARTITIONS_START='June'"):
        read_at_load(store, monkeypatch)


def test_a_database_that_does_not_answer_delays_no_load_and_leaves_out_no_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(partitions, "SECONDS", 1)
    with socket.socket() as silent, caplog.at_level(logging.WARNING):
        # It takes the connection and never says a word.
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://nobody:secret@127.0.0.1:{silent.getsockname()[1]}/nothing"
        monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", url)
        with loading(DefinitionsLoadType.INITIALIZATION):
            assert first_hour() == EARLIEST
    assert "partitions begin at 2024-01-01 until the code location is loaded again" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_knows_the_hours_of_the_location_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    known = {partitions.LOAD_KEY: "2026-02-03T04:00:00+00:00"}
    with loading(DefinitionsLoadType.RECONSTRUCTION, known):
        assert first_hour() == datetime(2026, 2, 3, 4, tzinfo=UTC)
    with loading(DefinitionsLoadType.RECONSTRUCTION):
        assert first_hour() == EARLIEST


def test_a_single_hour_is_a_partition_and_several_are_a_range() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert range_tags(start, start + HOUR) == {"dagster/partition": "2026-03-01-00:00"}
    for hours in (1, 5):
        assert hours_of_run(range_tags(start, start + hours * HOUR)) == (start, start + hours * HOUR)
    assert hours_of_run({}) is None


def test_a_window_of_more_than_a_thousand_hours_says_its_size_first_and_goes_in_steps(store: Store) -> None:
    end = newest(store)
    seed_experiment(store, "long", NO_DIFFERENCE, start=end - 500 * HOUR)
    seed_experiment(store, "short", NO_DIFFERENCE, start=end - 100 * HOUR, end=end)
    said: list[str] = []
    bring_sums_up_to_date(store, end - 1_100 * HOUR, end, tell=said.append)
    assert said[0].startswith("1,100 hours x 2 experiments: 600 decisions, about 2,400 rows and a minute")
    assert count(store, "SELECT sum(requests) FROM hourly_variant_rollups") == 40_000
    said.clear()
    evaluate_window(store, end - 1_000 * HOUR, end, tell=said.append)
    assert said == []


def test_the_size_counts_the_hours_that_each_experiment_ran_in_the_window(store: Store) -> None:
    end = newest(store)
    seeded = seed_experiment(store, "long", NO_DIFFERENCE, start=end - 500 * HOUR)
    seed_experiment(store, "odd", NO_DIFFERENCE, start=end - 30 * HOUR)
    begin(store, "odd", "-infinity")
    assert window_size(store, end - 10 * HOUR, end) == WindowSize(10, 2, 20, 80)
    assert window_size(store, end - 10 * HOUR, end, [str(seeded.id)]) == WindowSize(10, 1, 10, 40)


def test_steps_cover_a_window_once() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    parts = list(steps(start, start + 2_500 * HOUR))
    assert [(until - since) // HOUR for since, until in parts] == [1_000, 1_000, 500]
    assert parts[0][0] == start and parts[1][0] == parts[0][1] and parts[-1][1] == start + 2_500 * HOUR
