"""The first line of a table: which character parts its cells, and the names of its columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

from lexitrain.errors import DataError
from lexitrain.records.forms.conversations import HISTORY, SYSTEM
from lexitrain.records.rows import FORM_KEYS

KNOWN = FORM_KEYS | {*SYSTEM, *HISTORY, "tools", "label", "chosen", "rejected", "weight"}
"""Names of columns that mean something; others are metadata."""

_DELIMITERS = (",", ";", "\t", "|")

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')
"""A first line by which spreadsheets say what parts the cells."""


def separator_of(line: str) -> str | None:
    """The delimiter that a line of its own before the header names, if it is such a line."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else None


def delimiter_of(header: str) -> str:
    """The delimiter by which a header has the most known names; where none is known, the one with most columns."""

    def fit(delimiter: str) -> tuple[int, int]:
        names = _split(header, delimiter)
        return sum(_plain(name) in KNOWN for name in names), len(names)

    return max(_DELIMITERS, key=fit)  # the first of equals: the comma


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), list[str]())


def _plain(name: str) -> str:
    """A name in small letters with `_` for spaces and hyphens."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def column_names(cells: Sequence[str], where: str) -> list[str]:
    """The names of the columns: known ones as they are known, whatever their capitals and spaces; others as they stand.

    Args:
        where: file and line of the header.

    Raises:
        DataError: two columns have one name.
    """
    names = [_plain(cell) if _plain(cell) in KNOWN else cell.strip() for cell in cells]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(
                f"{count} columns are called `{name}`, of which one only could be kept.",
                where=where,
                fix="Give each column a name of its own.",
            )
    return names


def no_header(names: Sequence[str]) -> str | None:
    """The reason against a table of one line whose only line names no known column."""
    if KNOWN.isdisjoint(names):
        shown = ", ".join(f"`{name[:40]}`" for name in names[:8])
        return (
            f"the only line of this table ({shown}) is no header: the first line names the columns, such as "
            "task, input, output"
        )
    return None
