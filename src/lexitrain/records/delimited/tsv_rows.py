"""TSV, line by line: tabs part cells, and a quote is a character like any other.

Spreadsheets and Python's `csv` write TSV with quotes as in CSV. A cell is taken for one of theirs where only that makes
sense of it: it holds a tab or a line end, or begins and ends with a quote and has every quote in it twice.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lexitrain.errors import DataError
from lexitrain.records.chunk import NumberedRow
from lexitrain.records.delimited.csv_rows import (
    FEWER_CELLS,
    LARGEST_CELL,
    MORE_CELLS,
    quoted_rows,
)
from lexitrain.records.delimited.headers import KNOWN, column_names, delimiter_of, no_header
from lexitrain.records.opening.encodings import opened_text, text_lines

_LONGEST_CELL = 1000  # lines of a cell in quotes


def tsv_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    """The rows of a TSV file under the names in its first line.

    Args:
        name: the file as the user named it.

    Raises:
        DataError: it is parted by something else, two columns have one name, or it is not UTF-8; names the line.
    """
    with opened_text(path, name, newline="") as file:
        lines = _Lines(text_lines(file, name))
        first = next((line for line in lines if line[1].strip()), None)
        if first is None:
            return
        number, header = first
        _refuse_other_delimiters(header, f"{name}:{number}")
        cells = _cells(header)
        if all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells):
            lines.back([first])
            yield from quoted_rows(lines, "\t", name)
            return
        names = column_names(cells, f"{name}:{number}")
        any_row = False
        for at, found in _rows(lines, len(names)):
            any_row = True
            if len(found) == len(names):
                yield at, dict(zip(names, found, strict=True))
            else:
                yield at, MORE_CELLS if len(found) > len(names) else FEWER_CELLS
        if not any_row and (reason := no_header(names)):
            yield number, reason


class _Lines(Iterator[tuple[int, str]]):
    """Numbered lines of which some can be given back."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._given_back: deque[tuple[int, str]] = deque()

    def __next__(self) -> tuple[int, str]:
        return self._given_back.popleft() if self._given_back else next(self._lines)

    def back(self, lines: list[tuple[int, str]]) -> None:
        """Give lines back, the first one to come first."""
        self._given_back.extendleft(reversed(lines))


def _cells(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _refuse_other_delimiters(header: str, where: str) -> None:
    if "\t" in header or header.strip().casefold() in KNOWN:
        return
    delimiter = delimiter_of(header)
    if delimiter in header:
        raise DataError(
            f"The cells of this file are parted by {delimiter!r}, not by tabs.",
            where=where,
            fix="Give it the ending .csv.",
        )


def _rows(lines: _Lines, columns: int) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        if not line.strip("\r\n"):
            continue
        cells = _cells(line)
        if len(cells) == columns and not _goes_on(cells[-1], lines, columns):
            yield number, [_unquoted(cell) for cell in cells]
            continue
        yield number, _in_quotes(line, lines, columns) or [_unquoted(cell) for cell in cells]


def _goes_on(cell: str, lines: _Lines, columns: int) -> bool:
    """Whether the last cell of a line may go on in the next one: it opens a quote, and the next line is no row."""
    if not cell.startswith('"') or (len(cell) > 1 and cell.endswith('"')):
        return False
    following = next(lines, None)
    if following is None:
        return False
    lines.back([following])
    return len(_cells(following[1])) != columns


def _in_quotes(line: str, lines: _Lines, columns: int) -> list[str] | None:
    """The cells of the row that begins with `line`, read with quotes; None, and no line taken, where that is no row."""
    if '"' not in line:
        return None
    csv.field_size_limit(LARGEST_CELL)
    held: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        yield line
        for following in islice(lines, _LONGEST_CELL):
            held.append(following)
            yield following[1]

    try:
        cells = next(csv.reader(feed(), dialect="excel-tab", strict=True), list[str]())
    except csv.Error:
        cells = []
    if len(cells) == columns:
        return cells
    lines.back(held)
    return None


def _unquoted(cell: str) -> str:
    """A cell on one line; without the quotes around it where they are those of a spreadsheet."""
    if cell[:1] != '"' or '""' not in cell or len(cell) < 2 or cell[-1] != '"':
        return cell
    inner = cell[1:-1]
    return inner.replace('""', '"') if '"' not in inner.replace('""', "") and inner else cell
