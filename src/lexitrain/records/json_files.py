"""Reading JSON: one record a line, one array, an array under one key, or records over several lines.

The content decides which, not the ending. Lines are handed on raw, a megabyte at a time. Everything else is parsed
here, value by value: nothing but the value being read is held, so that an array larger than the memory can be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Any, TextIO

from lexitrain.errors import DataError
from lexitrain.records.chunk import CHUNK_BYTES, NO_OBJECT, Chunk, NumberedRow, row_chunks
from lexitrain.records.opening.compressed import opened
from lexitrain.records.opening.encodings import (
    UTF8,
    encoding_of,
    opened_text,
    refuse_other_encodings,
)
from lexitrain.records.opening.json_text import DECODER, RepeatedKey
from lexitrain.records.rows import FORM_KEYS

_LARGEST_VALUE = 64 << 20  # characters of one record

_BEGINNING = 1 << 20  # characters by which the shape of a file is told

_WRAPPED = re.compile(r'\s*\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*\[')
"""The beginning of an object that is an array of records under a key: {"data": [{"""


class _Shape(Enum):
    """How records stand in a file."""

    LINES = auto()
    ARRAY = auto()
    WRAPPED = auto()
    VALUES = auto()


def json_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """The records of a file of JSON.

    Args:
        path: the file.
        name: the file as the user named it.

    Raises:
        DataError: an array or a record over several lines ends before its time, or the file is not UTF-8.
    """
    with opened(path, name) as file:
        encoding = encoding_of(file, name)
    with opened_text(path, name) as text:
        shape = _shape(text.read(_BEGINNING).lstrip("\ufeff \t\r\n"))
    if shape is not _Shape.LINES:
        yield from row_chunks(lambda: _rows(path, name, shape), name)
    elif encoding == UTF8:
        yield from _line_chunks(path, name)
    else:
        yield from _recoded_chunks(path, name)


def _line_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """The lines of a file, whole lines a chunk."""
    with opened(path, name) as file:
        first, read = 1, 0
        while piece := file.read(CHUNK_BYTES):
            piece += file.readline()
            read += len(piece)
            yield Chunk(
                name, read, first, piece.removeprefix(b"\xef\xbb\xbf") if first == 1 else piece
            )
            first += piece.count(b"\n")


def _recoded_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """The lines of a file that is not in UTF-8, in UTF-8."""
    with opened_text(path, name) as file:
        first = 1
        while piece := file.read(CHUNK_BYTES):
            piece += file.readline()
            yield Chunk(name, 0, first, piece.encode())
            first += piece.count("\n")


def _shape(beginning: str) -> _Shape:
    """How records stand in a file that begins like this."""
    if beginning[:1] not in ("[", "{"):
        return _Shape.LINES
    line, _, rest = beginning.partition("\n")
    alone = _value(line)
    others = rest.strip()
    if beginning[0] == "[":
        listed = isinstance(alone, list) and (not alone or isinstance(alone[0], dict))
        return _Shape.LINES if others and alone is not None and not listed else _Shape.ARRAY
    if others and isinstance(
        alone if alone is not None else _value(others.partition("\n")[0]), dict
    ):
        return _Shape.LINES  # where the first line is broken, the next one is a record
    if _is_wrapped(beginning):
        return _Shape.WRAPPED
    return _Shape.VALUES if alone is None and others else _Shape.LINES


def _is_wrapped(beginning: str) -> bool:
    """Whether a file begins with an object that holds nothing but an array under a key of no form."""
    found = _WRAPPED.match(beginning)
    if found is None or found[1] in FORM_KEYS:
        return False
    try:
        whole, _ = _PLAIN_DECODER.raw_decode(beginning)
    except (ValueError, RecursionError):
        return True  # longer than what is known of it: what comes after the array is looked at when it is reached
    return len(whole) == 1


def _value(line: str) -> Any:
    """The value that a line is by itself, or None."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _rows(path: Path, name: str, shape: _Shape) -> Iterator[NumberedRow]:
    with opened_text(path, name) as file:
        values = _Values(file, name)
        if shape is _Shape.VALUES:
            yield from values.until("")
            return
        key = values.open_array() if shape is _Shape.ARRAY else values.open_wrapped_array()
        yield from values.until("]")
        values.refuse_more(key)


class _Values:
    """The JSON values of a text one after another, without ever holding more than the one being read.

    Args:
        file: the text.
        name: the file as the user named it.
    """

    def __init__(self, file: TextIO, name: str) -> None:
        self._file = file
        self._name = name
        self._text = ""
        self._place = 0
        self._line = 1
        self._piece = CHUNK_BYTES
        self._pass(self._next())

    def open_array(self) -> None:
        """Pass the beginning of an array."""
        self._pass(self._place + 1)

    def open_wrapped_array(self) -> str:
        """Pass the beginning of an object up to its array; returns the key of that."""
        while not (found := _WRAPPED.match(self._text, self._place)):
            self._read_on()
        self._pass(self._text.index("[", found.end(1)) + 1)
        return found[1]

    def until(self, closing: str) -> Iterator[NumberedRow]:
        """The values up to `closing`, which is passed; up to the end of the file where it is empty."""
        number, line_before = 0, self._line if closing else 0
        while True:
            self._pass(self._next())
            if self._place == len(self._text) and not closing:
                return
            if closing and self._text[self._place : self._place + 1] == closing:
                self._pass(self._place + 1)
                return
            number += 1
            line = self._line
            row = self._value(last=not closing)
            place = f"{line}, element {number}" if closing and line == line_before else line
            yield place, NO_OBJECT if isinstance(row, str) and not isinstance(row, _Reason) else row
            line_before = self._line

    def refuse_more(self, key: str | None) -> None:
        """Refuse what follows the array: a second one, say, which would be lost without a word."""
        rest = self._text[self._place :] + self._file.read(_LARGEST_VALUE)
        if key is None:
            if rest.strip():
                raise DataError(
                    "The JSON array ends here, and something follows it.",
                    where=f"{self._name}:{self._line}",
                    fix="Make it one array, or write one record a line (JSONL).",
                )
        elif rest.strip() != "}":
            raise DataError(
                f"Records stand under `{key}`, and beside it the file holds more, which would be lost.",
                where=f"{self._name}:{self._line}",
                fix=f"Leave `{key}` alone in the object, or write one record a line (JSONL).",
            )

    def _value(self, *, last: bool) -> Any:
        """The value that begins here.

        Args:
            last: the file may end with it.
        """
        while True:
            row: Any = None
            try:
                row, end = _decode(self._text, self._place)
                reason = "it does not end"
            except (ValueError, RecursionError) as error:
                end, reason = 0, str(error)
            # At the end of the text a value may go on in the next piece: 1 may be the beginning of 12.
            if 0 < end < len(self._text):
                self._pass(end)
                self._piece = CHUNK_BYTES
                return row
            if len(self._text) - self._place < _LARGEST_VALUE and self._read_on():
                self._piece *= 2  # a value longer than a piece is then still read in linear time
            elif end and last:
                self._pass(len(self._text))
                return row
            else:
                what = "JSON" if last else "JSON array"
                raise DataError(
                    f"This is no {what} from here on: {reason}.",
                    where=f"{self._name}:{self._line}",
                    fix="Mend the file there, or write one record a line (JSONL).",
                )

    def _read_on(self) -> bool:
        """Read another piece behind what is still to be parsed; False at the end of the file."""
        more = self._file.read(self._piece)
        refuse_other_encodings(more, self._name, self._line + self._text.count("\n", self._place))
        self._text, self._place = self._text[self._place :] + more, 0
        return bool(more)

    def _next(self) -> int:
        """The place of the next character that is neither space nor a comma; the end of the text at the file's end."""
        place = self._place
        while True:
            while place < len(self._text) and self._text[place] in " \t\r\n,":
                place += 1
            if place < len(self._text):
                return place
            self._pass(place)
            if not self._read_on():
                return len(self._text)
            place = self._place

    def _pass(self, place: int) -> None:
        """Go on to a place, counting lines."""
        self._line += self._text.count("\n", self._place, place)
        self._place = place


class _Reason(str):
    """The reason against a row, in its place."""

    __slots__ = ()


def _decode(text: str, place: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(text, place)
    except RepeatedKey as error:
        return _Reason(error), _PLAIN_DECODER.raw_decode(text, place)[1]


_PLAIN_DECODER = json.JSONDecoder()
