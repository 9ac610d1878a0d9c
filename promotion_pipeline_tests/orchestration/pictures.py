"""`python -m promotion_pipeline_tests.orchestration.pictures`: pictures of what a person sees in the Dagster UI.

Makes the demo in a folder of its own, starts `promotion-pipeline dev` on it (web server, daemon, code server), opens
the pages in the Chromium of the machine and writes a picture of each into `--folder`, by default a new one in the
temporary folder. Everything is ended and the demo is removed. Five minutes. With `--url` it looks at a UI that runs.
`asset-graph.png` is the one in the handbook: `--only asset-graph --folder docs`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import FloatRect, Page, sync_playwright

from promotion_pipeline.cli.dev import free_port, wait_until_ready
from promotion_pipeline.cli.processes import process_group

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ASSET = "/assets/eligibility_decisions"
LOCATION = "/locations/promotion_pipeline.definitions"
LAUNCHPADS = (
    "evaluate_job",
    "promote_job",
    "approve_job",
    "advance_job",
    "rollback_job",
    "hold_job",
    "release_hold_job",
)
TICKS_SECONDS = 75
"""Until every sensor has looked twice: they look every 30 seconds."""
SETTLE_MS = 5000
"""The UI asks the server every two seconds."""
GRAPH = "/asset-groups?expanded=" + quote(
    ",".join(f"global@global:{it}" for it in ("source", "evaluation", "promotion"))
)
"""With its groups unfolded, so that all of it fits the window."""
CANVAS = FloatRect(x=410, y=180, width=1440, height=460)
"""The graph in a window of 1900 x 900, without the panels around it."""


@dataclass(frozen=True)
class Picture:
    """One page, what is done on it, and the size of the window."""

    name: str
    path: str
    act: Callable[[Page], None] = lambda page: None
    width: int = 1280
    height: int = 900
    part: FloatRect | None = None
    """None: the whole window."""


def coloured(page: Page) -> None:
    """A node gets its colour when its events were read, which takes the server a while."""
    page.wait_for_timeout(4 * SETTLE_MS)


def scroll_to(heading: str) -> Callable[[Page], None]:
    """A part of the page."""
    return lambda page: page.get_by_text(heading, exact=True).first.scroll_into_view_if_needed()


def plots(page: Page) -> None:
    """The plots in the place of the table of metadata."""
    scroll_to("Metadata")(page)
    page.get_by_role("button", name="Plots").last.click()
    page.mouse.move(500, 600)
    page.mouse.wheel(0, 450)


def newest_event(key: str) -> Callable[[Page], None]:
    """The Markdown of an event's metadata, opened."""

    def opened(page: Page) -> None:
        row = page.get_by_role("row").filter(has_text=key)
        row.get_by_text("[Show Markdown]").first.click()

    return opened


def backfill(page: Page) -> None:
    """The dialog over the newest hour, with its configuration open."""
    page.get_by_role("button", name="Materialize…").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Launch backfill").wait_for()
    page.wait_for_timeout(SETTLE_MS)
    dialog.get_by_role("button", name="Latest", exact=True).click()
    dialog.get_by_text("Config", exact=True).click()
    dialog.get_by_role("button", name="Add config").click()


def launchpad(page: Page) -> None:
    """Loaded, with its configuration checked."""
    page.get_by_role("button", name="Launch Run").wait_for()
    page.wait_for_timeout(SETTLE_MS)


PICTURES = (
    Picture("asset-graph", GRAPH, coloured, width=1900, part=CANVAS),
    Picture("graph", GRAPH, coloured, width=1900),
    Picture("overview", f"{ASSET}?view=overview"),
    Picture("metadata", f"{ASSET}?view=overview", scroll_to("Metadata"), height=1200),
    Picture("plots", f"{ASSET}?view=overview", plots, height=1200),
    Picture("events", f"{ASSET}?view=events"),
    Picture("verdicts", f"{ASSET}?view=events", newest_event("verdicts")),
    Picture("lift", f"{ASSET}?view=events", newest_event("lift"), height=1200),
    Picture("partitions", f"{ASSET}?view=partitions"),
    Picture("checks", f"{ASSET}?view=checks&checkDetail=sample_ratio_is_sound"),
    Picture("source", "/assets/ai_requests?view=overview"),
    Picture("automation", "/automation"),
    Picture("schedule-ticks", f"{LOCATION}/schedules/hourly_promotion_schedule"),
    Picture("sensor-ticks", f"{LOCATION}/sensors/promotion_sensor"),
    Picture("backfill", f"{ASSET}?view=partitions", backfill),
    Picture("jobs", "/jobs"),
    Picture("runs", "/runs"),
    *(Picture(f"launchpad-{job}", f"{LOCATION}/jobs/{job}/playground", launchpad) for job in LAUNCHPADS),
)


def take(url: str, folder: Path, only: str | None) -> None:
    """Open each page and write its picture; a page that cannot be opened so is told, and the next one taken."""
    with sync_playwright() as playwright:
        program = next((path for path in map(shutil.which, PROGRAMS) if path), None)
        browser = playwright.chromium.launch(executable_path=program)
        for one in PICTURES:
            if only not in (None, one.name):
                continue
            page = browser.new_page(viewport={"width": one.width, "height": one.height}, base_url=url)
            page.add_init_script("localStorage.setItem('dagster-nav-collapsed', 'true')")
            page.goto(one.path)
            page.wait_for_timeout(SETTLE_MS)
            try:
                one.act(page)
            except Exception as error:
                sys.stdout.write(f"{one.name}: {str(error).splitlines()[0]}\n")
            page.wait_for_timeout(SETTLE_MS)
            clip: dict[str, Any] = {} if one.part is None else {"clip": one.part}
            page.screenshot(path=folder / f"{one.name}.png", **clip)
            sys.stdout.write(f"{folder / one.name}.png\n")
            page.close()
        browser.close()


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """The address of a UI over a demo of its own, with ticks of its sensors."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port("127.0.0.1", None)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AUTO_PROMOTION_", "DAGSTER_"))}
        environment = kept | {"AUTO_PROMOTION_HOME": name}
        command = [sys.executable, "-m", "promotion_pipeline.cli"]
        subprocess.run([*command, "demo"], env=environment, check=True, stdout=subprocess.DEVNULL)
        log, url = folder / "log", f"http://127.0.0.1:{port}"
        with process_group([*command, "dev", "--port", str(port)], environment, folder, log) as process:
            wait_until_ready(process, url, log)
            time.sleep(TICKS_SECONDS)
            yield url


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of the Dagster UI over the demo.")
    parser.add_argument("--folder", type=Path, help="where the pictures go; default: a new one in the temporary folder")
    parser.add_argument("--url", help="of a UI that runs already; default: one over a demo of its own")
    parser.add_argument("--only", choices=[one.name for one in PICTURES], help="this picture alone")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="promotion-pictures-"))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext(given.url) if given.url else demo() as url:
        take(url, folder, given.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
