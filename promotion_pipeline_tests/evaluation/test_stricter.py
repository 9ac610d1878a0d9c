"""In an unattended act a request may tighten, and never loosen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.config.choices import Evidence, Guardrail
from promotion_pipeline.config.precedence import Overruled, stricter_of

PAIRS: dict[str, tuple[Any, Any]] = {
    "min_sample_size": (500, 2000),
    "min_confidence_level": (90.0, 99.0),
    "min_improvement_percent": (1.0, 10.0),
    "min_runtime_hours": (1.0, 200.0),
    "max_error_rate": (0.5, 0.01),
    "max_staleness_hours": (9.0, 1.0),
    "require_manual_approval": (False, True),
    "evidence": (Evidence.FIXED_HORIZON, Evidence.ALWAYS_VALID),
    "whole_weeks": (False, True),
    "min_conversions": (0, 500),
    "guardrails": ((), (Guardrail.LATENCY,)),
}
"""A looser and a stricter value."""


def test_of_two_evidences_that_hold_at_every_look_the_experiment_s_own_stands() -> None:
    held = (Evidence.ALWAYS_VALID, Evidence.GROUP_SEQUENTIAL)
    for asked, own in (held, held[::-1]):
        assert stricter_of(PromotionConfig(evidence=asked), PromotionConfig(evidence=own))[0].evidence is own
    planned = PromotionConfig(evidence=Evidence.GROUP_SEQUENTIAL)
    loose = PromotionConfig(evidence=Evidence.FIXED_HORIZON)
    assert stricter_of(planned, loose)[0].evidence is Evidence.GROUP_SEQUENTIAL


@pytest.mark.parametrize("name", PAIRS)
def test_the_stricter_one_wins_from_either_side(name: str) -> None:
    loose, strict = (PromotionConfig(**{name: value}) for value in PAIRS[name])
    used, overruled = stricter_of(loose, strict)
    assert getattr(used, name) == PAIRS[name][1]
    assert overruled == (Overruled(name, *PAIRS[name]),)
    used, overruled = stricter_of(strict, loose)
    assert getattr(used, name) == PAIRS[name][1]
    assert overruled == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("primary_metric", "value_mean"),
        ("direction", "decrease"),
        ("planned_sample_size", 100),
        ("attribution_window_hours", 24.0),
        ("ramp_steps", (100.0,)),
        ("auto_rollback", False),
        ("watch_hours", 0.0),
    ],
)
def test_what_is_measured_and_how_it_is_done_is_the_experiments_own(name: str, value: Any) -> None:
    own = PromotionConfig(ramp_steps=(50.0, 100.0), auto_rollback=True)
    used, overruled = stricter_of(PromotionConfig(**{name: value}), own)
    assert getattr(used, name) == getattr(own, name)
    assert [over.threshold for over in overruled] == [name]


def test_without_a_request_the_experiments_own_stand() -> None:
    own = PromotionConfig(min_sample_size=10)
    assert stricter_of(None, own) == (own, ())
    assert stricter_of(PromotionConfig(), own) == (own, ())


def test_guardrails_add_up() -> None:
    one = PromotionConfig(guardrails=(Guardrail.ERROR_RATE,))
    other = PromotionConfig(guardrails=(Guardrail.LATENCY,))
    assert set(stricter_of(one, other)[0].guardrails) == {Guardrail.ERROR_RATE, Guardrail.LATENCY}


@given(st.sets(st.sampled_from(sorted(PAIRS))), st.sets(st.sampled_from(sorted(PAIRS))))
def test_no_request_ever_loosens(asked_loose: set[str], own_loose: set[str]) -> None:
    request = PromotionConfig(**{name: PAIRS[name][name not in asked_loose] for name in PAIRS})
    own = PromotionConfig(**{name: PAIRS[name][name not in own_loose] for name in PAIRS})
    used, _ = stricter_of(request, own)
    for name in PAIRS:
        assert getattr(used, name) == PAIRS[name][not (name in asked_loose and name in own_loose)]
