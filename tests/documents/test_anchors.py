"""A link to a heading leads to a heading that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents.translation import sections, slug
from tests.paths import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_LINK = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_a_heading(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        aim = page.parent / target if target else page
        there = {slug(each.heading) for each in sections(aim.read_text(encoding="utf-8"))}
        assert anchor in there, f"{target}#{anchor}"


def test_an_anchor_is_made_of_a_heading() -> None:
    assert slug("A run folder from `somebody` else?") == "a-run-folder-from-somebody-else"
