"""The file that says where the log is, read with the patience of a person who mistyped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError, DependencyError, InputError
from promotion_pipeline.rollups.configuration import load_source, parse_source
from promotion_pipeline.rollups.engines.registry import open_source
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.store.database import Store

TOML = """
engine = "duckdb"
files = "logs/*.parquet"
time = "epoch_milliseconds"
users = false

[columns]
created_at = "ts"
variant_name = "arm"
latency_ms = ""
"""


def settings(tmp_path: Path, text: str, name: str = "source.toml", **environment: str) -> Settings:
    file = tmp_path / name
    file.write_text(text)
    return Settings.from_environment({"AUTO_PROMOTION_SOURCE": str(file), **environment})


def test_without_a_file_requests_are_in_the_product_s_own_table() -> None:
    assert load_source(Settings.from_environment({})) is None


def test_a_file_is_read_and_its_paths_are_beside_it(tmp_path: Path) -> None:
    config = load_source(settings(tmp_path, TOML))
    assert config is not None
    assert (config.engine, config.time, config.users) == ("duckdb", TimeKind.EPOCH_MILLISECONDS, False)
    assert config.files == str(tmp_path / "logs" / "*.parquet")
    assert config.columns.variant_name == "arm"


def test_json_and_s3_are_taken_as_they_are(tmp_path: Path) -> None:
    values = {"engine": "duckdb", "files": "s3://logs/*.parquet"}
    config = load_source(settings(tmp_path, json.dumps(values), "source.json"))
    assert config is not None
    assert config.files == "s3://logs/*.parquet"


def test_the_url_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    url = "postgresql://reader:hunter2@logs/events"
    given = settings(tmp_path, 'engine = "postgresql"\ntable = "team.events"', AUTO_PROMOTION_SOURCE_URL=url)
    config = load_source(given)
    assert config is not None
    assert config.url is not None
    assert config.url.get_secret_value() == url
    assert config.table == ("team", "events")
    assert "hunter2" not in f"{config!r} {given!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('engine = "duckdb"', "duckdb reads Parquet files: set files"),
        ('engine = "duckdbb"\nfiles = "x"', "engine='duckdbb'"),
        ('engine = "duckdb"\nfile = "x"', "unknown name 'file'; did you mean 'files'?"),
        (
            'engine = "duckdb"\nfiles = "x"\n[columns]\nuserid = "u"',
            "columns: unknown name 'userid'; did you mean 'user_id'?",
        ),
        ('engine = "duckdb"\nfiles = "x"\ntime = "utcc"', "time='utcc'"),
        ('engine = "trino"\nfiles = "x"', "trino reads a table: set table instead of files"),
        ('engine = "clickhouse"', "either url .* or files"),
        ('engine = "trino"\nurl = "http://secret@x"', "trino takes no url"),
        ('engine = "postgresql"\ntable = "team..events"', "'team..events' is no table"),
        ('engine = "postgresql"\n[columns]\nvalue = "a\\u0000b"', "holds a character that no name can have"),
        ('engine = "postgresql"\n[columns]\nconverted = ""', "converted cannot be missing"),
        (
            'engine = "postgresql"\n[columns]\nvariant_id = "v"\nvariant_name = "n"',
            "variant_id and variant_name are both given",
        ),
        ("engine = ", "is malformed"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_source(settings(tmp_path, text))
    assert "source.toml" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file_and_a_url_without_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load_source(Settings.from_environment({"AUTO_PROMOTION_SOURCE": str(tmp_path / "nowhere.toml")}))
    with pytest.raises(ConfigError, match="AUTO_PROMOTION_SOURCE names no file"):
        load_source(Settings.from_environment({"AUTO_PROMOTION_SOURCE_URL": "postgresql://x"}))
    with pytest.raises(ConfigError, match="must hold an object, not list"):
        load_source(settings(tmp_path, "[1]", "source.json"))


@pytest.mark.parametrize(
    ("module", "values", "extra"),
    [
        ("duckdb", {"engine": "duckdb", "files": "x"}, "duckdb"),
        ("pyspark.sql", {"engine": "spark"}, "spark"),
        ("chdb", {"engine": "clickhouse", "files": "x"}, "clickhouse"),
    ],
)
def test_an_engine_that_is_not_installed_names_its_extra(
    store: Store, monkeypatch: pytest.MonkeyPatch, module: str, values: dict[str, str], extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with (
        pytest.raises(DependencyError, match=rf"not installed .* pip install 'promotion-pipeline\[{extra}\]'"),
        open_source(parse_source(values), store),
    ):
        pass


def test_an_engine_that_is_only_compiled_says_what_to_do(store: Store) -> None:
    with (
        pytest.raises(InputError, match="snowflake is not run here"),
        open_source(parse_source({"engine": "snowflake"}), store),
    ):
        pass
