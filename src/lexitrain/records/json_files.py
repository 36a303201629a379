"""Reading JSONL, and files that are one JSON array.

JSONL is handed on as raw lines, a megabyte at a time. An array is parsed here, element by element: nothing but the
element being read is held, so that an array larger than the memory can be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lexitrain.errors import DataError
from lexitrain.records.chunk import CHUNK_BYTES, NO_OBJECT, Chunk, NumberedRow, row_chunks

_LARGEST_ELEMENT = 64 << 20  # characters of one element of a JSON array


def jsonl_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """The lines of a file, whole lines a chunk.

    Args:
        path: the file.
        name: the file as the user named it.
    """
    with path.open("rb") as file:
        first, read = 1, 0
        file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)  # a byte order mark
        while piece := file.read(CHUNK_BYTES):
            piece += file.readline()
            read += len(piece)
            yield Chunk(name, read, first, piece)
            first += piece.count(b"\n")


def json_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """A JSON array; a file that is one object a line in spite of its name is read as such."""
    with path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"[":
        return jsonl_chunks(path, name)
    return row_chunks(lambda: _array_rows(path, name), name)


def _array_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    """The elements of a JSON array, without ever holding more than the one being read."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8-sig") as file:
        text, place, line, piece = file.read(CHUNK_BYTES), 0, 1, CHUNK_BYTES
        place = text.index("[") + 1
        line += text.count("\n", 0, place)
        while True:
            start = _skip(text, place)
            line += text.count("\n", place, start)
            if text[start : start + 1] == "]":
                _refuse_more(text[start + 1 :] + file.read(_LARGEST_ELEMENT), name, line)
                return
            row: Any = None
            try:
                row, place = decoder.raw_decode(text, start)
                # At the end of the text it may go on in the next piece: 1 may be the beginning of 12.
                complete, reason = place < len(text), "it does not end"
            except (ValueError, RecursionError) as error:
                complete, reason = False, str(error)
            if complete:
                yield line, NO_OBJECT if isinstance(row, str) else row
                line += text.count("\n", start, place)
                piece = CHUNK_BYTES
                continue
            more = file.read(piece) if len(text) - start < _LARGEST_ELEMENT else ""
            if not more:
                raise DataError(
                    f"This is no JSON array from here on: {reason}.",
                    where=f"{name}:{line}",
                    fix="Mend the file there, or write one record a line (JSONL).",
                )
            text, place = text[start:] + more, 0
            piece *= 2  # an element longer than a piece is then still read in linear time


def _refuse_more(rest: str, name: str, line: int) -> None:
    """Two arrays in one file, say, of which the second would be lost without a word."""
    if rest.strip():
        raise DataError(
            "The JSON array ends here, and something follows it.",
            where=f"{name}:{line}",
            fix="Make it one array, or write one record a line (JSONL).",
        )


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place
