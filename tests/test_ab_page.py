"""The page of A/B tests in English and Vietnamese: same headings, commands, options and numbers."""

from __future__ import annotations

import re

from tests.paths import ROOT

ENGLISH = (ROOT / "docs" / "ab.md").read_text(encoding="utf-8")
VIETNAMESE = (ROOT / "docs" / "vi" / "ab.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def sections(text: str) -> list[str]:
    """The text below each heading."""
    return re.split(r"^#+ .*$", BLOCK.sub("", text), flags=re.MULTILINE)[1:]


def test_headings_are_as_many_and_as_deep() -> None:
    depths = [
        re.findall(r"^#+(?= )", BLOCK.sub("", text), re.MULTILINE) for text in (ENGLISH, VIETNAMESE)
    ]
    assert depths[0] == depths[1]


def test_commands_are_the_same() -> None:
    assert BLOCK.findall(ENGLISH) == BLOCK.findall(VIETNAMESE)


def test_code_and_numbers_of_each_section_are_the_same() -> None:
    for ours, theirs in zip(sections(ENGLISH), sections(VIETNAMESE), strict=True):
        assert sorted(_code(ours)) == sorted(_code(theirs))
        assert sorted(NUMBER.findall(CODE.sub("", ours))) == sorted(
            NUMBER.findall(CODE.sub("", theirs))
        )


def _code(text: str) -> list[str]:
    """What is code, whatever line it is broken at."""
    return [" ".join(each.split()) for each in CODE.findall(text)]


def test_tables_have_as_many_rows() -> None:
    for ours, theirs in zip(sections(ENGLISH), sections(VIETNAMESE), strict=True):
        rows = [re.findall(r"^\|.*\|$", text, re.MULTILINE) for text in (ours, theirs)]
        assert len(rows[0]) == len(rows[1])
