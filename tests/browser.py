"""Debian's Chromium and axe-core, for the tests that look at pages.

Chromium is `/usr/bin/chromium` or what LEXITRAIN_CHROMIUM names; axe-core lies in the folder that LEXITRAIN_AXE names,
or in a `node_modules` here. Where one of them, or playwright, is not there, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

PHONE, NARROW, DESKTOP = (390, 844), (360, 740), (1280, 900)
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def chromium() -> Generator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("LEXITRAIN_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        # Root may not use Chromium's own sandbox; the pages are files of these tests.
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core."""
    places = [os.environ.get("LEXITRAIN_AXE"), ROOT / "node_modules" / "axe-core"]
    for place in places:
        if place and (Path(place) / "axe.min.js").is_file():
            return (Path(place) / "axe.min.js").read_text(encoding="utf-8")
    pytest.skip("there is no axe-core: npm install axe-core, and its folder in LEXITRAIN_AXE")


def opened(chromium: Any, path: Path, size: tuple[int, int], scheme: str) -> tuple[Any, list[str]]:
    """The page, and what it has asked for and complained of."""
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    page, told = context.new_page(), []
    page.on("request", lambda request: told.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(path.as_uri())
    return page, told
