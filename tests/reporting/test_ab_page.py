"""The page of an A/B test: whole, escaped, without network or script; and in a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lexitrain import report_ab, write_ab_page
from lexitrain.errors import InputError
from tests.abtest.worlds import collected, experiment, exposures
from tests.reporting.test_run_page_in_a_browser import (
    DESKTOP,
    NARROW,
    PHONE,
    SERIOUS,
    axe,
    chromium,
    opened,
)

__all__ = ["axe", "chromium"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = exposures(700, effect=0.12, errors=(0.01, 0.02))
    return write_ab_page(report_ab(collected(rows)), tmp_path_factory.mktemp("page") / "ab.html")


def test_a_page_says_all_of_the_report(page: Path):
    text = page.read_text(encoding="utf-8")
    for words in (
        "new is better than old.", "called helpful, of rated answers (decides)", "grammar", "any number of looks",
        "19 of 20 answers take no longer than", "Nothing was planned",
    ):  # fmt: skip
        assert words in text
    assert text.count("<svg") == 1
    assert "currentColor" in text
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", text)


def test_the_same_report_gives_the_same_bytes(tmp_path: Path):
    found = report_ab(collected(exposures(200)))
    one, two = (write_ab_page(found, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert one == two


def test_names_are_text(tmp_path: Path):
    evil = "<img src=x onerror=alert(1)>"
    rows = [
        replace(row, task=evil, arm=evil if row.arm == "new" else row.arm) for row in exposures(200)
    ]
    seen = collected(rows, experiment(name=evil, arms=("old", evil)))
    text = write_ab_page(report_ab(seen), tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img" not in text


@pytest.mark.parametrize("learners", [1, 8, 60])
def test_a_test_that_has_just_begun_has_a_page(tmp_path: Path, learners: int):
    text = write_ab_page(report_ab(collected(exposures(learners))), tmp_path / "a.html").read_text()
    assert "not enough yet" in text


def test_what_is_not_ours_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "ab.html").write_text("mine")
    with pytest.raises(InputError, match="has not written"):
        write_ab_page(report_ab(collected(exposures(5))), tmp_path / "ab.html")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, NARROW, DESKTOP], ids=["phone", "narrow", "desktop"])
def test_the_page_fits_asks_for_nothing_and_has_no_barrier(
    chromium: Any, axe: str, page: Path, size: tuple[int, int], scheme: str
):
    shown, told = opened(chromium, page, size, scheme)
    assert told == [page.as_uri()]
    assert shown.evaluate("document.documentElement.scrollWidth") == size[0]
    shown.evaluate(axe)
    found = shown.evaluate("axe.run()")["violations"]
    assert [each["id"] for each in found if each["impact"] in SERIOUS] == []
    shown.context.close()
