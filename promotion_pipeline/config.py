"""The thresholds (`PromotionConfig`) and the environment (`Settings`).

Precedence, weakest first: default < environment < the experiment's `promotion_config` < the request.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from promotion_pipeline.choices import Direction, Evidence, GroupSequentialSpending, Guardrail, Mode, PrimaryMetric
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.values import LONGEST_SHOWN, as_number, hmac_keys, shortened

__all__ = [
    "Direction",
    "Evidence",
    "GroupSequentialSpending",
    "Guardrail",
    "Mode",
    "PrimaryMetric",
    "PromotionConfig",
    "Settings",
    "parse_config",
]

ENVIRONMENT_PREFIX = "AUTO_PROMOTION_"
MINIMUM_SECRET_LENGTH = 16
MOST_REQUESTS = 10**15
"""Of a sample size: a number that no experiment reaches is a mistake, and beyond it numbers are not exact."""
HIGHEST_MARGIN = 0.25
"""Of an error rate: above it percent were meant."""


class PromotionConfig(BaseModel):
    """Thresholds of one evaluation; rates are fractions, `_percent` and confidence are percent.

    Field names are snake_case in Python and camelCase in JSON; either is accepted. Only the fields
    that were given override a weaker layer.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel, allow_inf_nan=False
    )

    min_sample_size: Annotated[int, Field(ge=1, le=MOST_REQUESTS)] = 1000
    """Requests that the smaller of control and candidate must have."""
    min_confidence_level: Annotated[float, Field(gt=50.0, lt=100.0)] = 95.0
    """Percent; 100 * (1 - two-sided p-value) of the pooled z-test must reach it."""
    min_improvement_percent: Annotated[float, Field(ge=0.0, le=1000.0)] = 5.0
    """Percent by which the candidate's rate must exceed control's."""
    min_runtime_hours: Annotated[float, Field(ge=0.0, le=24 * 366)] = 48.0
    """Hours that control and candidate must both have been measured for in this phase, at the as-of."""
    max_error_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    """Fraction of the candidate's requests that may have failed."""
    require_manual_approval: bool = False
    """Eligible experiments wait for a person even when the evidence is there."""
    evidence: Evidence = Evidence.ALWAYS_VALID
    """What an unattended promotion needs beyond the contract."""
    planned_sample_size: Annotated[int, Field(ge=100, le=MOST_REQUESTS)] | None = None
    """Requests of the two compared arms that the experiment was planned for; tunes the always-valid interval, and is
    the end of the plan that the group-sequential boundary is for."""
    group_sequential_spending: GroupSequentialSpending = GroupSequentialSpending.OBRIEN_FLEMING
    """Spending function of that boundary."""
    lift_prior_sd_percent: Annotated[float, Field(gt=0.0, le=1000.0)] = 10.0
    """How large true lifts usually are: the standard deviation, around 0, that the lift is shrunk towards."""
    max_staleness_hours: Annotated[float, Field(gt=0.0, le=24 * 31)] = 2.0
    """An unattended promotion needs a request of the experiment at most this long before the as-of."""
    ramp_steps: Annotated[tuple[float, ...], Field(min_length=1, max_length=20)] = (100.0,)
    """Percent of traffic that the winner gets, step by step; rising, the last one 100."""
    ramp_hold_hours: Annotated[float, Field(ge=0.0, le=24 * 31)] = 24.0
    """Hours that each ramp step but the last is held and watched."""
    watch_hours: Annotated[float, Field(ge=0.0, le=24 * 31)] = 48.0
    """Hours that a promotion is watched after it reached 100 percent."""
    watch_error_rate_margin: Annotated[float, Field(ge=0.0, le=HIGHEST_MARGIN)] = 0.005
    """Fraction of requests; the watch finds a breach where the winner's error rate exceeds that of before by it."""
    watch_latency_margin_percent: Annotated[float, Field(ge=0.0, le=1000.0)] = 20.0
    """Percent by which the winner's mean latency must exceed that of before to be a breach."""
    watch_primary_margin_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 10.0
    """Percent by which the winner's primary metric must be worse than before, once control gets no traffic."""
    watch_primary_margin_to_control_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 3.0
    """Percent by which it must be worse than control's at the same time, while that gets traffic."""
    auto_rollback: bool = False
    """A breach seen by the watch rolls the promotion back without a person."""
    approval_expiry_hours: Annotated[float, Field(gt=0.0, le=24 * 366)] = 168.0
    """Hours after which an unanswered approval request expires."""
    attribution_window_hours: Annotated[float, Field(ge=0.0, le=24 * 92)] = 0.0
    """Only requests older than this at the as-of are judged, and only their stretch counts as runtime; 0 judges all."""
    primary_metric: PrimaryMetric = PrimaryMetric.CONVERSION
    """The metric that the experiment is decided on."""
    direction: Direction = Direction.INCREASE
    """Which way the primary metric improves."""
    guardrails: tuple[Guardrail, ...] = ()
    """What may not get worse in an unattended promotion."""

    @field_validator("max_error_rate", "watch_error_rate_margin", mode="before")
    @classmethod
    def _explain_percent(cls, value: object, info: ValidationInfo) -> object:
        most = 1.0 if info.field_name == "max_error_rate" else HIGHEST_MARGIN
        number = as_number(value)
        if number is None:
            return value
        if number > most:
            raise ValueError(
                f"{str(value)[:LONGEST_SHOWN]} is above {most:g}: it is a fraction, so {number:g} % is written"
                f" {number / 100:g}"
                f" (and {number:g} as a fraction would mean {number * 100:g} %, which is out of bounds)"
            )
        return value

    @field_validator("min_confidence_level", mode="before")
    @classmethod
    def _explain_fraction(cls, value: object) -> object:
        number = as_number(value)
        if number is None:
            return value
        if 0.5 <= number <= 1.0:
            raise ValueError(f"{str(value)[:LONGEST_SHOWN]} is a fraction: it is percent, so write {number * 100:g}")
        return value

    @field_validator("ramp_steps")
    @classmethod
    def _ramp_rises_to_all(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in itertools.pairwise(steps))
        if not rising or steps[0] <= 0 or steps[-1] != 100.0:
            raise ValueError(f"{list(steps)} must rise and end at 100, for example [75, 100]")
        return steps

    def overridden_by(self, other: PromotionConfig | Mapping[str, Any] | None) -> PromotionConfig:
        """This config with the fields that were explicitly set in `other`.

        Raises:
            ConfigError: a name is unknown or a value out of bounds.
        """
        if other is None:
            return self
        layer = other if isinstance(other, PromotionConfig) else parse_config(other)
        given = {name: getattr(layer, name) for name in layer.model_fields_set}
        merged = {name: getattr(self, name) for name in self.model_fields_set} | given
        return PromotionConfig(**merged)

    def to_json(self) -> dict[str, Any]:
        """Every threshold by its snake_case name, as JSON values: what a record of the config holds."""
        return self.model_dump(mode="json")


ACTING_FIELDS = frozenset(
    {
        "require_manual_approval",
        "max_staleness_hours",
        "ramp_steps",
        "ramp_hold_hours",
        "watch_hours",
        "watch_error_rate_margin",
        "watch_latency_margin_percent",
        "watch_primary_margin_percent",
        "watch_primary_margin_to_control_percent",
        "auto_rollback",
        "approval_expiry_hours",
    }
)
"""Thresholds that say what to do with a decision; every other one changes the decision."""


def parse_config(values: Mapping[str, Any], *, source: str = "config") -> PromotionConfig:
    """Check a mapping of thresholds, names in snake_case or camelCase.

    Raises:
        ConfigError: a name is unknown (with a suggestion) or a value out of bounds.
    """
    known = {name: name for name in PromotionConfig.model_fields} | {
        to_camel(name): name for name in PromotionConfig.model_fields
    }
    for name in values:
        if name not in known:
            raise ConfigError(f"{source}: unknown threshold {shortened(name)}{_suggestion(name, list(known))}")
    return _validated(PromotionConfig, values, source)


class Settings(BaseModel):
    """What the process reads from `AUTO_PROMOTION_*`; the thresholds are in `thresholds`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """False: nothing is promoted unattended."""
    mode: Mode = Mode.LIVE
    """Whether decisions are acted upon."""
    home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("promotion-pipeline")))
    """Folder of the embedded server and of Dagster's home."""
    database_url: SecretStr | None = None
    """PostgreSQL of the product; none means the embedded server."""
    dagster_database_url: SecretStr | None = None
    """PostgreSQL of Dagster's storage; none means database `dagster` on the same server."""
    source: Path | None = None
    """File that says where the request log is; none means `ai_requests` in the product's database."""
    source_url: SecretStr | None = None
    """The log's `url`, kept out of that file for its password."""
    schedule_minute: Annotated[int, Field(ge=0, le=59)] = 5
    """Minute past the hour at which the hourly run starts: when the requests of the hour have landed."""
    lookback_hours: Annotated[int, Field(ge=0, le=24 * 31)] = 48
    """Hours before its window that the rollup reads again for late rows."""
    keep_requests_days: Annotated[int, Field(ge=2)] | None = None
    """The hourly run drops the requests of days that ended longer ago; none keeps all."""
    cron_secret: SecretStr | None = None
    """Lets a cron job call the sweep over HTTP; at least 16 characters."""
    public_url: str = "http://127.0.0.1:8000"
    """Where people reach the evidence page: the base of links in messages."""
    dagster_url: str = "http://127.0.0.1:3000"
    """Where people reach the Dagster UI: the base of links in messages."""
    slack_token: SecretStr | None = None
    """Bot token with chat:write; sets the Slack channel on. With channels:history, a message whose answer was lost is
    looked up instead of left to a person."""
    slack_channel: str = "#experiments"
    """Channel that messages go to unless the experiment names its own."""
    slack_base_url: str = "https://slack.com/api/"
    """Base of Slack's Web API."""
    pagerduty_routing_key: SecretStr | None = None
    """Events v2 routing key; sets the PagerDuty channel on."""
    pagerduty_base_url: str = "https://events.pagerduty.com"
    """Base of the Events v2 API."""
    smtp_host: str | None = None
    """Mail server; sets the e-mail channel on."""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Port of the mail server."""
    smtp_user: str | None = None
    """Login at the mail server; none: no login."""
    smtp_password: SecretStr | None = None
    """Password of that login."""
    smtp_starttls: bool = True
    """Encrypt before anything else is said; a server that cannot is refused."""
    smtp_tls: bool | None = None
    """Encrypt from the first byte instead of by STARTTLS; none: on port 465."""
    email_from: str = "promotion-pipeline@localhost"
    """Sender of the e-mails."""
    email_to: tuple[str, ...] = ()
    """Receivers, separated by commas; needed with a mail server."""
    summary_hours: Annotated[int, Field(ge=0, le=24)] = 1
    """Hours that one e-mail summary covers; 0 sends none."""
    notification_retention_days: Annotated[int, Field(ge=0, le=36_500)] = 90
    """Days that what everybody was told of is kept; 0 keeps it for good."""
    user_id_key: SecretStr | None = None
    """Where it is set, user ids are kept as hashes by this key only."""
    thresholds: PromotionConfig = PromotionConfig()
    """The environment's layer of the thresholds."""

    @field_validator("cron_secret", "user_id_key")
    @classmethod
    def _secret_is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < MINIMUM_SECRET_LENGTH:
            raise ValueError(
                f"has {len(secret.get_secret_value())} characters, at least {MINIMUM_SECRET_LENGTH} are needed;"
                ' make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return secret

    @property
    def user_id_keys(self) -> str | None:
        """The inner and the outer key of HMAC-SHA256 (RFC 2104) in hex, for the database's `kept_user_id`."""
        return None if self.user_id_key is None else hmac_keys(self.user_id_key.get_secret_value())

    @field_validator("email_to", mode="before")
    @classmethod
    def _split_addresses(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _mail_has_a_receiver(self) -> Self:
        if self.smtp_host and not self.email_to:
            raise ValueError("AUTO_PROMOTION_SMTP_HOST is set but AUTO_PROMOTION_EMAIL_TO names nobody")
        return self

    @property
    def least_days_kept(self) -> int:
        """The fewest days of requests that leave the look-back of the hourly run whole."""
        return self.lookback_hours // 24 + 2

    @model_validator(mode="after")
    def _days_kept_cover_the_look_back(self) -> Self:
        if self.keep_requests_days is not None and self.keep_requests_days < self.least_days_kept:
            raise ValueError(
                f"AUTO_PROMOTION_KEEP_REQUESTS_DAYS={self.keep_requests_days} is within the look-back of"
                f" {self.lookback_hours} hours, which reads late rows: keep at least {self.least_days_kept} days"
            )
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read `AUTO_PROMOTION_*`; empty values count as not set.

        Raises:
            ConfigError: a name is unknown (with a suggestion) or a value out of bounds; never quotes a secret.
        """
        source = os.environ if environment is None else environment
        given = {k: v for k, v in source.items() if k.startswith(ENVIRONMENT_PREFIX) and v.strip()}
        settings: dict[str, Any] = {}
        thresholds: dict[str, Any] = {}
        for variable, value in given.items():
            name = variable.removeprefix(ENVIRONMENT_PREFIX)
            if name in THRESHOLD_VARIABLES:
                thresholds[THRESHOLD_VARIABLES[name]] = _threshold_value(name, value)
            elif name.lower() in cls.model_fields and name != "THRESHOLDS":
                settings[name.lower()] = value
            elif name not in PASSED_THROUGH:
                raise ConfigError(f"unknown setting {variable}{_suggestion(variable, known_variables())}")
        config = _validated(PromotionConfig, thresholds, "environment", THRESHOLD_NAMES)
        names = {name: ENVIRONMENT_PREFIX + name.upper() for name in cls.model_fields}
        return _validated(cls, settings | {"thresholds": config}, "environment", names)

    def threshold_config(self, *layers: PromotionConfig | Mapping[str, Any] | None) -> PromotionConfig:
        """The environment's thresholds with the given layers on top, weakest first."""
        config = self.thresholds
        for layer in layers:
            config = config.overridden_by(layer)
        return config


THRESHOLD_VARIABLES: dict[str, str] = {
    "REQUIRE_MANUAL": "require_manual_approval",
    "MIN_CONFIDENCE": "min_confidence_level",
    "MIN_IMPROVEMENT": "min_improvement_percent",
} | {
    name.upper(): name
    for name in PromotionConfig.model_fields
    if name not in {"require_manual_approval", "min_confidence_level", "min_improvement_percent"}
}
"""Environment name without its prefix -> field of `PromotionConfig`."""

THRESHOLD_NAMES = {field: ENVIRONMENT_PREFIX + variable for variable, field in THRESHOLD_VARIABLES.items()}

PASSED_THROUGH = {
    "EXECUTOR": "How Dagster executes the steps of a run: `in_process` (default), `multiprocess`, `k8s`, `celery`,"
    " `celery_k8s`.",
    "EXECUTOR_CONFIG": 'The executor\'s own configuration, an object in JSON such as `{"max_concurrent": 4}`.',
    "RUN_LAUNCHER": "How Dagster starts runs: `default`, `k8s`, `celery_k8s`, `docker`.",
    "RUN_LAUNCHER_CONFIG": "The run launcher's own configuration, an object in JSON.",
    "PARTITIONS_START": "Date of the first hourly partition in Dagster, such as `2026-01-01`.",
}
"""Read by other parts of the product, not by `Settings`; what each means."""


def known_variables() -> list[str]:
    """Every environment variable that the product reads."""
    own = [ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields if name != "thresholds"]
    return sorted(own + list(THRESHOLD_NAMES.values()) + [ENVIRONMENT_PREFIX + name for name in PASSED_THROUGH])


def _threshold_value(variable: str, value: str) -> object:
    return [part.strip() for part in value.split(",")] if variable in {"RAMP_STEPS", "GUARDRAILS"} else value


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


_Model = TypeVar("_Model", bound=BaseModel)


def _validated(
    model: type[_Model], values: Mapping[str, Any], source: str, names: Mapping[str, str] | None = None
) -> _Model:
    """Build `model`; messages quote the value unless the field is a secret."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(model, item, source, names or {}) for item in error.errors())) from None


def _sentence(model: type[BaseModel], item: Any, source: str, names: Mapping[str, str]) -> str:
    field = str(item["loc"][0]) if item["loc"] else ""
    text = str(item["msg"]).removeprefix("Value error, ")
    annotation = str(model.model_fields[field].annotation) if field in model.model_fields else ""
    quoted = "" if "SecretStr" in annotation or not field else f"={shortened(item['input'])}"
    return f"{source}: {names.get(field, field)}{quoted}: {text}"
