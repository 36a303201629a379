"""A page cut into what a reader takes as one statement: a paragraph, an item of a list, a row of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\S*)")
_HEADING = re.compile(r"^#{1,6} ")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.) ")
_ROW = re.compile(r"^\s*\|")
_RULE = re.compile(r"^\s*\|[\s:|-]+\|\s*$")
_TABLE_BEGINS = re.compile(r"^<!-- table \w+ -->$")
_TABLE_ENDS = "<!-- end -->"
_BEGINS_ANEW = (_FENCE, _HEADING, _ROW, _TABLE_BEGINS, _ITEM)
_OUTPUT = "text"
"""Language of the blocks that show what a command prints."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One statement of a page.

    Attributes:
        line: of the page, from 1, on which it begins.
        section: number of the heading that it stands under.
        kind: `row` of a table, line of `output`, or `prose`.
        text: its lines, joined by single spaces.
        before: the prose that stands before it on the page, which introduces a table or an output.
    """

    line: int
    section: int
    kind: Literal["prose", "row", "output"]
    text: str
    before: str


class _Cutter:
    """Goes through a page line by line."""

    def __init__(self) -> None:
        self.section = 0
        self.before = ""
        self.number = 0
        self._begun = 0
        self._lines: list[str] = []
        self._fence = ""
        self._language = ""
        self._written = False

    def passage(self, kind: Literal["prose", "row", "output"], text: str, line: int) -> Passage:
        return Passage(line, self.section, kind, text, self.before)

    def whole(self) -> Iterator[Passage]:
        """The prose that was gathered."""
        if self._lines:
            text = " ".join(" ".join(self._lines).split())
            yield self.passage("prose", text, self._begun)
            self.before = text
            self._lines.clear()

    def take(self, line: str) -> Iterator[Passage]:
        """The next line."""
        self.number += 1
        if self._fence:
            yield from self._take_code(line)
        elif self._written:
            self._written = line != _TABLE_ENDS
        else:
            if not line.strip() or any(each.match(line) for each in _BEGINS_ANEW):
                yield from self.whole()
            yield from self._take_prose(line)

    def _take_code(self, line: str) -> Iterator[Passage]:
        closing = _FENCE.match(line)
        if closing and closing[1].startswith(self._fence) and not closing[2]:
            self._fence = ""
        elif self._language == _OUTPUT and line.strip():
            yield self.passage("output", line.strip(), self.number)

    def _take_prose(self, line: str) -> Iterator[Passage]:
        if opening := _FENCE.match(line):
            self._fence, self._language = opening.groups()
        elif _TABLE_BEGINS.match(line):
            self._written = True
        elif _HEADING.match(line):
            self.section += 1
        elif _ROW.match(line):
            if not _RULE.match(line):
                yield self.passage("row", line.strip(), self.number)
        elif line.strip():
            self._begun = self._begun if self._lines else self.number
            self._lines.append(line)


def passages(page: str) -> Iterator[Passage]:
    """The statements of a page. Left out: headings, code, and tables that `benchmarks.tables` writes, which a test of
    their own holds to their results. A block of the language `text` is output, and counts line by line."""
    cutter = _Cutter()
    for line in page.splitlines():
        yield from cutter.take(line)
    yield from cutter.whole()


def sections(page: str) -> list[str]:
    """The whole text of each section, with its code and tables; the first is what stands before the first heading."""
    texts: list[list[str]] = [[]]
    fenced = False
    for line in page.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        if not fenced and _HEADING.match(line):
            texts.append([])
        texts[-1].append(line)
    return ["\n".join(lines) for lines in texts]
