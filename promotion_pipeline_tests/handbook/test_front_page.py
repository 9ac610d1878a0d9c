"""The front page is short, and the map of rooms is that of the code."""

from __future__ import annotations

from promotion_pipeline_tests.handbook.rooms import BEGIN, CONTRIBUTING, END, rooms, with_map
from promotion_pipeline_tests.handbook.test_links import ROOT, pages

LONGEST_README = 120


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_the_map_of_rooms_is_what_the_packages_say() -> None:
    page = CONTRIBUTING.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == with_map(page), "make it anew: python -m promotion_pipeline_tests.handbook.reference"


def test_every_room_says_what_belongs_there() -> None:
    assert [folder for folder, said in rooms().items() if not said] == []


def test_every_page_is_in_a_table_of_contents_and_reachable_from_the_readme() -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    docs = [page.relative_to(ROOT / "docs").with_suffix("") for page in pages() if "docs" in page.parts]
    names = [str(page) for page in docs if page.name != "index"]
    assert [name for name in names if name not in contents] == []
    assert [name for name in names if f"docs/{name}.md" not in readme] == []


def test_the_pictures_are_small() -> None:
    sizes = {picture.name: picture.stat().st_size for picture in (ROOT / "docs").glob("*.png")}
    assert sizes and {name: size for name, size in sizes.items() if size > 200_000} == {}
