"""Requests and events as they are written, and the quick way in for a batch that is right as a whole.

Such a batch is read in one pass of pydantic's own JSON parser. It takes nothing that `incoming` would reject, and what
it does not take is left to `incoming`, which says why, row by row.

Not here: what is done with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, StrictBool, StringConstraints, TypeAdapter
from pydantic import ValidationError as Invalid
from pydantic.alias_generators import to_camel

from promotion_pipeline.traffic.incoming import (
    MOST_ROWS,
    IncomingBatch,
    IncomingEvent,
    IncomingRequest,
    Milliseconds,
    Number,
    Text,
)

Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", to_lower=True)]
"""A UUID in its usual spelling: 10,000 objects of it take longer than all the rest of the rows."""
Instant = Annotated[AwareDatetime, Strict()]

_CONFIG = ConfigDict(extra="forbid", alias_generator=to_camel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request; one of each name and id is given, which `arrival` sees to."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG

    id: Id
    experiment: Text | None = None
    experiment_id: Id | None = None
    variant: Text | None = None
    variant_id: Id | None = None
    user_id: Text | None = None
    created_at: Instant | None = None
    latency_ms: Milliseconds | None = None
    is_error: StrictBool = False
    converted: StrictBool = False
    value: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event; as RequestRow."""

    __pydantic_config__: ClassVar[ConfigDict] = _CONFIG

    id: Id
    user_id: Text
    name: Text
    experiment: Text | None = None
    experiment_id: Id | None = None
    created_at: Instant | None = None
    value: Number | None = None


Row = TypeVar("Row", RequestRow, EventRow)


@dataclass(frozen=True)
class WholeBatches(Generic[Row]):
    """Reads batches of one kind in one pass."""

    _one: TypeAdapter[Row]
    _many: TypeAdapter[list[Row]]
    _named: TypeAdapter[dict[str, list[Row]]]
    _name: str

    @classmethod
    def of(cls, kind: type[Row], name: str) -> WholeBatches[Row]:
        """Of rows of a kind, and the member that a body may wrap them in."""
        many = Annotated[list[kind], Field(max_length=MOST_ROWS)]  # type: ignore[valid-type]
        return cls(TypeAdapter(kind), TypeAdapter(many), TypeAdapter(dict[str, many]), name)

    def read(self, body: bytes) -> IncomingBatch[Row] | None:
        """The rows of a body of JSON; None: it is not right as a whole."""
        try:
            if not body.lstrip(b" \t\r\n").startswith(b"{"):
                return IncomingBatch(dict(enumerate(self._many.validate_json(body))))
            named = self._named.validate_json(body)
        except Invalid:
            return None
        return IncomingBatch(dict(enumerate(named[self._name]))) if named.keys() == {self._name} else None

    def read_lines(self, lines: Sequence[bytes]) -> IncomingBatch[Row] | None:
        """The same of lines of JSON: each by itself, for joined they could be read as other rows than they are."""
        try:
            return IncomingBatch({place: self._one.validate_json(line) for place, line in enumerate(lines)})
        except Invalid:
            return None


REQUESTS = WholeBatches.of(RequestRow, "requests")
EVENTS = WholeBatches.of(EventRow, "events")


def request_row(given: IncomingRequest) -> RequestRow:
    """A request that was judged by itself."""
    return RequestRow(**_members(given))


def event_row(given: IncomingEvent) -> EventRow:
    """An event that was judged by itself."""
    return EventRow(**_members(given))


def _members(given: BaseModel) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in given}
