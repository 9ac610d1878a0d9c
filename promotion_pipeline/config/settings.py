"""The environment: `AUTO_PROMOTION_*`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from promotion_pipeline.config.aliases import ALIASES, ENVIRONMENT_PREFIX, variable_of
from promotion_pipeline.config.checking import suggestion, validated
from promotion_pipeline.config.choices import FlagHash, Mode
from promotion_pipeline.config.thresholds import PromotionConfig, parse_texts
from promotion_pipeline.config.values import hmac_keys, shortened, web_origin
from promotion_pipeline.errors import ConfigError

MINIMUM_SECRET_LENGTH = 16

PASSED_THROUGH = {
    "EXECUTOR": "How Dagster executes the steps of a run: `in_process` (default), `multiprocess`, `k8s`, `celery`,"
    " `celery_k8s`.",
    "EXECUTOR_CONFIG": 'The executor\'s own configuration, an object in JSON such as `{"max_concurrent": 4}`.',
    "RUN_LAUNCHER": "How Dagster starts runs: `default`, `k8s`, `celery_k8s`, `docker`.",
    "RUN_LAUNCHER_CONFIG": "The run launcher's own configuration, an object in JSON.",
    "PARTITIONS_START": "Date of the first hourly partition in Dagster, such as `2026-01-01`.",
}
"""Read by other parts of the product, not by `Settings`; what each means."""


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
    evaluations_a_second: Annotated[int, Field(ge=1)] | None = None
    """Evaluations of flags that one token may ask for in a second, beyond which it is answered 429; none: no limit."""
    evaluation_origins: tuple[str, ...] = ()
    """Origins whose pages may ask for flags, such as https://shop.example.com, separated by commas; `*`: any page."""
    flag_hash: FlagHash = FlagHash.CBOR
    """How evaluations deal out users: as the flagd that serves the same flags does. A change deals everybody anew."""
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
    unleash_url: str | None = None
    """Base of the Unleash server that serves traffic, such as https://unleash.example.com; without `/api`."""
    unleash_token: SecretStr | None = None
    """Token of a user or service account that may update the strategies of the flags."""
    traffic_webhook_secret: SecretStr | None = None
    """Signs what is posted to traffic targets of the kind webhook, by Standard Webhooks: `whsec_` and base64."""
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

    @field_validator("email_to", "evaluation_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("evaluation_origins")
    @classmethod
    def _origins_are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin if origin == "*" else web_origin(origin) for origin in origins)

    @field_validator("thresholds")
    @classmethod
    def _metrics_are_the_experiments_own(cls, thresholds: PromotionConfig) -> PromotionConfig:
        """What a metric measures is fixed by the experiment's phase, which knows no environment."""
        if thresholds.metrics:
            names = ", ".join(shortened(metric.name) for metric in thresholds.metrics)
            raise ValueError(
                f"AUTO_PROMOTION_METRICS states {names}, and nothing is summed up of metrics that no experiment states:"
                " unset it, and give the list to each experiment that has them:"
                " UPDATE ab_experiments SET promotion_config = coalesce(promotion_config, '{}')"
                """ || '{"metrics": [...]}' WHERE name = '...'"""
            )
        return thresholds

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
        thresholds: dict[str, str] = {}
        for variable, value in given.items():
            name = variable.removeprefix(ENVIRONMENT_PREFIX)
            if name.lower() in ALIASES or name.lower() in PromotionConfig.model_fields:
                thresholds[name.lower()] = value
            elif name.lower() in cls.model_fields and name != "THRESHOLDS":
                settings[name.lower()] = value
            elif name not in PASSED_THROUGH:
                raise ConfigError(f"unknown setting {variable}{suggestion(variable, known_variables())}")
        config = parse_texts(thresholds, source="environment", shown=variable_of)
        names = {name: ENVIRONMENT_PREFIX + name.upper() for name in cls.model_fields}
        return validated(cls, settings | {"thresholds": config}, "environment", names)


def known_variables() -> list[str]:
    """Every environment variable that the product reads."""
    own = [ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields if name != "thresholds"]
    thresholds = [variable_of(name) for name in (*PromotionConfig.model_fields, *ALIASES)]
    return sorted(own + thresholds + [ENVIRONMENT_PREFIX + name for name in PASSED_THROUGH])
