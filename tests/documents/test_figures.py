"""Every measured figure of a page names the saved result that it came from, and stands there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.documents.figures import (
    Figure,
    everywhere,
    figures,
    in_a_result,
    named_results,
    numbers_of,
    problems,
    ruling_of,
    rulings,
    worked_out,
)
from tests.documents.passages import Passage, sections
from tests.paths import ROOT

WRITTEN = {"commands.md"}
"""Pages that a script writes from the commands' own help: limits and defaults, no measurement."""
PAGES = [
    ROOT / "README.md",
    *sorted(each for each in (ROOT / "docs").glob("*.md") if each.name not in WRITTEN),
]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_each_figure_of_a_page_stands_in_the_result_that_it_names(page: Path) -> None:
    found = problems(_name(page), page.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def _all_figures() -> list[tuple[Figure, str]]:
    found: list[tuple[Figure, str]] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        parts = sections(text)
        found.extend((each, parts[each.passage.section]) for each in figures(_name(page), text))
    return found


def test_there_are_figures_of_results_to_look_at() -> None:
    assert sum(in_a_result(*each) for each in _all_figures()) > 150


def test_each_ruling_is_needed() -> None:
    needed = {ruling_of(figure) for figure, _ in _all_figures()}
    assert not [f"{each.page}: {each.text}" for each in rulings() if each not in needed]
    texts = [figure.passage.text for figure, _ in _all_figures()]
    assert not [
        each.pattern for each in everywhere() if not any(each.search(text) for text in texts)
    ]


def test_most_wrong_figures_would_be_found() -> None:
    """Another number with the same digits, within a tenth, for each figure that stands in a result."""
    draw = random.Random(7)
    tried = found = 0
    for figure, section in _all_figures():
        if not in_a_result(figure, section) or ruling_of(figure) or figure.value == 0:
            continue
        decimals = len(figure.shown.partition("e")[0].partition(".")[2])
        for _ in range(3):
            value = f"{figure.value * draw.uniform(0.9, 1.1):.{decimals}f}"
            if "e" in figure.shown or float(value) == figure.value:
                continue
            wrong = Figure(figure.page, value, figure.unit, figure.at, figure.passage)
            tried += 1
            found += not in_a_result(wrong, section)
    assert tried > 200
    assert found / tried > 0.7, f"{found} of {tried}"


_SAYS = "# A page\n\nA step takes 1.4 times as long ({source}).\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# A page\n\nA run takes 25 minutes.\n", "names no file"),
        ("# A page\n\nA run takes 25 minutes (`no_such.json`).\n", "names no file"),
        ("# A page\n\nThe race took 7.51 runs (`race.json`).\n", ""),
        ("# A page\n\nThe race took 7.5 times a run (`python -m benchmarks.race`).\n", ""),
        ("# A page\n\nThe race took 7.52 runs (`race.json`).\n", "not in race.json"),
        (
            "# A page\n\n## One\n\n`race.json`\n\n## Two\n\nThe race took 7.51 runs.\n",
            "names no file",
        ),
        ("# A page\n\n- `race.json` has it.\n- It took 9.99 times a run.\n", "not in race.json"),
        ("# A page\n\n`race.json`\n\n| a | b |\n|---|---|\n| x | 7.51 |\n| y | 9.99 |\n", "9.99"),
        ("# A page\n\n`make demo` prints:\n\n```text\naccuracy 0.123\n```\n", ""),
        ("# A page\n\nIt prints:\n\n```text\naccuracy 0.123\n```\n", "names no command"),
        (
            "# A page\n\n`set x=1.25` and Qwen2.5-0.5B, torch 2.13.0, at 22:00, 4-bit, arXiv:2106.09685.\n",
            "",
        ),
        ("# A page\n\nBetween 7 and 9 hours.\n", "names no file"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    found = problems("page.md", text)
    assert bool(found) == bool(told), found
    assert all(told in each for each in found)


def _figure(shown: str, unit: str, kind: str = "prose") -> Figure:
    return Figure("page.md", shown, unit, 0, Passage(1, 1, kind, shown, ""))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("shown", "unit", "number", "same"),
    [
        ("2.40", "times", 2.404, True),
        ("2.40", "times", 2.406, False),
        ("12", "%", 0.1249, True),
        ("12", "%", 0.126, False),
        ("54.6", "MB", 54_600_001, True),
        ("0.58", "GB", 582_000_000, True),
        ("1,475", "MB", 1474.6, True),
        ("5.1e-03", "", 0.00512, True),
        ("5.1e-03", "", 0.00516, False),
        ("30", "minutes", 1800, False),
        ("0.13", "", -0.132, True),
        ("180.0", "", 180_037_094_198_795, False),
    ],
)
def test_a_number_is_compared_as_it_is_shown(
    shown: str, unit: str, number: float, same: bool
) -> None:
    assert _figure(shown, unit).is_shown_of([number]) is same


def test_a_tables_head_has_the_unit() -> None:
    assert _figure("180.0", "", "row").is_shown_of([180_037_094_198_795])


def test_numbers_of_texts_count() -> None:
    assert set(numbers_of({"a": [1, True, None], "b": "2.40× as fast, 1,500 MB"})) == {
        1.0,
        2.4,
        1500.0,
    }


def test_a_formula_is_worked_out() -> None:
    assert worked_out("({a > 1} - {b > c}) / 4", {"a": [0, 5], "b": {"c": 3}}) == 0.5


def test_a_script_names_its_result() -> None:
    assert named_results("see `python -m benchmarks.plan_t4`") == ["plan-t4"]
    assert named_results("`benchmarks/results/race.json` and `levers.json`") == ["levers", "race"]
