"""The metrics that an experiment states: every reader takes them, and what does not fit is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promotion_pipeline.config import MetricConfig, PromotionConfig, Settings, parse_config, parse_metrics, parse_texts
from promotion_pipeline.config.metrics import MOST_METRICS
from promotion_pipeline.config.precedence import own_thresholds, stricter_of
from promotion_pipeline.doctor.environment import read_environment
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.run_config import ThresholdConfig
from promotion_pipeline_tests.evaluation.stated import LATENCY, REFUNDS, REVENUE

CAMEL = {
    "name": "latency",
    "kind": "request_mean",
    "column": "latency_ms",
    "role": "guardrail",
    "direction": "decrease",
    "marginPercent": 5,
}
RATIO = {"name": "basket", "kind": "ratio", "numerator": "revenue", "denominator": "refunds", "role": "goal"}


def test_every_reader_takes_them() -> None:
    stated = (MetricConfig(**LATENCY),)
    text = json.dumps([CAMEL])
    assert parse_config({"metrics": [CAMEL]}).metrics == stated
    assert own_thresholds({"metrics": [LATENCY]}).metrics == stated
    assert parse_texts({"metrics": text}, source="--set").metrics == stated
    assert ThresholdConfig(metrics=[CAMEL]).thresholds().metrics == stated
    assert parse_metrics(text) == parse_metrics([LATENCY]) == parse_metrics(stated) == stated


def test_the_environment_is_refused_with_what_to_write_instead() -> None:
    said = r"AUTO_PROMOTION_METRICS states 'latency', and nothing is summed up .* UPDATE ab_experiments"
    with pytest.raises(ConfigError, match=said):
        Settings.from_environment({"AUTO_PROMOTION_METRICS": json.dumps([CAMEL])})
    assert Settings.from_environment({"AUTO_PROMOTION_METRICS": "[]"}).thresholds.metrics == ()


def test_doctor_names_the_variable_and_reads_the_others() -> None:
    read = read_environment({"AUTO_PROMOTION_METRICS": json.dumps([CAMEL]), "AUTO_PROMOTION_MIN_SAMPLE_SIZE": "7"})
    assert [*read.invalid] == ["AUTO_PROMOTION_METRICS"]
    assert "nothing is summed up" in read.invalid["AUTO_PROMOTION_METRICS"]
    assert read.settings.thresholds.min_sample_size == 7


def test_a_record_of_the_config_is_read_again_as_it_was() -> None:
    config = parse_config({"metrics": [REVENUE, REFUNDS, LATENCY, RATIO]})
    assert parse_config(json.loads(json.dumps(config.to_json()))) == PromotionConfig(**config.to_json())


def test_what_is_measured_is_the_experiments_own_in_an_unattended_act() -> None:
    own = PromotionConfig(metrics=(MetricConfig(**REFUNDS),))
    used, overruled = stricter_of(PromotionConfig(metrics=()), own)
    assert used.metrics == own.metrics
    assert [over.threshold for over in overruled] == ["metrics"]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([REVENUE | {"margin_percent": 2}], "margin_percent=2 is of a guardrail, and this is a goal"),
        ([REVENUE, REVENUE | {"name": "Revenue "}], "two metrics are named 'Revenue'"),
        ([REVENUE | {"cap": -5}], r"metrics\[0\].cap=-5: .*greater than 0"),
        ([REVENUE | {"cap": 1e200}], "less than or equal to"),
        ([REVENUE | {"cap": float("nan")}], r"metrics\[0\].cap"),
        ([REVENUE | {"kind": "user_proportion", "cap": 3}], "cap=3 does nothing to a user_proportion"),
        ([REVENUE | {"event": None}], "an `event` or a `column`, not of nothing"),
        ([REVENUE | {"column": "value"}], "not of `event` and `column`"),
        ([LATENCY | {"column": "x; DROP TABLE"}], "column="),
        ([LATENCY | {"covariate": "same_metric_before"}], "request_mean has none"),
        ([REVENUE | {"rolle": "goal"}], "unknown name 'rolle'; did you mean 'role'"),
        ([REVENUE | {"name": "a\nb"}], "control character"),
        ([REVENUE | {"name": " "}], r"metrics\[0\].name"),
        ([RATIO], "which is no metric of the experiment"),
        ([RATIO | {"numerator": "refunds"}, REFUNDS], "that is 1"),
        ([RATIO, REVENUE, REFUNDS, RATIO | {"name": "b", "numerator": "basket"}], "itself a ratio"),
        ([REFUNDS | {"margin_percent": 0.001}], "1 percent is written 1"),
        ([REFUNDS | {"margin_percent": -1}], "greater than 0"),
        ([REVENUE | {"name": f"m{number}"} for number in range(MOST_METRICS + 1)], "more than 20"),
        ("goals", "is no JSON"),
        ([3], r"metrics\[0\]=3"),
        ({"name": "x"}, "metrics="),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(metrics: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config({"metrics": metrics})
