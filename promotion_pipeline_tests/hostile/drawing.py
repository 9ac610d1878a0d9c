"""Hostile experiments, requests, thresholds and dates, as Hypothesis draws them: what an application may write."""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from enum import StrEnum

from hypothesis import strategies as st

from promotion_pipeline.config import PromotionConfig

MINUTES_BACK, MINUTES_AHEAD = 60 * 60, 5 * 60


class Whose(StrEnum):
    """The experiment or variant that a request names."""

    OWN = "own"
    """Its own."""
    UNKNOWN = "unknown"
    """One that does not exist."""
    OTHER = "other"
    """One of a sound experiment."""


@dataclass(frozen=True)
class HostileRequest:
    """One row of `ai_requests`; every value is text that PostgreSQL is given as it is."""

    experiment: Whose
    variant: Whose
    user_id: str | None
    at: str | int
    """An instant, or minutes before (negative) or after the newest complete hour."""
    latency_ms: str | None
    value: str | None
    is_error: bool
    converted: bool


@dataclass(frozen=True)
class HostileExperiment:
    """One row of `ab_experiments` with its variants and requests."""

    name: str
    is_active: bool
    start_date: str
    end_date: str | None
    config: str | None
    """Text of JSON."""
    controls: tuple[bool, ...]
    """A variant each; whether it is control."""
    requests: tuple[HostileRequest, ...]


def random_text(seed: int, length: int) -> str:
    """Text that cannot be compressed, so that no index takes a long one."""
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=length))


ODD = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
SHORT_TEXT = st.one_of(
    st.text(ODD, min_size=1, max_size=30),
    st.sampled_from(
        ["\u202eevil\u202c", "a\u0301\u200b", "=?utf-8?b?aGk=?=", "'; DROP TABLE x; --", "%s", "{}", "\n\r\t", "💥"]
    ),
)
LONG_TEXT = st.builds(random_text, st.integers(0, 2**31), st.integers(2_600, 9_000))
INSTANTS = st.sampled_from(
    [
        "-infinity",
        "infinity",
        "4713-01-01 00:00:00+00 BC",
        "0001-01-01 00:00:00+00",
        "1000-06-15 12:00:00+00",
        "1970-01-01 00:00:00+00",
        "1999-12-31 23:59:59+00",
        "9999-12-31 23:59:59.999999+00",
        "20000-01-01 00:00:00+00",
        "294276-12-31 00:00:00+00",
    ]
)
NUMBERS = st.sampled_from(["0", "1", "-5", "1e-300", "1e99", "1e101", "1e200", "-1e200", "1e308", "NaN"]) | st.floats(
    width=64
).map(repr)
# Only of the type numeric.
DECIMALS = NUMBERS | st.sampled_from(["1e1000", "-1e5000", "1e100000", "1e-1000", "Infinity"])

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**420), 10**420)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(ODD, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(ODD, max_size=10), inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.one_of(
    st.sampled_from(
        [
            '{"min_sample_size": 1e400}',
            '{"min_sample_size": 1e5000}',
            '{"max_error_rate": 1e400}',
            '{"min_confidence_level": 1e400}',
            '{"planned_sample_size": 1e300}',
            '{"watch_hours": 1e300, "attribution_window_hours": 1e300}',
            '{"min_sample_size": "NaN"}',
            '{"min_improvement_percent": "-Infinity"}',
            "1e5000",
            "null",
            "[]",
            '"text"',
            "true",
            '{"ramp_steps": ' + "[" * 1_500 + "]" * 1_500 + "}",
            "[" * 1_500 + "]" * 1_500,
            '{"a":' * 700 + "1" + "}" * 700,
        ]
    ),
    st.dictionaries(st.sampled_from(sorted(PromotionConfig.model_fields)), JSON_VALUES, max_size=4).map(json.dumps),
    JSON_VALUES.map(json.dumps),
)

REQUESTS = st.builds(
    HostileRequest,
    experiment=st.sampled_from([Whose.OWN, Whose.OWN, Whose.OWN, Whose.UNKNOWN]),
    variant=st.sampled_from([Whose.OWN, Whose.OWN, Whose.OWN, Whose.UNKNOWN, Whose.OTHER]),
    user_id=st.none() | st.sampled_from(["", " ", "guest"]) | SHORT_TEXT | LONG_TEXT,
    at=st.integers(-MINUTES_BACK, MINUTES_AHEAD) | INSTANTS,
    latency_ms=st.none() | NUMBERS,
    value=st.none() | DECIMALS,
    is_error=st.booleans(),
    converted=st.booleans(),
)

EXPERIMENTS = st.builds(
    HostileExperiment,
    name=SHORT_TEXT | st.builds(random_text, st.integers(0, 2**31), st.integers(1_000, 2_500)),
    is_active=st.sampled_from([True, True, True, False]),
    start_date=st.sampled_from(["soon", "lately"]) | INSTANTS,
    end_date=st.none() | INSTANTS,
    config=st.none() | CONFIGS,
    controls=st.sampled_from([(True, False), (True, False), (True, False, False), (True, True), (False, False), ()]),
    requests=st.lists(REQUESTS, max_size=6).map(tuple),
)
