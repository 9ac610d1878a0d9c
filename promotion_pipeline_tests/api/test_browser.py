"""The pages in a real browser: what people see and press, in both colour schemes, at a desk and on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from promotion_pipeline_tests.api.conftest import Api
from promotion_pipeline_tests.api.looks import write_looks
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, Seeded, VariantSpec, seed_experiment, split_of

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SERIOUS = {"serious", "critical"}
STICKING_OUT = """
    [...document.querySelectorAll('body *')].filter(
        it => it.getBoundingClientRect().right > innerWidth + 1 && !it.closest('.scroll, svg')).map(it => it.outerHTML)
"""
"""Elements wider than the window, but for those that scroll by themselves."""
BROKEN_WORDS = """
    [...document.querySelectorAll('label, button, summary')].flatMap(it => [...it.childNodes].filter(
        node => node.nodeType === Node.TEXT_NODE
    ).flatMap(node => [...node.data.matchAll(/\\b\\w{1,20}\\b/g)].filter(word => {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            return range.getClientRects().length > 1;
        }).map(word => word[0])))
"""
"""Words of up to 20 letters, of labels and buttons, that go on in the next line."""
SWEEP = "/api/monitoring/auto-promotion/check"


LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 390), ("dark", 1280))
"""Colour scheme and width of the window: each scheme and each width once, for colours do not depend on the width."""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=_program(playwright))
        yield running
        running.close()


def _program(playwright: Playwright) -> str:
    found = next((path for path in map(shutil.which, PROGRAMS) if path), None) or playwright.chromium.executable_path
    if not Path(found).exists():
        pytest.skip(f"no browser: neither {', '.join(PROGRAMS)} on the PATH nor Playwright's own (playwright install)")
    return found


@pytest.fixture
def open_page(browser: Browser, shared_api: Api) -> Iterator[Open]:
    """Opens a page in a fresh profile in which the operator is logged in."""
    contexts = []

    def opened(*, scripts: bool = True, log_in: bool = True) -> Page:
        context = browser.new_context(base_url=shared_api.url, java_script_enabled=scripts)
        contexts.append(context)
        page = context.new_page()
        page.goto("/experiments")
        if log_in:
            page.get_by_label("Token").fill(shared_api.secrets["operator"])
            page.get_by_role("button", name="Log in").click()
        return page

    yield opened
    for context in contexts:
        context.close()


def _waiting(api: Api, name: str) -> Seeded:
    """An experiment that waits for a person, with a history of looks."""
    seeded = seed_experiment(api.store, name, UNPROVEN)
    write_looks(api.store, seeded, looks=60)
    api.operator.post(SWEEP).raise_for_status()
    return seeded


def _is_sound(page: Page) -> None:
    """However one looks: no serious barrier, nothing sticks out, and no control is so narrow that it breaks a word."""
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        barriers = [it for it in Axe().run(page).response["violations"] if it["impact"] in SERIOUS]
        where = (page.url, scheme, width)
        assert [(it["id"], [node["html"] for node in it["nodes"]]) for it in barriers] == [], where
        assert page.evaluate(STICKING_OUT) == [], where
        assert page.evaluate(BROKEN_WORDS) == [], where


def _act(page: Page, title: str, reason: str) -> None:
    page.locator("summary", has_text=f"{title}…").click()
    form = page.locator("details[open]")
    form.get_by_label(re.compile("^Reason")).fill(reason)
    form.get_by_role("button", name=title).click()


def test_a_person_finds_approves_and_undoes_a_promotion(shared_api: Api, open_page: Open) -> None:
    name = "checkout"
    seeded = _waiting(shared_api, name)
    before = split_of(shared_api.store, seeded)
    page = open_page(log_in=False)
    _is_sound(page)
    page.get_by_label("Token").fill(shared_api.secrets["operator"])
    page.get_by_role("button", name="Log in").click()

    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("waits for approval")
    _is_sound(page)
    row.get_by_role("link", name=name).click()
    expect(page.get_by_role("img", name="Lift of treatment over control")).to_be_visible()
    page.locator("summary", has_text="Approve and promote…").click()
    page.get_by_text("The numbers of the chart").click()
    _is_sound(page)
    page.get_by_role("button", name="Approve and promote").click()
    expect(page.get_by_role("status")).to_have_text("Approved and promoted. Traffic now: control 0 %, treatment 100 %.")
    assert split_of(shared_api.store, seeded) == {"control": 0, "treatment": 100}
    _is_sound(page)

    _act(page, "Roll back", "errors in production")
    expect(page.get_by_role("status")).to_contain_text("Rolled back: the experiment runs again")
    expect(page.get_by_role("status")).to_contain_text("Traffic now: control 50 %, treatment 50 %.")
    assert split_of(shared_api.store, seeded) == before
    story = page.get_by_role("region", name="What happened")
    for part in ("Approval requested", "Promoted by operator-token", "Rolled back by operator-token"):
        expect(story).to_contain_text(part)
    expect(story).to_contain_text("errors in production")
    story.get_by_text("What was seen").click()
    expect(story.get_by_role("table")).to_contain_text("treatment")
    _is_sound(page)


def test_the_list_fits_a_desk_without_scrolling(shared_api: Api, open_page: Open) -> None:
    control = replace(WINNER[0], name="monthly", requests=8_500, conversions=850)
    seed_experiment(shared_api.store, "demo-price-page", (control, replace(WINNER[1], name="yearly-billing")))
    shared_api.operator.post(SWEEP).raise_for_status()
    page = open_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    row = page.get_by_role("row").filter(has_text="demo-price-page")
    expect(row).to_contain_text("broken split")
    expect(row).to_contain_text("waits for approval")
    list_of_all = page.get_by_role("region", name="Experiments")
    assert list_of_all.evaluate("it => it.scrollWidth - it.clientWidth") <= 0


def test_reading_and_acting_need_no_script(shared_api: Api, open_page: Open) -> None:
    seeded = _waiting(shared_api, "without-scripts")
    page = open_page(scripts=False)

    page.get_by_role("link", name="without-scripts").click()
    expect(page.get_by_role("region", name="The contract checks")).to_contain_text("Improvement: passes")
    _act(page, "Approve and promote", "agreed")
    assert split_of(shared_api.store, seeded)["treatment"] == 100
    _act(page, "Roll back", "changed our minds")

    assert split_of(shared_api.store, seeded)["treatment"] == 50
    expect(page.get_by_role("region", name="What happened")).to_contain_text("changed our minds")


def test_the_keyboard_alone_is_enough(shared_api: Api, open_page: Open) -> None:
    seeded = seed_experiment(shared_api.store, "by-keyboard", WINNER)
    page = open_page()
    page.goto("/experiments/by-keyboard")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    stops: list[str] = []
    while (stop := _next_stop(page)) != "Promote treatment…":
        assert stop not in stops, f"the keyboard never reaches the act: {stops}"
        stops.append(stop)
    assert stops == ["Experiments", "Ledger", "Log out"]
    page.keyboard.press("Enter")
    assert _next_stop(page) == "reason"
    page.keyboard.type("agreed in the review")
    assert _next_stop(page) == "Promote treatment"
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Promoted")
    assert split_of(shared_api.store, seeded)["treatment"] == 100


def _next_stop(page: Page) -> str:
    page.keyboard.press("Tab")
    # What has the focus shows it.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    return str(page.evaluate("document.activeElement.innerText || document.activeElement.name"))


def test_a_name_of_any_length_fits_a_phone(shared_api: Api, open_page: Open) -> None:
    name = "an-experiment-with-a-name-that-somebody-generated-" + "x" * 80
    variants = (
        VariantSpec("control" * 12, is_control=True, requests=10_000, conversions=1_000),
        VariantSpec("treatment" * 12, requests=10_000, conversions=1_300),
    )
    seed_experiment(shared_api.store, name, variants)
    page = open_page()

    for address in ("/experiments", f"/experiments/{name}", "/experiments/none", "/experiments?q=none"):
        page.goto(address)
        _is_sound(page)
