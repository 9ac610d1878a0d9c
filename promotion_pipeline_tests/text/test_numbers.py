"""A number is written in one way, and never says more than it is."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.text import numbers


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (100.0, "over 99.99 %"),
        (99.9968, "over 99.99 %"),
        (99.99, "99.99 %"),
        (94.996, "94.99 %"),
        (95.0, "95.00 %"),
        (64.1, "64.10 %"),
        (0.0, "0.00 %"),
        (None, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_a_confidence_is_never_rounded_up(confidence: float | None, text: str) -> None:
    assert numbers.confidence_text(confidence) == text


@given(st.floats(min_value=0, max_value=100))
def test_no_confidence_reads_as_certain(confidence: float) -> None:
    text = numbers.confidence_text(confidence)
    assert "100" not in text
    assert float(text.removeprefix("over ").removesuffix(" %")) <= confidence + 1e-8


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.0, "p < 1e-15"), (1e-16, "p < 1e-15"), (0.0496, "p = 0.0496"), (1.0, "p = 1"), (None, "p is unknown")],
)
def test_a_p_value_is_never_0(p_value: float | None, text: str) -> None:
    assert numbers.p_sentence(p_value) == text


def test_a_share_has_the_digits_that_it_needs() -> None:
    assert numbers.split_text({"a": Decimal("33.33"), "b": 66.5, "c": "0.00", "d": 100}) == (
        "a 33.33 %, b 66.5 %, c 0 %, d 100 %"
    )
    assert numbers.split_text({}) == "no variant is left"


def test_a_lift_has_a_sign_and_a_fraction_is_percent() -> None:
    assert (numbers.lift_text(12.5), numbers.lift_text(-1234.0)) == ("+12.50 %", "-1,234.00 %")
    assert (numbers.rate_text(0.125), numbers.rate_text(0.125, 0)) == ("12.50 %", "12 %")
    assert numbers.interval_text(-0.01, 0.123) == "-1.0 to +12.3 %"
    assert numbers.interval_text(None, 0.123) == "unknown"


def test_what_is_not_known_is_a_word_in_a_sentence_and_a_dash_in_a_cell() -> None:
    writers = (numbers.percent_text, numbers.count_text, numbers.milliseconds_text, numbers.share_text)
    for write in writers:
        assert (write(None), write(math.nan, unknown=numbers.DASH)) == ("unknown", "-")


def test_an_instant_is_in_utc() -> None:
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert numbers.instant_text(at) == numbers.instant_text(at.isoformat()) == "2026-02-28 23:30 UTC"


def test_a_duration_has_the_unit_that_fits() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    lasted = [numbers.duration_text(start, start + timedelta(minutes=minutes)) for minutes in (5, 150, 4320)]
    assert lasted == ["5 minutes", "2.5 hours", "3.0 days"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (numbers.rate_text(-9.3e94, signed=True), "-9e+96 %"),
        (numbers.percent_text(1e95), "1e+95 %"),
        (numbers.lift_text(1e95), "+1e+95 %"),
        (numbers.percent_text(1e6), "1,000,000.00 %"),
        (numbers.rate_text(11_765.0, 1, signed=True), "+1e+06 %"),
        (numbers.interval_text(-1e93, 0.25), "-1e+95 to +25.0 %"),
        (numbers.count_text(9e99), "9e+99"),
        (numbers.count_text(1e15), "1,000,000,000,000,000"),
        (numbers.milliseconds_text(1e95), "1e+95 ms"),
        (numbers.rate_text(1e308, 1), "unknown"),
    ],
)
def test_a_number_that_nobody_can_read_is_written_in_powers_of_ten(text: str, said: str) -> None:
    assert text == said
