"""The site of the documents: built without a warning and without network, whole, and readable from the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.browser import DESKTOP, PHONE, SERIOUS, axe, chromium, opened
from tests.paths import ROOT

__all__ = ["axe", "chromium"]

#: A proxy that refuses: whatever asks the network while the site is built fails.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("furo", "myst_parser", "sphinx_copybutton"):
        pytest.importorskip(package, reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    out = folder / "pages"
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    places = ["-d", str(folder / "doctrees"), "-c", "docs", ".", str(out)]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, *places],
        cwd=ROOT,
        env=os.environ | NO_NETWORK,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return out


class Found(HTMLParser):
    """What a page refers to, the language that it says, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.language = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given.get("lang", "")
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in {"script", "img", "link", "iframe"}:
            self.loaded += [given[name] for name in ("src", "href") if name in given]


def pages_of(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


@pytest.mark.slow
def test_every_document_is_a_page(site: Path) -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for path in documents:
        assert (site / path.relative_to(ROOT).with_suffix(".html")).is_file(), path
    assert (site / "index.html").is_file()


@pytest.mark.slow
def test_links_lead_to_what_is_in_the_site(site: Path) -> None:
    known: dict[Path, set[str]] = {}
    for page in pages_of(site):
        for link in Found(page).links:
            file, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                assert link.startswith("https://"), f"{page}: {link}"
                continue
            target = (page.parent / unquote(file)).resolve() if file else page
            assert target.is_file(), f"{page}: {link}"
            if anchor:
                known.setdefault(target, Found(target).anchors)
                assert unquote(anchor) in known[target], f"{page}: {link}"


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in pages_of(site):
        for address in Found(page).loaded:
            assert not re.match(r"(?:[a-z]+:)?//", address), f"{page}: {address}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", text), style


@pytest.mark.slow
def test_vietnamese_pages_say_that_they_are(site: Path) -> None:
    assert Found(site / "docs" / "tutorial.html").language == "en"
    assert Found(site / "README.vi.html").language == "vi"
    for page in (site / "docs" / "vi").glob("*.html"):
        assert Found(page).language == "vi", page


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["docs/index", "docs/tutorial", "docs/vi/colab"])
def test_a_page_opens_from_the_disk_asks_for_nothing_and_has_no_barrier(
    chromium: Any, axe: str, site: Path, name: str, scheme: str
) -> None:
    for size in (PHONE, DESKTOP):
        page, told = opened(chromium, site / f"{name}.html", size, scheme)
        outside = [each for each in told if not each.startswith((site.as_uri(), "data:"))]
        assert outside == []
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        assert [each["id"] for each in found if each["impact"] in SERIOUS] == []
        page.context.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "found"), [("disconnect", "Colab and Kaggle"), ("kết nối", "Colab và Kaggle")]
)
def test_the_search_works_from_the_disk(chromium: Any, site: Path, words: str, found: str) -> None:
    page, told = opened(chromium, site / "search.html", DESKTOP, "light")
    page.goto(f"{(site / 'search.html').as_uri()}?q={words}")
    page.wait_for_selector("#search-results ul.search li a")
    assert found in page.locator("#search-results").inner_text()
    assert [each for each in told if each.startswith("http")] == []
