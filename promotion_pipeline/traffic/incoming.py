"""Requests and events that applications send: what each row must be, and how a batch is written.

A row that cannot be used is told with its reason and stops no other. Rows have ids of the sender's own, so that a batch
whose answer was lost is sent again and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

MOST_ROWS = 10_000
"""Of a batch."""
AHEAD = timedelta(minutes=5)
"""How far a sender's clock may be ahead of the database's."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LARGEST = 1e100

Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00]*$")]


def _text_with_zone(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("must be text such as 2026-03-01T12:00:00Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_text_with_zone)]
Number = Annotated[Decimal, Field(allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST, decimal_places=1_000)]
"""More places than PostgreSQL's `numeric` has would be refused with everything else of the batch."""
Milliseconds = Annotated[float, Field(allow_inf_nan=False, ge=0, le=_LARGEST)]


class IncomingRow(BaseModel):
    """What every row has."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False, use_attribute_docstrings=True
    )


class _OfExperiment(IncomingRow):
    id: UUID
    """Of the sender's own: the same row has the same id whenever it is sent."""
    experiment: Text | None = None
    """The experiment's name, as in the metadata of an evaluation."""
    experiment_id: UUID | None = None
    """Instead of the name."""
    created_at: Instant | None = None
    """When it happened, with its zone; default: now."""

    @model_validator(mode="after")
    def _names_one_experiment(self) -> Self:
        if (self.experiment is None) == (self.experiment_id is None):
            raise ValueError("give experiment (its name) or experimentId, one of them")
        return self


class IncomingRequest(_OfExperiment):
    """A request that an application served."""

    variant: Text | None = None
    """The name of the variant that was served."""
    variant_id: UUID | None = None
    """Instead of the name."""
    user_id: Text | None = None
    """Whom; leave it out where nobody is known."""
    latency_ms: Milliseconds | None = None
    is_error: StrictBool = False
    converted: StrictBool = False
    value: Number | None = None

    @model_validator(mode="after")
    def _names_one_variant(self) -> Self:
        if (self.variant is None) == (self.variant_id is None):
            raise ValueError("give variant (its name) or variantId, one of them")
        return self


class IncomingEvent(_OfExperiment):
    """An outcome that is not on a request's row."""

    user_id: Text
    """Whose."""
    name: Text
    """Such as `purchase`."""
    value: Number | None = None


class IncomingOutcome(IncomingRow):
    """What became of a request that was sent before; what is left out stays as it is."""

    request_id: UUID
    """The id that the request was sent with."""
    converted: StrictBool | None = None
    is_error: StrictBool | None = None
    latency_ms: Milliseconds | None = None
    value: Number | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.converted, self.is_error, self.latency_ms, self.value) == (None, None, None, None):
            raise ValueError("says nothing: give converted, isError, latencyMs or value")
        return self


@dataclass(frozen=True)
class Rejection:
    """A row that was not taken."""

    row: int
    """Its place in the batch, from 0."""
    id: str | None
    """Its id, where it has one."""
    reason: str


_Row = TypeVar("_Row")
_Other = TypeVar("_Other")
_Kind = TypeVar("_Kind", bound=IncomingRow)


@dataclass
class IncomingBatch(Generic[_Row]):
    """The rows of a batch that can be used, by their place, and why the others cannot."""

    rows: dict[int, _Row] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)

    def reject(self, place: int, reason: str) -> None:
        """Take a row out."""
        row = self.rows.pop(place)
        found = getattr(row, "id", None) or getattr(row, "request_id", None)
        self.rejections.append(Rejection(place, None if found is None else str(found), reason))

    def keep(self, unusable: Callable[[_Row], str | None]) -> None:
        """Reject the rows of which `unusable` says why they are."""
        reasons = {place: reason for place, row in self.rows.items() if (reason := unusable(row)) is not None}
        for place, reason in reasons.items():
            self.reject(place, reason)

    def as_rows(self, written: Callable[[_Row], _Other]) -> IncomingBatch[_Other]:
        """The same batch with each row made into another."""
        return IncomingBatch({place: written(row) for place, row in self.rows.items()}, self.rejections)


@dataclass(frozen=True)
class Taken:
    """What became of a batch."""

    accepted: int
    repeated: int
    """Rows that changed nothing, for they were there already."""
    rejections: Sequence[Rejection]


def read_batch(given: Sequence[object], kind_of: Callable[[Mapping[str, Any]], type[_Kind]]) -> IncomingBatch[_Kind]:
    """The rows as far as each can be judged by itself.

    Args:
        given: what JSON held; an exception stands for a row that was no JSON.
        kind_of: what a row is meant to be.
    """
    batch: IncomingBatch[_Kind] = IncomingBatch()
    for place, row in enumerate(given):
        if not isinstance(row, Mapping):
            reason = f"is no JSON: {row}" if isinstance(row, Exception) else "must be a JSON object"
            batch.rejections.append(Rejection(place, None, reason))
            continue
        try:
            batch.rows[place] = kind_of(row).model_validate(row)
        except ValidationError as error:
            batch.rejections.append(Rejection(place, _shown_id(row), "; ".join(map(_said, error.errors()))))
    return batch


def outside_time(created_at: datetime | None, now: datetime, dropped_before: datetime | None) -> str | None:
    """Why a time cannot be used; None: it can."""
    if created_at is None:
        return None
    if created_at > now + AHEAD:
        return f"createdAt {created_at.isoformat()} is ahead of the database's clock, {now.isoformat()}"
    if created_at < _EARLIEST:
        return f"createdAt {created_at.isoformat()} is before {_EARLIEST:%Y-%m-%d}"
    if dropped_before is not None and created_at < dropped_before:
        return f"createdAt {created_at.isoformat()}: requests of before {dropped_before.isoformat()} are not kept"
    return None


def _shown_id(row: Mapping[str, Any]) -> str | None:
    found = row.get("id", row.get("requestId"))
    return found[:100] if isinstance(found, str) else None


def _said(problem: Mapping[str, Any]) -> str:
    """One problem in words; the value is left out, for it may be a person's."""
    name = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "is not known"
    if problem["type"] == "missing":
        message = "is missing"
    return f"{name}: {message}" if name else message
