"""An experiment as a flag: what flagd's own evaluator makes of the definition."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import mmh3
import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from promotion_pipeline.config import FlagHash
from promotion_pipeline.traffic.allocation import (
    BUCKETS,
    Allocation,
    Stretch,
    first_allocation,
    moved,
    reallocated,
    shares,
)
from promotion_pipeline.traffic.flags import FlaggedExperiment, FlagStanding, flag_definition, flag_set, standing_of
from promotion_pipeline.traffic.serving import served

THIRDS = {"a": Decimal("33.33"), "b": Decimal("33.33"), "c": Decimal("33.34")}
USERS = [f"user-{number}" for number in range(4_000)]


def experiment(
    allocation: Allocation, standing: FlagStanding = FlagStanding.RUNNING, name: str = "x"
) -> FlaggedExperiment:
    return FlaggedExperiment(
        experiment_id=UUID(int=1),
        name=name,
        flag="button",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        standing=standing,
        variants={"a": "control", "b": "blue", "c": "green"},
        control="control",
        allocation=allocation,
    )


def answers(one: FlaggedExperiment) -> list[str | None]:
    """What flagd's evaluator says of every user, from the document as it is published."""
    evaluator = FlagdCore()
    evaluator.set_flags(served(flag_set([one])).document.decode())
    return [
        evaluator.resolve_string_value("button", "default", EvaluationContext(targeting_key=user)).value
        for user in USERS
    ]


def test_every_bucket_is_an_entry_of_the_rule_in_its_order() -> None:
    allocation = reallocated(first_allocation(THIRDS), {"a": Decimal(15), "b": Decimal(70), "c": Decimal(15)})

    rule = flag_definition(experiment(allocation))["targeting"]["fractional"]

    names = {"a": "control", "b": "blue", "c": "green"}
    assert rule == [[names[stretch.variant], stretch.width] for stretch in allocation]
    assert len(rule) > 3
    assert sum(width for _, width in rule) == BUCKETS


def test_users_are_split_as_the_buckets_are() -> None:
    allocation = first_allocation(THIRDS)

    counts = Counter(answers(experiment(allocation)))

    for variant, width in shares(allocation).items():
        share = width / BUCKETS
        expected, deviation = share * len(USERS), (share * (1 - share) * len(USERS)) ** 0.5
        assert abs(counts[experiment(allocation).variants[variant]] - expected) < 3 * deviation


def test_a_ramp_of_one_of_three_arms_moves_nobody_between_the_losing_ones() -> None:
    before = first_allocation(THIRDS)
    after = reallocated(before, {"a": Decimal(15), "b": Decimal(70), "c": Decimal(15)})

    moves = Counter(zip(answers(experiment(before)), answers(experiment(after)), strict=True))

    changed = {pair: count for pair, count in moves.items() if pair[0] != pair[1]}
    assert changed.keys() == {("control", "blue"), ("green", "blue")}
    share = sum(moved(before, after).values()) / BUCKETS
    assert sum(changed.values()) == pytest.approx(share * len(USERS), rel=0.05)


def test_the_way_back_puts_every_user_back() -> None:
    before = first_allocation(THIRDS)
    everybody = reallocated(before, {"a": Decimal(0), "b": Decimal(100), "c": Decimal(0)})

    assert set(answers(experiment(everybody, FlagStanding.PROMOTED))) == {"blue"}
    assert answers(experiment(before, FlagStanding.ROLLED_BACK)) == answers(experiment(before))


def test_who_has_no_targeting_key_gets_control_while_users_are_split_and_the_winner_afterwards() -> None:
    split = served(flag_set([experiment(first_allocation(THIRDS))]))
    won = served(flag_set([experiment((Stretch("b", BUCKETS),), FlagStanding.PROMOTED)]))

    assert split.answer("button", "").variant == "control"
    assert (won.answer("button", "").variant, won.answer("button", "").reason) == ("blue", "STATIC")


@pytest.mark.parametrize(
    ("is_active", "promotion", "standing"),
    [
        (True, None, FlagStanding.RUNNING),
        (True, "rolled_back", FlagStanding.ROLLED_BACK),
        (False, "ramping", FlagStanding.RAMPING),
        (False, "promoted", FlagStanding.PROMOTED),
        (False, None, FlagStanding.STOPPED),
        (False, "rolled_back", FlagStanding.STOPPED),
    ],
)
def test_where_an_experiment_stands(is_active: bool, promotion: str | None, standing: FlagStanding) -> None:
    assert standing_of(is_active, promotion) is standing


def test_a_stopped_experiment_leaves_the_applications_default() -> None:
    stopped = experiment(first_allocation(THIRDS), FlagStanding.STOPPED)

    answer = served(flag_set([stopped])).answer("button", "user-1")

    assert flag_definition(stopped)["state"] == "DISABLED"
    assert (answer.reason, answer.value, answer.variant) == ("DISABLED", None, "control")
    assert set(answers(stopped)) == {"default"}


def test_a_flag_is_used_again_by_the_next_experiment() -> None:
    stopped = replace(experiment((), FlagStanding.STOPPED, "first"), started_at=datetime(2027, 1, 1, tzinfo=UTC))
    running = experiment(first_allocation(THIRDS), name="second")

    assert flag_set([stopped, running]).experiments["button"].name == "second"
    assert flag_set([running, stopped]).experiments["button"].name == "second"


def test_two_experiments_that_are_served_by_one_flag_are_refused_by_name() -> None:
    both = flag_set(experiment(first_allocation(THIRDS), name=name) for name in ("first", "second"))

    assert both.experiments == {}
    assert "'first' and 'second'" in both.refused["button"]
    assert json.loads(served(both).document)["flags"] == {}


def test_a_variant_without_a_name_is_refused() -> None:
    nameless = replace(experiment(first_allocation(THIRDS)), variants={"a": "control", "b": "", "c": "green"})

    assert "has no name" in flag_set([nameless]).refused["button"]


def test_the_hash_stays_what_it_is() -> None:
    """Another hash, such as that of another release of flagd, would deal out every user of every experiment anew."""
    hundredths = tuple(Stretch(f"v{number:02}", BUCKETS // 100) for number in range(100))
    names = {stretch.variant: stretch.variant for stretch in hundredths}
    flags = served(flag_set([replace(experiment(hundredths), variants=names, control="v00")]))

    expected = {"user-1": "v90", "user-2": "v55", "maria": "v59", "\u00fcn\u00ef": "v70", "\U0001f600": "v00"}

    assert {user: flags.answer("button", user).variant for user in expected} == expected


def test_the_older_hash_is_that_of_flag_and_user_as_one_text() -> None:
    """As flagd's daemon 0.16 and its JavaScript library 4 have it; test_clients.py asks the latter."""
    hundredths = tuple(Stretch(f"v{number:02}", BUCKETS // 100) for number in range(100))
    names = {stretch.variant: stretch.variant for stretch in hundredths}
    named = replace(experiment(hundredths), variants=names, control="v00")
    flags = served(flag_set([named]), flag_hash=FlagHash.TEXT)

    expected = {
        user: f"v{mmh3.hash(f'button{user}', signed=False) * 100 >> 32:02}" for user in ("user-1", "\u00fcn\u00ef")
    }

    assert {user: flags.answer("button", user).variant for user in expected} == expected
    assert flags.answer("button", "").variant == "v00"


def test_the_older_hash_changes_nothing_where_everybody_gets_the_same_or_nothing() -> None:
    won = served(
        flag_set([experiment((Stretch("b", BUCKETS),), FlagStanding.PROMOTED)]), flag_hash=FlagHash.TEXT
    ).answer("button", "user-1")
    stopped = served(
        flag_set([experiment(first_allocation(THIRDS), FlagStanding.STOPPED)]), flag_hash=FlagHash.TEXT
    ).answer("button", "user-1")

    assert (won.value, won.reason) == ("blue", "STATIC")
    assert (stopped.value, stopped.reason) == (None, "DISABLED")
