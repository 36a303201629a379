"""Measured figures of the pages, and where they come from.

A figure is a number with a unit of time, memory, speed or work, a percentage, a ratio, or a number with a point. Inline
code, targets of links, versions and arXiv numbers hold settings and names, not figures. The paragraph, item or row that
a figure stands in, or else its section, has to name a file of `benchmarks/results/`, or the script that writes it, and
the figure has to be in one of the files named: as a number, or within a text of it, to the digits shown and in the unit
shown. What a page shows as the output of a command is the command's, which the prose before it has to name. All else is
in `figures.yaml`: worked out of a saved result (by a formula, which is worked out here), or no measurement at all (with
the reason).
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.documents.passages import Passage, passages, sections
from tests.paths import ROOT

RESULTS = ROOT / "benchmarks" / "results"

_NUMBER = re.compile(
    r"(?<![\w.,:/])(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[-+]?\d+)?)"
)
_UNIT = (
    r"(?P<unit>\s?%|×|\s(?:times|ms|microseconds?|s|seconds?|min|minutes?|h|hours?|GiB|GB|MB|MB/s|kB|tokens/s|samples/s|"
    r"GFLOP/s|TFLOP/s|TFLOP|million)\b)"
)
"""A unit stands apart from its number; 4h is a setting, and in 4 × 6 two numbers are multiplied."""
_AFTER = re.compile(_UNIT)
_AFTER_RANGE = re.compile(
    rf"\s?(?:–|to|and|or)\s?{_NUMBER.pattern.replace('<number>', '<other>')}{_UNIT}"
)
_NO_FIGURE = re.compile(r"[A-Za-z_]|[.:/-]\d|-[a-z]")
"""What follows a number in a name (1.5B), a version, a time of day or a date."""
_HIDDEN = tuple(
    re.compile(pattern)
    for pattern in (
        r"``.*?``|`[^`]*`",
        r"(?<=\])\([^)]*\)",
        r"<!--.*?-->",
        r"https?://\S+",
        r"arXiv[: ]\S+",
        r"(?i)\b(?:python|torch|pytorch|cuda|transformers|peft|trl|gguf|libgguf|xllamacpp|bitsandbytes|optuna|"
        r"compute capability|capability|llama|gemma|version|apache|lexitrain)[- ]\d+(?:\.\d+)*(?:\+cpu)?"
        r"(?: to \d+\.\d+)?",
    )
)
_NAMED = re.compile(r"([\w-]+)\.json\b")
_SCRIPT = re.compile(r"python -m benchmarks\.(\w+)")
_COMMAND = re.compile(r"`(?:make|lexitrain|python -m) [^`]+`")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a page as it is shown.

    Attributes:
        page: path from the root of the checkout.
        shown: the number, `2.40`.
        unit: `%`, `s`, `times`, …; empty for a plain number.
        at: where in the passage.
        passage: that it stands in.
    """

    page: str
    shown: str
    unit: str
    at: int
    passage: Passage

    @property
    def value(self) -> float:
        """The number."""
        return float(self.shown.replace(",", ""))

    @property
    def half_a_digit(self) -> float:
        """How far a number may be away that is shown so."""
        mantissa, _, exponent = self.shown.replace(",", "").partition("e")
        decimals = len(mantissa.partition(".")[2])
        return 0.5 * 10.0 ** (int(exponent or 0) - decimals) * (1 + 1e-6)

    @property
    def scales(self) -> tuple[float, ...]:
        """What a saved number may be multiplied by to be shown in this unit."""
        if not self.unit and self.passage.kind == "row":
            return _IN_A_TABLE
        return _SCALES.get(self.unit, (1,))

    def is_shown_of(self, saved: Iterable[float]) -> bool:
        """Whether one of the saved numbers, rounded as the figure is, is the figure."""
        wanted, room, scales = self.value, self.half_a_digit, self.scales
        return any(
            abs(abs(number) * scale - wanted) <= room for number in saved for scale in scales
        )


_SCALES: dict[str, tuple[float, ...]] = {
    "%": (1, 100),
    "ms": (1, 1e3),
    "MB": (1, 1e-6),
    "GB": (1, 1e-9),
    "TFLOP": (1, 1e-12),
    "million": (1, 1e-6),
}
"""Unit -> what a saved number may be multiplied by to be shown in it; only itself where the unit is not here."""
_IN_A_TABLE = (1, 1e-6, 1e-12)
"""A table has the units of its numbers in its head: it may be megabytes or TFLOP."""


def figures(page: str, text: str) -> Iterator[Figure]:
    """The measured figures of a page's text."""
    for passage in passages(text):
        visible = passage.text
        for pattern in _HIDDEN:
            visible = pattern.sub(lambda found: " " * len(found[0]), visible)
        for found in _NUMBER.finditer(visible):
            rest = visible[found.end() :]
            unit = _AFTER.match(rest)
            if not unit and _NO_FIGURE.match(rest):
                continue
            unit = unit or _AFTER_RANGE.match(rest)
            if unit or "." in found["number"] or "e" in found["number"]:
                yield Figure(
                    page,
                    found["number"],
                    unit["unit"].strip() if unit else "",
                    found.start(),
                    passage,
                )


def numbers_of(content: Any) -> Iterator[float]:
    """All numbers in a JSON document, those within its texts included."""
    if isinstance(content, bool) or content is None:
        return
    if isinstance(content, int | float):
        yield float(content)
    elif isinstance(content, str):
        yield from (float(found["number"].replace(",", "")) for found in _NUMBER.finditer(content))
    else:
        for part in content.values() if isinstance(content, dict) else content:
            yield from numbers_of(part)


@cache
def saved(result: str) -> Any:
    """The content of a saved result."""
    return json.loads((RESULTS / f"{result}.json").read_text(encoding="utf-8"))


@cache
def saved_numbers(result: str) -> tuple[float, ...]:
    """All numbers of a saved result. Versions, dates and the command that made it are none."""
    content = {
        key: part
        for key, part in saved(result).items()
        if key not in ("versions", "date", "command")
    }
    return tuple(sorted(set(numbers_of(content))))


@cache
def _scripts() -> dict[str, set[str]]:
    """Saved result -> the scripts that its file, or its name, says it is made by."""
    return {
        file.stem: {
            file.stem.replace("-", "_"),
            *_SCRIPT.findall(saved(file.stem).get("command", "")),
        }
        for file in sorted(RESULTS.glob("*.json"))
    }


def named_results(section: str) -> list[str]:
    """Results that a section names, by their files or by the scripts that write them."""
    files, scripts = set(_NAMED.findall(section)), set(_SCRIPT.findall(section))
    return [name for name, makers in _scripts().items() if name in files or makers & scripts]


_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def worked_out(formula: str, content: Any) -> float:
    """The value of a formula over a JSON document. `{a > b > 0}` is the number at that path."""

    def at(path: re.Match[str]) -> str:
        found = content
        for key in path[1].split(" > "):
            found = found[int(key)] if isinstance(found, list) else found[key]
        return repr(float(found))

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant), formula
        return float(node.value)

    return value(ast.parse(re.sub(r"\{([^}]+)\}", at, formula), mode="eval").body)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A line of `figures.yaml`: figures that stand in no file as they are shown.

    Attributes:
        page: that they stand on.
        text: words of the page with the figures in them.
        formula: what they are worked out of; empty where they are no measurement.
        result: that the formula reads.
    """

    page: str
    text: str
    formula: str = ""
    result: str = ""

    def covers(self, figure: Figure) -> bool:
        """Whether the figure stands within the words."""
        passage = figure.passage.text
        begins = passage.find(self.text) if figure.page == self.page else -1
        while begins >= 0:
            if begins <= figure.at < begins + len(self.text):
                return True
            begins = passage.find(self.text, begins + 1)
        return False

    def problem(self, figure: Figure, named: list[str]) -> str:
        """What is wrong with a figure that it covers."""
        if not self.formula:
            return ""
        if self.result not in named:
            return f"its section does not name {self.result}.json"
        value = worked_out(self.formula, saved(self.result))
        return (
            ""
            if figure.is_shown_of([value])
            else f"worked out of {self.result}.json it is {value:.6g}"
        )


def _rulings_file() -> Any:
    return yaml.safe_load((Path(__file__).parent / "figures.yaml").read_text(encoding="utf-8"))


@cache
def rulings() -> tuple[Ruling, ...]:
    """The lines of `figures.yaml` that are about words of a page."""
    content = _rulings_file()
    found = [
        Ruling(page, each["text"], each["is"], result)
        for result, pages in content["worked out"].items()
        for page, lines in pages.items()
        for each in lines
    ]
    for group in content["no measurement"]:
        assert group["why"]
        found.extend(Ruling(page, text) for page, texts in group["pages"].items() for text in texts)
    return tuple(found)


@cache
def everywhere() -> tuple[re.Pattern[str], ...]:
    """Wordings that are no measurement on any page."""
    return tuple(re.compile(each["words"]) for each in _rulings_file()["everywhere"] if each["why"])


def results_of(figure: Figure, section: str) -> list[str]:
    """The results that a figure may stand in: those that its passage names, else those of its section."""
    return named_results(figure.passage.text) or named_results(section)


def in_a_result(figure: Figure, section: str) -> bool:
    """Whether the figure stands in a result that its section names."""
    return any(figure.is_shown_of(saved_numbers(name)) for name in results_of(figure, section))


def ruling_of(figure: Figure) -> Ruling | None:
    """The line of `figures.yaml` that is about this figure."""
    return next((each for each in rulings() if each.covers(figure)), None)


def is_no_measurement_anywhere(figure: Figure) -> bool:
    """Whether the figure stands in a wording that is no measurement on any page."""
    return any(
        found.start() <= figure.at < found.end()
        for pattern in everywhere()
        for found in pattern.finditer(figure.passage.text)
    )


def problem(figure: Figure, section: str) -> str:
    """What is wrong with a figure; empty when nothing is.

    Args:
        figure: of the page.
        section: whole text of the section that it stands in.
    """
    named = results_of(figure, section)
    ruling = ruling_of(figure)
    if ruling is not None:
        return ruling.problem(figure, named)
    if is_no_measurement_anywhere(figure) or in_a_result(figure, section):
        return ""
    if figure.passage.kind == "output":
        return (
            ""
            if _COMMAND.search(figure.passage.before)
            else "the prose before this output names no command"
        )
    if not named:
        return "its section names no file of benchmarks/results"
    return f"it is not in {', '.join(f'{name}.json' for name in named)}"


def problems(page: str, text: str) -> list[str]:
    """What is wrong with the figures of a page, a line each."""
    parts = sections(text)
    return [
        f"{page}:{each.passage.line}: {each.shown} {each.unit}: {wrong}; there: "
        f"…{each.passage.text[max(0, each.at - 40) : each.at + 40]}…"
        for each in figures(page, text)
        if (wrong := problem(each, parts[each.passage.section]))
    ]
