"""The metrics that an experiment states beside its primary one: `promotion_config.metrics`."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic.alias_generators import to_camel

from promotion_pipeline.config.checking import suggestion
from promotion_pipeline.config.choices import Covariate, Direction, MetricKind, MetricRole
from promotion_pipeline.config.values import shortened

MOST_METRICS = 20
"""Of one experiment: each is kept, tested and shown at every hour."""
LARGEST_CAP = 1e12
"""Of a capped value: beyond it sums of squares are not exact to the cent."""
LONGEST_NAME = 100
LONGEST_EVENT = 200
OF_USERS = frozenset({MetricKind.USER_PROPORTION, MetricKind.USER_MEAN, MetricKind.USER_COUNT})
"""Kinds that have one value a user, so that the user's own past can be set beside it."""

PartName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_NAME)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]


class MetricConfig(BaseModel):
    """One metric of an experiment. Names are snake_case in Python and camelCase in JSON; either is accepted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=to_camel,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)]
    """Unique in the experiment, whatever its case."""
    kind: MetricKind
    """What it is the mean of."""
    role: MetricRole
    """What it is for."""
    event: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_EVENT)] | None = None
    """`ai_events.name` of what is counted or summed; of a metric of users, this or `column`."""
    column: ColumnName | None = None
    """Column of the log of requests."""
    numerator: PartName | None = None
    """Of a ratio: the name of the metric whose sum is divided."""
    denominator: PartName | None = None
    """Of a ratio: the name of the metric whose sum it is divided by."""
    direction: Direction = Direction.INCREASE
    """Which way it improves."""
    margin_percent: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """Of a guardrail: how much worse than control is still acceptable. None: no always-valid sign of harm."""
    cap: Annotated[float, Field(gt=0.0, le=LARGEST_CAP)] | None = None
    """A user's total, or a request's value, counts at most so much; fixed at the phase's start."""
    covariate: Covariate | None = None
    """What takes variance out of it; only for metrics of users."""
    covariate_days: Annotated[int, Field(ge=1, le=365)] = 14
    """Days before a user's first exposure that the covariate is of."""

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        known = [*cls.model_fields, *(to_camel(name) for name in cls.model_fields)]
        for name in value:
            if name not in known:
                raise ValueError(f"unknown name {shortened(name)}{suggestion(str(name), known)}")
        return value

    @field_validator("name", "event")
    @classmethod
    def _is_printable(cls, value: str | None) -> str | None:
        if value is not None and any(unicodedata.category(letter)[0] == "C" for letter in value):
            raise ValueError(f"{shortened(value)} holds a control character; write letters that can be read")
        return value

    @field_validator("margin_percent", mode="before")
    @classmethod
    def _margin_is_no_fraction_of_a_percent(cls, value: object) -> object:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 0.01:
            raise ValueError(f"{value} is under 0.01 %: it is percent, so 1 percent is written 1")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        """A metric says exactly what its kind is made of."""
        named = [part for part in ("event", "column", "numerator", "denominator") if getattr(self, part) is not None]
        match self.kind:
            case MetricKind.RATIO:
                if named != ["numerator", "denominator"]:
                    raise ValueError(f"a ratio is made of `numerator` and `denominator` alone, not of {_words(named)}")
            case MetricKind.REQUEST_MEAN:
                if named != ["column"]:
                    raise ValueError(f"request_mean is made of a `column` of the log alone, not of {_words(named)}")
            case MetricKind.USER_PROPORTION | MetricKind.USER_MEAN | MetricKind.USER_COUNT:
                if named not in (["event"], ["column"]):
                    raise ValueError(f"{self.kind.value} is made of an `event` or a `column`, not of {_words(named)}")
        if self.kind is MetricKind.RATIO and self.numerator == self.denominator:
            raise ValueError(f"numerator and denominator are both {shortened(self.numerator)}: that is 1")
        return self

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.margin_percent is not None and self.role is not MetricRole.GUARDRAIL:
            raise ValueError(
                f"margin_percent={self.margin_percent:g} is of a guardrail, and this is a {self.role.value}:"
                " leave it out, or make it a guardrail"
            )
        if self.cap is not None and self.kind in (MetricKind.USER_PROPORTION, MetricKind.RATIO):
            advice = "cap the metrics that it is made of" if self.kind is MetricKind.RATIO else "leave it out"
            raise ValueError(f"cap={self.cap:g} does nothing to a {self.kind.value}: {advice}")
        if self.covariate is not None and self.kind not in OF_USERS:
            kinds = ", ".join(sorted(kind.value for kind in OF_USERS))
            raise ValueError(f"covariate needs one value a user, so one of {kinds}; {self.kind.value} has none")
        return self


def _words(named: list[str]) -> str:
    return " and ".join(f"`{part}`" for part in named) or "nothing"


def read_metrics(value: object) -> object:
    """A list of metrics that may have been written as JSON text, as the environment and `--set` do.

    Raises:
        ValueError: the text is no JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        example = '[{"name": "revenue", "kind": "user_mean", "event": "purchase", "role": "goal"}]'
        raise ValueError(f"is no JSON: write a list of metrics, for example {example}") from None


def checked_metrics(metrics: Sequence[MetricConfig]) -> tuple[MetricConfig, ...]:
    """The metrics of one experiment, each name once and every part of a ratio among them.

    Raises:
        ValueError: there are too many, two have one name, or a ratio names none of them.
    """
    if len(metrics) > MOST_METRICS:
        raise ValueError(f"{len(metrics)} metrics are more than {MOST_METRICS}; keep those that decide something")
    by_name: dict[str, MetricConfig] = {}
    for metric in metrics:
        if metric.name.casefold() in by_name:
            raise ValueError(f"two metrics are named {shortened(metric.name)}; give one of them another name")
        by_name[metric.name.casefold()] = metric
    known = {metric.name: metric for metric in metrics}
    for metric in metrics:
        for part in (metric.numerator, metric.denominator):
            if part is None:
                continue
            if part not in known:
                unknown = f"{metric.name!r} is a ratio of {shortened(part)}, which is no metric of the experiment"
                raise ValueError(unknown + suggestion(part, list(known)))
            if known[part].kind is MetricKind.RATIO:
                raise ValueError(f"{metric.name!r} is a ratio of {part!r}, which is itself a ratio; name its parts")
    return tuple(metrics)


def parse_metrics(value: Any) -> tuple[MetricConfig, ...]:
    """Metrics as a frame or a caller brings them: `MetricConfig`, mappings, or JSON text of a list.

    Raises:
        ValueError: one of them is not valid (pydantic's error is one).
    """
    read = read_metrics(value)
    if isinstance(read, (str, Mapping)) or not isinstance(read, Sequence):
        raise ValueError(f"{shortened(read)} must be a list of metrics")
    return checked_metrics([_metric(metric) for metric in read])


def _metric(value: Any) -> MetricConfig:
    return value if isinstance(value, MetricConfig) else MetricConfig.model_validate(value)
