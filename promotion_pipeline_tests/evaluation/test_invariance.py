"""What must not change a decision: names, other experiments, which hours are asked for; and what scaling does."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline_tests.evaluation.builders import START, experiment, sums

HOURS = 50
NAMED = ("experiment_id", "name", "variant_id", "variant_name")
NAMED_IN_DECISIONS = ("candidate_variant_id", "candidate_variant_name", "control_variant_id", "control_variant_name")


@st.composite
def streams(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rollups of an experiment with known users, two to four arms and a plan of its own, and the experiment.

    Arms may begin late, have next to no traffic, and be judged with an attribution window.
    """
    arms = ["control", "a", "b", "c"][: draw(st.integers(2, 4))]
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    rate = draw(st.floats(0.02, 0.5))
    tiny = draw(st.sampled_from([None, 0.05]))
    own = experiment(
        arms=arms,
        split=None if tiny is None else [100 - tiny * (len(arms) - 1), *[tiny] * (len(arms) - 1)],
        attribution_window_hours=draw(st.sampled_from([0.0, 7.5, 30.0])),
        planned_sample_size=draw(st.sampled_from([2_000, 20_000, np.nan])),
        group_sequential_spending=draw(st.sampled_from(["obrien_fleming", "alpha_t_squared"])),
        lift_prior_sd_percent=draw(st.sampled_from([2.0, 10.0, 50.0])),
    )
    rows = pd.DataFrame(
        {
            "experiment_id": "button",
            "variant_id": np.repeat([f"button/{arm}" for arm in arms], HOURS),
            "hour": np.tile(pd.date_range(START, periods=HOURS, freq="h"), len(arms)),
            "requests": rng.poisson(draw(st.sampled_from([2, 60, 900])), len(arms) * HOURS),
        }
    )
    begun = rng.integers(-HOURS, HOURS, len(arms)) if draw(st.booleans()) else np.zeros(len(arms), dtype=int)
    rows = rows[np.tile(np.arange(HOURS), len(arms)) >= np.repeat(begun, HOURS)].reset_index(drop=True)
    rows["conversions"] = rng.binomial(rows["requests"], rate)
    rows["errors"] = rng.binomial(rows["requests"], 0.01)
    rows["new_users"] = rows["user_requests"] = rows["user_requests_sum_squares"] = rows["requests"]
    rows["user_conversions"] = rows["user_conversions_sum_squares"] = rows["conversions"]
    rows["user_conversions_requests_sum_products"] = rows["conversions"]
    rows["crossed_users"] = rng.binomial(rows["requests"], 0.02)
    return rows, own


def _rows(found: Evaluation, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(found, name)
    return frame.astype(
        {column: object for column in frame.columns if isinstance(frame[column].dtype, pd.CategoricalDtype)}
    )


@settings(max_examples=25, deadline=None)
@given(stream=streams(), prefix=st.sampled_from(["", "z", "A-much-longer-"]))
def test_renaming_changes_names_only(stream: tuple[pd.DataFrame, pd.DataFrame], prefix: str) -> None:
    rollups, own = stream

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        change = {
            name: pd.Series([f"{prefix}{value}" if value == value else value for value in frame[name]], dtype=object)
            for name in (*NAMED, *NAMED_IN_DECISIONS)
            if name in frame.columns
        }
        return frame.assign(**change)

    before, after = evaluate(rollups, own), evaluate(renamed(rollups), renamed(own))
    for name in ("metrics", "significance", "decisions"):
        assert_frame_equal(renamed(_rows(before, name)), _rows(after, name), check_exact=True)


@settings(max_examples=25, deadline=None)
@given(stream=streams())
def test_the_order_of_treatments_changes_no_number(stream: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    rollups, own = stream
    swap = {"a": "z-a", "b": "y-b", "c": "x-c"}
    turned = own.assign(variant_name=own["variant_name"].replace(swap))
    before, after = _rows(evaluate(rollups, own), "significance"), _rows(evaluate(rollups, turned), "significance")
    keys = ["hour", "variant_id"]
    before, after = (frame.sort_values(keys).reset_index(drop=True) for frame in (before, after))
    assert_frame_equal(before.drop(columns="variant_name"), after.drop(columns="variant_name"), check_exact=True)


@settings(max_examples=25, deadline=None)
@given(stream=streams(), hour=st.integers(0, HOURS - 1))
def test_an_hour_alone_says_what_it_says_among_all(stream: tuple[pd.DataFrame, pd.DataFrame], hour: int) -> None:
    rollups, own = stream
    at = START + pd.Timedelta(hours=hour)
    known = rollups[rollups["hour"] <= at]
    every = [START + pd.Timedelta(hours=number) for number in range(HOURS)]
    whole, alone = evaluate(rollups, own, hours=every), evaluate(known, own, hours=[at])
    for name in ("metrics", "significance", "decisions"):
        among = _rows(whole, name)
        assert_frame_equal(among[among["hour"] == at].reset_index(drop=True), _rows(alone, name), check_exact=True)


@settings(max_examples=20, deadline=None)
@given(stream=streams(), other=streams())
def test_an_unrelated_experiment_changes_nothing(
    stream: tuple[pd.DataFrame, pd.DataFrame], other: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    rollups, own = stream
    elsewhere = [frame.replace({"experiment_id": {"button": "other"}}) for frame in other]
    for frame in elsewhere:
        frame["variant_id"] = "other-" + frame["variant_id"]
    hours = pd.date_range(START, periods=HOURS, freq="h")
    alone = evaluate(rollups, own, hours=hours)
    both = evaluate(pd.concat([elsewhere[0], rollups]), pd.concat([elsewhere[1], own]), hours=hours)
    for name in ("metrics", "significance", "decisions"):
        among = _rows(both, name)
        among = among[among["experiment_id"] == "button"].reset_index(drop=True)
        assert_frame_equal(among, _rows(alone, name), check_exact=True)


@settings(max_examples=20, deadline=None)
@given(stream=streams(), factor=st.sampled_from([2, 5]))
def test_more_of_the_same_makes_every_number_surer(stream: tuple[pd.DataFrame, pd.DataFrame], factor: int) -> None:
    rollups, own = stream
    sums = [name for name in rollups.columns if name not in (*NAMED, "hour")]
    times = evaluate(rollups.assign(**{name: rollups[name] * factor for name in sums}), own).significance
    once = evaluate(rollups, own).significance
    np.testing.assert_allclose(times["lift"], once["lift"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(times["z"], once["z"] * np.sqrt(factor), rtol=1e-9, atol=1e-9)
    fraction = np.minimum(once["information_fraction"] * factor, 1.0)
    seen = ~np.isnan(once["information_fraction"]) & (once["information_fraction"] < 1)
    np.testing.assert_allclose(times["information_fraction"][seen], fraction[seen])
    # Twice the data is half the variance: less is taken off the lift.
    sure = np.isfinite(once["shrunken_lift"])
    assert (np.abs(times["shrunken_lift"][sure]) >= np.abs(once["shrunken_lift"][sure]) - 1e-12).all()
    assert (np.abs(times["shrunken_lift"][sure]) <= np.abs(times["lift"][sure]) + 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(stream=streams())
def test_every_reported_number_lies_within_its_bounds(stream: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = evaluate(*stream)
    decisions, significance = found.decisions, found.significance
    for name in ("srm_p_value", "sequential_srm_p_value", "information_fraction", "multiple_exposure"):
        known = decisions[name].dropna()
        assert ((known >= 0) & (known <= 1)).all()
    bound = significance["group_sequential_boundary_z"].dropna()
    assert (bound > 2).all()
    crossed = decisions["group_sequential_crossed"] == True  # noqa: E712 - None is neither
    chosen = decisions[crossed]
    assert (chosen["group_sequential_z"] >= chosen["group_sequential_boundary_z"]).all()
    alarmed = decisions["sequential_srm_p_value"] < 0.001
    assert not (alarmed & decisions["is_promotable"]).any()


def test_ten_arms_alone_are_decided_as_among_other_hours_and_experiments() -> None:
    arms = ["control", *"abcdefghi"]
    rng = np.random.default_rng(4)
    split = [37.3, *rng.permutation(np.linspace(5.1, 8.9, 9)).round(2)]
    split[0] += 100 - sum(split)
    counts = {
        arm: (int(n), int(n) // 9) for arm, n in zip(arms, 40 * np.array(split) + rng.integers(0, 50, 10), strict=True)
    }
    rows, own = sums(counts, hours=1), experiment(arms=arms, split=split)
    other = sums({"control": (9_000, 90), "variant-a": (3, 0)}, name="other", hours=1)
    both = pd.concat([own, experiment("other", split=[99.97, 0.03])])
    hours = pd.date_range(START, periods=6, freq="h")
    among = _rows(evaluate(pd.concat([rows, other]), both, hours=hours), "decisions")
    among = among[(among["experiment_id"] == "button") & (among["hour"] == hours[3])].reset_index(drop=True)
    alone = _rows(evaluate(rows, own, hours=hours[3:4]), "decisions")
    assert_frame_equal(among, alone, check_exact=True)


def test_a_row_of_an_unlisted_variant_says_nothing_about_the_hours_before_it() -> None:
    rows = sums({"control": (100, 10), "variant-a": (100, 12), "stray": (5, 1)}, hours=1)
    later = START + pd.Timedelta(hours=3)
    rows.loc[rows["variant_id"] == "button/stray", "hour"] = later
    decisions = evaluate(rows, experiment(), hours=pd.date_range(START, later, freq="h")).decisions
    assert [("unknown_variant" in reasons) for reasons in decisions["reasons"]] == [False] * 3 + [True]
