"""One name a threshold, and the first specification's other names, at every door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import typer
from fastapi import FastAPI
from pydantic.alias_generators import to_camel
from typer.testing import CliRunner

from promotion_pipeline.api.bodies import thresholds_in_query
from promotion_pipeline.backtest import parse_rule
from promotion_pipeline.cli.options import ThresholdCommand, takes_thresholds
from promotion_pipeline.config import DOOR_THRESHOLDS, PromotionConfig, Settings, parse_config
from promotion_pipeline.config.aliases import ALIASES
from promotion_pipeline.config.precedence import thresholds_in_force
from promotion_pipeline.decisions.experiments import parsed_thresholds
from promotion_pipeline.errors import ConfigError

VALUES: dict[str, str] = {
    "min_sample_size": "2000",
    "min_confidence_level": "99",
    "min_improvement_percent": "7.5",
    "min_runtime_hours": "96",
    "max_error_rate": "0.01",
    "require_manual_approval": "true",
    "evidence": "fixed_horizon",
}
NAMES = {name: name for name in VALUES} | dict(ALIASES)
"""Every name of the thresholds that the specification knows -> the threshold."""
SPECIFICATION = {
    "AUTO_PROMOTION_REQUIRE_MANUAL": "require_manual_approval",
    "AUTO_PROMOTION_MIN_SAMPLE_SIZE": "min_sample_size",
    "AUTO_PROMOTION_MIN_CONFIDENCE": "min_confidence_level",
    "AUTO_PROMOTION_MIN_IMPROVEMENT": "min_improvement_percent",
    "AUTO_PROMOTION_MIN_RUNTIME_HOURS": "min_runtime_hours",
    "AUTO_PROMOTION_MAX_ERROR_RATE": "max_error_rate",
}


def _environment(name: str, value: str) -> PromotionConfig:
    return Settings.from_environment({f"AUTO_PROMOTION_{name.upper()}": value}).thresholds


def _stored(name: str, value: str) -> PromotionConfig:
    return thresholds_in_force(PromotionConfig(), {to_camel(name): value}).used


def _frame(name: str, value: str) -> PromotionConfig:
    given, error = parsed_thresholds(f'{{"{name}": "{value}"}}')
    assert error is None
    return PromotionConfig(**given)


def _rule(name: str, value: str) -> PromotionConfig:
    return parse_rule(f"{name.replace('_', '-')}={value}").given


def _command(*arguments: str) -> PromotionConfig:
    got: list[Any] = []
    app = typer.Typer()

    def take(config: Any = None) -> None:
        got.append(config)

    app.command(cls=ThresholdCommand)(takes_thresholds(take))
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (config,) = got
    assert isinstance(config, PromotionConfig)
    return config


def _option(name: str, value: str) -> PromotionConfig:
    flag = f"--{name.replace('_', '-')}"
    return _command(flag) if value == "true" else _command(flag, value)


def _set(name: str, value: str) -> PromotionConfig:
    return _command("--set", f"{name}={value}")


def _query(name: str, value: str) -> PromotionConfig:
    def echo(config: PromotionConfig | None = None) -> dict[str, Any]:
        return {} if config is None else config.model_dump(mode="json", include=config.model_fields_set)

    application = FastAPI()
    application.get("/")(thresholds_in_query(echo))

    async def ask() -> Any:
        transport = httpx2.ASGITransport(app=application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://door") as client:
            return (await client.get("/", params={to_camel(name): value})).json()

    return parse_config(asyncio.run(ask()))


DOORS: dict[str, Callable[[str, str], PromotionConfig]] = {
    "environment": _environment,
    "promotion_config": _stored,
    "the evaluation's frame": _frame,
    "Python": lambda name, value: parse_config({name: value}),
    "JSON body": lambda name, value: parse_config({to_camel(name): value}),
    "query": _query,
    "option": _option,
    "--set": _set,
    "rule of a backtest": _rule,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_is_read_by_each_of_its_names(door: str, name: str) -> None:
    field = NAMES[name]
    assert DOORS[door](name, VALUES[field]) == parse_config({field: VALUES[field]})


def test_the_specifications_variables_are_read() -> None:
    given = Settings.from_environment({name: VALUES[field] for name, field in SPECIFICATION.items()}).thresholds
    assert given == parse_config({field: VALUES[field] for field in SPECIFICATION.values()})


def test_the_usual_thresholds_are_those_of_the_specification() -> None:
    assert set(DOOR_THRESHOLDS) == set(VALUES)


def test_two_names_of_one_threshold_with_two_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'min_confidence_level' and 'min_confidence' are one threshold"):
        parse_config({"min_confidence_level": 99, "min_confidence": 95})
    assert parse_config({"minConfidenceLevel": 99, "min_confidence": 99}).min_confidence_level == 99


def test_what_is_wrong_is_said_by_the_name_that_was_given() -> None:
    with pytest.raises(ConfigError, match=r"environment: AUTO_PROMOTION_MIN_CONFIDENCE='0\.95'.*write 95"):
        Settings.from_environment({"AUTO_PROMOTION_MIN_CONFIDENCE": "0.95"})
    with pytest.raises(ConfigError, match=r"minConfidence=0\.95"):
        parse_config({"minConfidence": 0.95})


def test_a_list_is_parted_by_commas_wherever_it_is_text() -> None:
    asked = parse_config({"ramp_steps": [75, 100]})
    for door in ("environment", "--set"):
        assert DOORS[door]("ramp_steps", "75, 100,") == asked
    with pytest.raises(ConfigError, match="valid tuple"):
        parse_config({"rampSteps": "75,100"})


def test_the_option_gives_way_to_set() -> None:
    assert _command("--max-error-rate", "0.2", "--set", "max-error-rate=0.1").max_error_rate == 0.1
