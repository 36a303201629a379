"""A chunk: a piece of a source, about a megabyte of raw lines or a thousand parsed rows.

Lines stay raw bytes, so that parsing, the dear part, can happen in another process. Rows carry their line (for tables
without lines, their row number), because a bad record is reported by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lexitrain.records.opening.encodings import HOW_TO_CONVERT
from lexitrain.records.opening.json_text import RepeatedKey, loads

CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 1024

NO_OBJECT = "a record is an object, this is text"
"""The reason against a row that is a text, in place of the row: a text in its own place would be taken for one."""

NumberedRow = tuple[int | str, Any]
"""The line (of an array's element that shares its line with others, a text that names both), and the parsed row; where
the row cannot be had, the reason for that as a `str`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a source: raw lines from `first_line` on, or parsed rows.

    Attributes:
        file: the source as the user named it.
        size: bytes of the source up to the end of this chunk, for progress; 0 where unknown.
        split: the data set's own name for the part that this chunk is of; None for a file.
    """

    file: str
    size: int
    first_line: int = 1
    lines: bytes | None = None
    rows: list[NumberedRow] = field(default_factory=list[NumberedRow])
    split: str | None = None

    def parsed(self) -> Iterator[NumberedRow]:
        """`(line, row)` of every row; a row that does not parse is its reason as text. Empty lines are skipped."""
        if self.lines is None:
            yield from self.rows
            return
        for number, line in enumerate(self.lines.split(b"\n"), start=self.first_line):
            if line and not line.isspace():
                yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        row = loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1}); convert the file: {HOW_TO_CONVERT}"
    except RepeatedKey as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"malformed JSON ({error})"
    return NO_OBJECT if isinstance(row, str) else row


def row_chunks(rows: Callable[[], Iterable[NumberedRow]], name: str) -> Iterator[Chunk]:
    """The rows of a file in chunks.

    Args:
        rows: opens the file and yields its rows; called when the first chunk is asked for.
        name: the file as the user named it.
    """
    found = iter(rows())
    while held := list(islice(found, CHUNK_ROWS)):
        yield Chunk(name, 0, rows=held)
