"""Where a team's request log is and how its columns are called: a small file, checked as it is read.

    # source.toml, named by AUTO_PROMOTION_SOURCE
    engine = "duckdb"
    files = "s3://logs/requests/*/*.parquet"
    time = "epoch_milliseconds"

    [columns]
    created_at = "ts"
    experiment_name = "experiment"
    variant_name = "arm"
    latency_ms = ""            # the log has none

A column that is not listed is looked for under our own name.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.engines.registry import ENGINES, engine_of
from promotion_pipeline.rollups.source_config import Columns, SourceConfig


def load_source(settings: Settings) -> SourceConfig | None:
    """The log of `AUTO_PROMOTION_SOURCE`; None: requests are in `ai_requests` of the product's database.

    `AUTO_PROMOTION_SOURCE_URL` is the file's `url`, kept out of it for its password.

    Raises:
        ConfigError: the file is missing or malformed, or a name or value in it is wrong.
    """
    if settings.source is None:
        if settings.source_url is not None:
            raise ConfigError("AUTO_PROMOTION_SOURCE_URL is set but AUTO_PROMOTION_SOURCE names no file")
        return None
    values = read_file(settings.source)
    if settings.source_url is not None:
        values["url"] = settings.source_url
    files = values.get("files")
    if isinstance(files, str) and "://" not in files:
        values["files"] = str(settings.source.expanduser().absolute().parent / Path(files).expanduser())
    return parse_source(values, str(settings.source))


def read_file(path: Path) -> dict[str, Any]:
    """The values of a TOML file, or of a JSON file by its suffix.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        text = path.expanduser().read_text()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path} is malformed: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"AUTO_PROMOTION_SOURCE={path} must hold an object, not {type(values).__name__}")
    return values


def parse_source(values: Mapping[str, Any], where: str = "source") -> SourceConfig:
    """Check the values of a source.

    Raises:
        ConfigError: a name is unknown (with a suggestion) or a value wrong; never quotes the url.
    """
    _require_known(values, SourceConfig, where)
    if isinstance(values.get("columns"), Mapping):
        _require_known(values["columns"], Columns, f"{where}: columns")
    try:
        config = SourceConfig.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(item, where) for item in error.errors())) from None
    if config.engine not in ENGINES:
        raise ConfigError(f"{where}: engine={config.engine!r}: {_nearest(config.engine, ENGINES)}")
    if wrong := engine_of(config).misplaced(config):
        raise ConfigError(f"{where}: {wrong}")
    return config


def _require_known(values: Mapping[str, Any], model: type[BaseModel], where: str) -> None:
    for name in values:
        if name not in model.model_fields:
            raise ConfigError(f"{where}: unknown name {name!r}; {_nearest(str(name), model.model_fields)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _sentence(item: Any, where: str) -> str:
    name = ".".join(str(part) for part in item["loc"])
    quoted = f"={item['input']!r}" if name and name != "url" and not isinstance(item["input"], Mapping) else ""
    text = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {name}{quoted}: {text}" if name else f"{where}: {text}"
