"""The page of a run in Debian's Chromium: phone and desktop, light and dark, printed; axe-core looks for barriers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lexitrain import train, write_run_page, write_runs_page
from tests.browser import DESKTOP, NARROW, PHONE, SERIOUS, axe, chromium, opened
from tests.reporting.run_folders import run, small_recipe, trained
from tests.small_runs import write_data

__all__ = ["axe", "chromium", "run", "trained"]

pytestmark = pytest.mark.browser


@pytest.fixture
def pages(run: Path, trained: Path) -> list[Path]:
    """Of a run that has all, of one that has only been trained, and of both side by side."""
    bare = shutil.copytree(trained, run.parent / "second")
    both = write_runs_page([run, bare], run.parent / "both.html")
    return [write_run_page(run), write_run_page(bare), both]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, NARROW, DESKTOP], ids=["phone", "narrow", "desktop"])
def test_a_page_fits_asks_for_nothing_and_has_no_barrier(
    chromium: Any, axe: str, pages: list[Path], size: tuple[int, int], scheme: str
):
    for path in pages:
        page, told = opened(chromium, path, size, scheme)
        assert told == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        assert [each["id"] for each in found if each["impact"] in SERIOUS] == []
        page.context.close()


def test_ink_follows_the_mode(chromium: Any, pages: list[Path]):
    """Text in charts and the page's own text have one colour, which differs between the modes."""
    colours = []
    for scheme in ("light", "dark"):
        page, _ = opened(chromium, pages[0], PHONE, scheme)
        text, ink, paper = page.evaluate(
            "[['p', 'color'], ['svg.chart text', 'fill'], ['body', 'backgroundColor']].map("
            "([where, what]) => getComputedStyle(document.querySelector(where))[what])"
        )
        assert text == ink != paper
        colours.append((ink, paper))
        page.context.close()
    assert len(set(colours)) == 2
    assert colours[0] != colours[1]


def test_a_letter_of_a_chart_can_be_read_on_a_phone(chromium: Any, pages: list[Path]):
    page, _ = opened(chromium, pages[0], NARROW, "light")
    heights = page.evaluate(
        "[...document.querySelectorAll('svg.chart text')].map(each => each.getBoundingClientRect().height)"
    )
    assert len(heights) > 50
    assert sorted(heights)[len(heights) // 2] >= 9  # pixels


def test_a_printed_page_is_light_and_shows_what_is_folded(
    chromium: Any, pages: list[Path], tmp_path: Path
):
    page, _ = opened(chromium, pages[0], DESKTOP, "dark")
    page.emulate_media(media="print", color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = page.locator("details table").first
    assert folded.bounding_box()["height"] > 20
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_hostile_text_runs_nothing_in_a_browser(chromium: Any, tiny_base: Path, tmp_path: Path):
    markup = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
    recipe = small_recipe(tiny_base).model_copy(update={"name": markup, "description": markup})
    train(recipe, write_data(tmp_path / "data"), tmp_path / "run")
    page, told = opened(chromium, write_run_page(tmp_path / "run"), PHONE, "light")
    assert told == [(tmp_path / "run" / "report.html").as_uri()]
    assert page.title() == f"{tmp_path.name}/run"
    assert page.locator("img, script").count() == 0
    assert markup[:50] in page.locator("dl.facts").inner_text()
