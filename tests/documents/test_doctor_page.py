"""docs/doctor.md has every check that may warn or refuse, and every cause of slowness."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

DIAGNOSIS = ROOT / "src" / "lexitrain" / "diagnosis"
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
BEFORE, SLOW = PAGE.partition("## Why a run is slow")[::2]


def named_by(folder: Path, places: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Of each call of these functions in a folder: the function, and the text at its place among the arguments."""
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            place = places.get(node.func.id, len(node.args))
            if place < len(node.args) and isinstance(text := node.args[place], ast.Constant):
                yield node.func.id, str(text.value)


def rows(part: str) -> list[tuple[str, str, str]]:
    return re.findall(r"^\| `([a-z ]+)` \| ?(.*?) ?\| ?(.*?) ?\|$", part, re.MULTILINE)


def test_each_check_that_warns_or_refuses_is_on_the_page() -> None:
    found = list(named_by(DIAGNOSIS / "preflight", {"warned": 0, "refused": 0}))
    for verdict, column in (("warned", 1), ("refused", 2)):
        names = {name for function, name in found if function == verdict}
        assert len(names) > 5
        assert names == {row[0] for row in rows(BEFORE) if row[column]}, verdict


def test_each_cause_of_slowness_is_on_the_page() -> None:
    places = {"Cause": 0, "_changed": 1}
    names = {name for _, name in named_by(DIAGNOSIS / "slowness", places)}
    assert len(names) > 8
    assert names == {row[0] for row in rows(SLOW)}
