"""What the routes take and give: camelCase, unknown members refused with a suggestion."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar, get_type_hints
from uuid import UUID

from fastapi import Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from promotion_pipeline.api.problems import suggestion
from promotion_pipeline.api.tokens import Role
from promotion_pipeline.config import DOOR_THRESHOLDS, PromotionConfig, meaning_of, parse_texts
from promotion_pipeline.config.aliases import aliases_of
from promotion_pipeline.config.values import shortened
from promotion_pipeline.errors import InputError
from promotion_pipeline.promotion.act.rollback import RollbackTarget
from promotion_pipeline.promotion.history.happened import Happened
from promotion_pipeline.promotion.history.overview import ExperimentOverview
from promotion_pipeline.promotion.judge.distrust import Despite
from promotion_pipeline.promotion.record.inputs import LONGEST_TEXT
from promotion_pipeline.promotion.record.models import Promotion, PromotionEligibility
from promotion_pipeline.promotion.record.served import ServedTraffic
from promotion_pipeline.promotion.record.states import PromotionType
from promotion_pipeline.promotion.record.watched import Alarm
from promotion_pipeline.store.clock import require_utc

_Data = TypeVar("_Data")

_CAMEL = ConfigDict(
    extra="forbid", populate_by_name=False, alias_generator=to_camel, frozen=True, use_attribute_docstrings=True
)


class Answer(BaseModel, Generic[_Data]):
    """Every success."""

    success: Literal[True] = True
    data: _Data


class AnswerWithMessage(Answer[_Data], Generic[_Data]):
    """A success with a sentence for a person."""

    message: str


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which is no text")
    return text


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT),
    AfterValidator(_storable),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": r"[^\s\x00]"}),
]


def _threshold_schemas() -> dict[str, dict[str, Any]]:
    """JSON schema of each threshold by its HTTP name, without the default: that is the environment's matter."""
    schema = PromotionConfig.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    return {alias: _inlined(described, definitions) for alias, described in schema["properties"].items()}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema that refers to nothing outside itself."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    referred = definitions.get(str(schema.get("$ref", "")).rpartition("/")[2], {})
    merged = {**referred, **schema}
    return {key: _inlined(part, definitions) for key, part in merged.items() if key not in {"default", "title", "$ref"}}


THRESHOLDS = _threshold_schemas()
"""HTTP name -> JSON schema of a threshold."""

Config = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": THRESHOLDS,
            "additionalProperties": False,
            "description": "Thresholds that override the environment's and the experiment's own.",
        }
    ),
]
"""Checked by `parse_config`, whose messages say what would be right."""


def thresholds_in_query(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Give a route a query parameter for each of the usual thresholds; they arrive as its `config` (None: none).

    They are taken as text, since `parse_texts` words what is wrong.
    """
    hints = get_type_hints(endpoint, include_extras=True)
    parameters = [parameter for field in DOOR_THRESHOLDS for parameter in _query_parameters(field)]
    names = [parameter.name for parameter in parameters]

    @functools.wraps(endpoint)
    def with_thresholds(**values: Any) -> Any:
        asked = {name: values.pop(name) for name in names}
        given = {name: value for name, value in asked.items() if value is not None}
        return endpoint(**values, config=parse_texts(given, source="query") if given else None)

    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(endpoint).parameters.items()
        if name != "config"
    ]
    signature = inspect.Signature([*own, *parameters], return_annotation=hints["return"])
    with_thresholds.__signature__ = signature  # type: ignore[attr-defined]
    return with_thresholds


def _query_parameters(field: str) -> Iterator[inspect.Parameter]:
    """A threshold by its name, and by its other names, of which the schema is silent."""
    schema = THRESHOLDS[to_camel(field)]
    for name in (field, *aliases_of(field)):
        asked = Query(description=meaning_of(field), include_in_schema=name == field)
        yield inspect.Parameter(
            to_camel(name),
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, asked, WithJsonSchema(schema)],
        )


class Body(BaseModel):
    """Base of the bodies."""

    model_config = _CAMEL

    @model_validator(mode="before")
    @classmethod
    def _suggest(cls, value: object) -> object:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in value if isinstance(value, Mapping) else ():
            if name not in known:
                raise ValueError(f"unknown member {name!r}{suggestion(str(name), known)}")
        return value


class PromoteBody(Body):
    """Promote the winner."""

    promotion_type: PromotionType = PromotionType.MANUAL
    """`manual`: the contract checks; `auto`: also the evidence, fresh data, no hold."""
    promoted_by: Text | None = None
    """Who is said to promote: `promotedBy` of the record if the token was made with --on-behalf, else `claimedBy`."""
    user_id: Text | None = None
    """On whose behalf, where `promotedBy` does not say it."""
    config: Config | None = None
    metadata: dict[str, Any] | None = None
    """What to keep with the record: reason, reviewers, ticket."""
    despite: list[Despite] | None = None
    """What was seen and is promoted in spite of; asks for `metadata.reason`. Left out, nobody is asked and the record
    says so; an empty list refuses to promote on numbers that cannot be trusted."""


class RollbackBody(Body):
    """Roll the live promotion back."""

    reason: Text
    """Why; kept in the history."""
    rolled_back_by: Text | None = None
    """Who is said to roll back: `rolledBackBy` of the record if the token was made with --on-behalf, else
    `rollbackClaimedBy`."""
    to: RollbackTarget = RollbackTarget.PREVIOUS
    """`previous` restores the split of before, `control` gives control all traffic, `close` leaves it as it stands."""
    confirm_drift: bool = False
    """Overwrite a split that somebody else changed since."""


class SweepBody(Body):
    """Check every running experiment, and promote or ask."""

    user_id: Text | None = None
    """On whose behalf; as `promotedBy` of a promotion."""
    cron_secret: Annotated[SecretStr, WithJsonSchema({"type": "string"})] | None = None
    """AUTO_PROMOTION_CRON_SECRET, instead of a token."""
    config: Config | None = None
    """Thresholds that tighten those of each experiment; where an experiment's own are stricter, they stand, and the
    entry's `overruled` says so."""


class ApproveBody(Body):
    """Say yes to the open request, and promote."""

    reason: Text | None = None
    approved_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""
    config: Config | None = None
    metadata: dict[str, Any] | None = None
    despite: list[Despite] = []
    """What was seen and is promoted in spite of; needed where the numbers cannot be trusted, with a `reason`."""


class DeclineBody(Body):
    """Say no to the open request; automatic promotion is on hold from then on."""

    reason: Text
    declined_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class HoldBody(Body):
    """Keep the experiment from being promoted unattended."""

    reason: Text
    held_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class ReleaseBody(Body):
    """Let the experiment be promoted unattended again."""

    reason: Text | None = None
    released_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class AdvanceBody(Body):
    """Take the next step of a ramp now, whatever the watch says."""

    reason: Text | None = None
    advanced_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""
    to_percent: Annotated[float, Field(gt=0, le=100)] | None = None
    """The step that is meant; a conflict if it is not the next one."""


class AcknowledgeBody(Body):
    """Keep a promotion although the watch found its winner worse."""

    reason: Text
    acknowledged_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class OverwriteSplitBody(Body):
    """Put the split of a promotion back after somebody else changed it."""

    reason: Text
    overwritten_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class AdoptSplitBody(Body):
    """Take the split that somebody else made the target serve as the decided one."""

    reason: Text | None = None
    adopted_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class RetryDeliveryBody(Body):
    """Begin the attempts at the newest delivery anew."""

    reason: Text | None = None
    retried_by: Text | None = None
    """Kept as a claim if it differs from the credential's name."""


class Given(BaseModel):
    """Base of what is given back."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, alias_generator=to_camel)


class Promoted(Given):
    """The record, and the decision as it stood under the experiment's lock."""

    promotion: Promotion
    eligibility: PromotionEligibility
    traffic: dict[str, float]
    """Percent by variant name, control first, as stored now."""


class Stands(Given):
    """The record as it is now, and the traffic that results."""

    promotion: Promotion
    traffic: dict[str, float]
    """Percent by variant name, control first, as stored now."""


class Settled(Given):
    """The traffic after an act about it."""

    promotion: Promotion | None
    """The live one; None: nothing is promoted."""
    traffic: dict[str, float]
    """Percent by variant name, control first, as stored now."""
    served: ServedTraffic
    """Decided, served and observed."""


class History(Given):
    """What happened to an experiment, newest first."""

    experiment_name: str
    history: tuple[Promotion, ...]
    count: int
    latest_promotion: Promotion | None
    alarms: tuple[Alarm, ...] = ()
    """What is wrong with the live promotion, the worst first."""
    events: tuple[Happened, ...] = ()
    """Everything that happened, newest first, at most 200: promotions, questions, answers, holds, steps, alarms."""


class Listed(ExperimentOverview):
    """An experiment of the list, with what is wrong with its live promotion and with its traffic."""

    alarms: tuple[Alarm, ...] = ()
    """The worst first."""
    traffic: ServedTraffic | None = None
    """Decided, served and observed; None: it does not run, and its traffic was never set by an act."""


class Health(Given):
    """Whether requests can be served."""

    status: Literal["ok"] = "ok"


class TokenInfo(Given):
    """A token without its secret."""

    id: UUID
    name: str
    role: Role
    on_behalf: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


def _instant(value: object) -> object:
    """A date alone is midnight UTC; a number is no time."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
        return f"{value.strip()}T00:00:00Z"
    if isinstance(value, str) and re.fullmatch(r"[-+\d.]+", value):
        raise ValueError(f"{shortened(value)} is no instant: write it as 2026-03-01T12:00:00Z")
    return value


def _in_bounds(value: datetime) -> datetime:
    try:
        return require_utc(value, "asOf")
    except InputError as error:
        raise ValueError(str(error)) from None


AsOf = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_in_bounds)] | None,
    Query(alias="asOf", description="Look from this instant, with a time zone; default the newest complete hour."),
]
