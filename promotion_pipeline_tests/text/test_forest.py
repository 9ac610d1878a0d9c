"""The forest plot: what is drawn, what is said of the rest, and what a name can do to it."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.text.forest import GROUPS, MOST, SPAN, Forest, ForestArm, Line, forest
from promotion_pipeline.text.forest_svg import forest_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "x" * 180,
    "</text></svg><script>alert(1)</script>",
    'ניסוי כפתור "א"',
    "\u202eevil\x07 name\ufffe",
    "実験" * 60,
    "a & b\n'c'",
)


def drawn(*arms: ForestArm) -> Forest:
    found = forest(arms)
    assert found is not None
    return found


def lines(picture: Forest) -> dict[str, Line]:
    return {line.arm.name: line for group in picture.groups for line in group.lines}


def many(group: str, number: int, lower: float = 0.0) -> list[ForestArm]:
    return [ForestArm(f"{group}-{n:03}", group, lower + n / 1000, lower, lower + n / 500) for n in range(number)]


def test_every_verdict_has_a_heading() -> None:
    assert GROUPS.keys() == {"promotable", *(verdict.value for verdict in Verdict)}


def test_of_300_experiments_40_are_drawn_some_of_each_verdict_and_the_rest_is_counted() -> None:
    arms = [*many("not_yet", 250, -0.1), *many("promotable", 2), *many("eligible", 28), *many("rejected", 20, -0.2)]
    picture = drawn(*arms)
    assert [(group.name, len(group.lines), group.total) for group in picture.groups] == [
        ("promotable", 2, 2),
        ("eligible", 13, 28),
        ("rejected", 13, 20),
        ("not_yet", 12, 250),
    ]
    assert (picture.drawn, picture.total) == (MOST, 300)
    assert picture.groups[1].heading == "Eligible: a person may approve (13 of 28)"
    assert picture.left_out.startswith("260 more")


def test_of_the_rejected_the_surely_worse_are_drawn_and_of_the_others_the_surely_better() -> None:
    arms = [
        ForestArm(f"{group}-{n}", group, n / 100, n / 100 - 0.05, n / 100 + 0.05) for group in GROUPS for n in range(9)
    ]
    picture = forest(arms, most=len(GROUPS))
    assert picture is not None
    assert {name: line.arm.lift for name, line in lines(picture).items()} == {
        "promotable-8": 0.08,
        "eligible-8": 0.08,
        "rejected-0": 0.0,
        "not_yet-8": 0.08,
        "inconclusive-8": 0.08,
        "error-8": 0.08,
    }


def test_an_interval_that_runs_out_of_the_picture_is_cut_and_marked() -> None:
    wide = ForestArm("wide", "not_yet", 5.0, -math.inf, math.inf)
    found = lines(drawn(wide, *(ForestArm(f"narrow-{n}", "eligible", 0.1, 0.05, 0.15) for n in range(20))))
    assert (found["wide"].start, found["wide"].end) == (0.0, SPAN)
    assert found["wide"].is_cut_left and found["wide"].is_cut_right and found["wide"].is_outside
    assert found["wide"].said == "+500.0 % (no end)"
    # It flattens no other: these take a third of the width and more.
    narrow = found["narrow-0"]
    assert not narrow.is_cut_left and not narrow.is_cut_right
    assert narrow.end - narrow.start > SPAN / 3


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_has_no_lift_is_counted_and_not_drawn(wrong: float) -> None:
    unknown = ForestArm("unknown", "inconclusive", wrong, 0.0, 0.1)
    picture = drawn(ForestArm("known", "eligible", 0.1, 0.05, 0.2), unknown)
    assert list(lines(picture)) == ["known"]
    assert picture.left_out.startswith("1 more")
    assert forest([unknown]) is None


def test_a_name_is_text_whatever_is_in_it() -> None:
    picture = forest_svg(drawn(*(ForestArm(name, "eligible", 0.1, 0.05, 0.2) for name in HOSTILE)), "a title & <more>")
    root = ElementTree.fromstring(picture)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "text", "tspan", "path", "g")
    }
    shown = ["".join(row.itertext()) for row in root.iter(f"{SVG}tspan") if row.get("x") == "248"]
    assert len(shown) == len(HOSTILE)
    # Each of another script is an island of its own, so that a name that turns the direction turns only itself.
    islands = [text for text in shown if "\u2068" in text]
    assert len(islands) == sum(not name.isascii() for name in HOSTILE)
    assert all(text.endswith("\u2069") for text in islands)
    titles = " ".join(title.text or "" for title in root.iter(f"{SVG}title"))
    assert HOSTILE[0] in titles and HOSTILE[1] in titles
