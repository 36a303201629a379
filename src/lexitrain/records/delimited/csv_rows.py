"""CSV, line by line: what parts the cells is found out, and a quote that is not closed is an error where it opens.

Python's reader would take everything from such a quote to the next one, or to the end of the file, for one cell, and
the rows in between would be gone without a word.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from lexitrain.errors import DataError
from lexitrain.records.chunk import NumberedRow
from lexitrain.records.delimited.headers import (
    column_names,
    delimiter_of,
    no_header,
    separator_of,
)
from lexitrain.records.opening.encodings import opened_text, text_lines

LARGEST_CELL = 64 << 20  # characters; the csv module's own limit is 128 kB

MORE_CELLS = "more cells than the header has columns"
FEWER_CELLS = "fewer cells than the header has columns"

_ROWS_IN_A_CELL = (
    3  # lines of a cell that could be rows by themselves, from which on it is no chance
)


class NumberedLines:
    """Lines with their numbers for a reader that takes lines alone; holds those of the row being read.

    Args:
        lines: `(number, line)`.
    """

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self.held: list[tuple[int, str]] = []

    def __iter__(self) -> NumberedLines:
        return self

    def __next__(self) -> str:
        self.held.append(next(self._lines))
        return self.held[-1][1]


def csv_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    """The rows of a CSV file under the names in its first line.

    Args:
        name: the file as the user named it.

    Raises:
        DataError: a quote is not closed, two columns have one name, or the file is not UTF-8; names the line.
    """
    with opened_text(path, name, newline="") as file:
        lines = text_lines(file, name)
        first = next(((number, line) for number, line in lines if line.strip()), None)
        if first is None:
            return
        delimiter = separator_of(first[1])
        if delimiter is None:
            delimiter = delimiter_of(first[1])
            lines = _with_first(first, lines)
        yield from quoted_rows(lines, delimiter, name)


def _with_first(
    first: tuple[int, str], lines: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str]]:
    yield first
    yield from lines


def quoted_rows(
    lines: Iterator[tuple[int, str]], delimiter: str, name: str
) -> Iterator[NumberedRow]:
    """The rows of a table in which quotes hold cells together, under the names in its first line."""
    rows = cells_of(lines, delimiter, name)
    header = next(rows, None)
    if header is None:
        return
    names = column_names(header[1], f"{name}:{header[0]}")
    any_row = False
    tasks: set[str] = set()
    task = names.index("task") if "task" in names else None
    for number, cells, raw in rows:
        any_row = True
        if len(raw) > 1 and _swallowed(raw, delimiter, len(names), task, tasks):
            raise _not_closed(
                f"A quote opens here and closes on line {number + len(raw) - 1}, with what look like rows "
                "in between.",
                f"{name}:{number}",
            )
        if len(cells) != len(names):
            yield number, MORE_CELLS if len(cells) > len(names) else FEWER_CELLS
            continue
        if task is not None and len(tasks) < 100:
            tasks.add(cells[task])
        yield number, dict(zip(names, cells, strict=True))
    if not any_row and (reason := no_header(names)):
        yield header[0], reason


def cells_of(
    lines: Iterator[tuple[int, str]], delimiter: str, name: str
) -> Iterator[tuple[int, list[str], list[str]]]:
    """`(line, cells, the lines that they stand on)` of every row; blank lines are none."""
    csv.field_size_limit(LARGEST_CELL)
    feed = NumberedLines(lines)
    rows = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.held.clear()
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise _not_closed(
                f"A quote opens here and is not closed properly ({error}).",
                f"{name}:{_opening(feed.held, delimiter)}",
            ) from None
        if cells is None:
            return
        if cells:
            yield feed.held[0][0], cells, [line for _, line in feed.held]


def _not_closed(what: str, where: str) -> DataError:
    return DataError(
        what,
        where=where,
        fix="Write a quote that is part of a text twice, in a cell within quotes; or bring JSONL.",
    )


def _opening(held: list[tuple[int, str]], delimiter: str) -> int:
    """The line of the last quote that opens a cell, in the lines of a row that goes wrong."""
    found, within, before = held[0][0], False, delimiter
    for number, line in held:
        for character in line:
            if character == '"':
                if not within and before in (delimiter, "\n", "\r"):
                    found, within = number, True
                elif within:
                    within = False
                elif before == '"':
                    within = True  # a quote within quotes, written twice
            before = character
    return found


def _swallowed(
    raw: list[str], delimiter: str, columns: int, task: int | None, tasks: set[str]
) -> bool:
    """Whether the lines of a row look like rows themselves.

    They do where each of them, quotes taken as characters, has the cells that a row has, and either the tasks that the
    rows before had, or there are many of them.
    """
    alone = [line.rstrip("\r\n").split(delimiter) for line in raw]
    if columns < 2 or any(len(cells) != columns for cells in alone):
        return False
    if task is not None:
        known = tasks | {alone[0][task]}
        return all(cells[task].strip('"') in known for cells in alone[1:])
    return len(raw) > _ROWS_IN_A_CELL
