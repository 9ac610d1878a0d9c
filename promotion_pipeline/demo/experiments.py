"""What the demo's experiments are: plain data, one story each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEMO_DAYS = 14
DEFAULT_REQUESTS = 600_000
FEWEST_REQUESTS = 100_000
"""With fewer, the clear winners would not be clear enough for an unattended promotion."""


@dataclass(frozen=True)
class Arm:
    """One variant: what it declares and what its requests really do."""

    name: str
    traffic: float
    """Percent of traffic, as declared."""
    rate: float
    """Conversions per request."""
    z: float | None = None
    """If set, the rate is the first arm's plus this many standard errors, whatever the number of requests."""
    error_rate: float = 0.01
    latency_ms: float = 120.0
    served: float | None = None
    """Percent of users really served; None: as declared."""


@dataclass(frozen=True)
class DemoExperiment:
    """One experiment of the demo; the first arm is control."""

    name: str
    story: str
    arms: tuple[Arm, ...]
    weight: int
    """Share of the demo's requests, relative to the others."""
    hours: int = DEMO_DAYS * 24
    """Age when the demo starts."""
    config: dict[str, Any] = field(default_factory=dict)


DEMO_EXPERIMENTS = (
    DemoExperiment(
        "demo-checkout-button",
        "a clear winner",
        (Arm("grey", 50, 0.100), Arm("green", 50, 0.119, error_rate=0.008)),
        90,
    ),
    DemoExperiment(
        "demo-search-ranking",
        "a clear winner among four variants",
        (
            Arm("current", 25, 0.120),
            Arm("recency", 25, 0.122),
            Arm("semantic", 25, 0.149, error_rate=0.008, latency_ms=132.0),
            Arm("popular", 25, 0.116),
        ),
        140,
    ),
    DemoExperiment(
        "demo-banner-colour",
        "no difference",
        (Arm("blue", 50, 0.080), Arm("orange", 50, 0.080, z=0.3)),
        70,
    ),
    DemoExperiment(
        "demo-new-onboarding",
        "ahead, but too young",
        (Arm("classic", 50, 0.200), Arm("guided", 50, 0.240, error_rate=0.008)),
        15,
        hours=20,
    ),
    DemoExperiment(
        "demo-fast-answers",
        "converts better, but fails too often",
        (Arm("careful", 50, 0.150), Arm("fast", 50, 0.185, error_rate=0.083, latency_ms=70.0)),
        70,
    ),
    DemoExperiment(
        "demo-price-page",
        "ahead, but the traffic is not split as declared (sample ratio mismatch)",
        (Arm("monthly", 50, 0.100, served=46), Arm("yearly", 50, 0.122, error_rate=0.008, served=54)),
        70,
    ),
    DemoExperiment(
        "demo-email-subject",
        "passes the contract checks, but repeated looks could explain it",
        (Arm("plain", 50, 0.100), Arm("question", 50, 0.100, z=2.45, error_rate=0.008)),
        50,
    ),
    DemoExperiment(
        "demo-payment-form",
        "a clear winner that a person must approve",
        (Arm("two-pages", 50, 0.110), Arm("one-page", 50, 0.133, error_rate=0.008)),
        70,
        config={"require_manual_approval": True},
    ),
    DemoExperiment(
        "demo-footer-link",
        "really better, but by less than the 5 % asked for",
        (Arm("small", 50, 0.350), Arm("large", 50, 0.3605, error_rate=0.008)),
        85,
    ),
)
ROLLED_BACK = "demo-search-ranking"
"""The experiment whose promotion the demo rolls back."""
