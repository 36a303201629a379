"""Text of files: UTF-8, or UTF-16 and UTF-32 where a byte order mark says so; anything else is refused by its place."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from lexitrain.errors import DataError
from lexitrain.records.opening.compressed import Opened, opened

HOW_TO_CONVERT = "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
"""How a file in the commonest other encoding becomes UTF-8."""

UTF8 = "utf-8-sig"

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks, the longer ones first."""

_BEGINNING = 4096


def encoding_of(file: Opened, name: str) -> str:
    """The encoding of a file whose beginning is still unread; `utf-8-sig` where no byte order mark says another.

    Raises:
        DataError: the file looks like UTF-16 without a byte order mark, or is no text.
    """
    beginning = file.peek(_BEGINNING)[:_BEGINNING]
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    if b"\0" in beginning:
        half = beginning[:2].find(b"\0")
        utf16 = {0: "UTF-16BE", 1: "UTF-16LE"}.get(half, "UTF-16")
        raise DataError(
            "This file is not UTF-8: it holds zero bytes, as UTF-16 without a byte order mark does.",
            where=f"{name}:1",
            fix=f"Convert it: iconv -f {utf16} -t UTF-8 OLD > NEW",
        )
    return UTF8


@contextmanager
def opened_text(path: Path, name: str, newline: str | None = "\n") -> Generator[TextIO]:
    """The text of a file. Bytes that are not UTF-8 come as half characters, which `refuse_other_encodings` names.

    Args:
        newline: as of `open`: what ends a line.

    Raises:
        DataError: as `encoding_of` and `opened`, or the file is not in the encoding that its mark says.
    """
    with opened(path, name) as file:
        encoding = encoding_of(file, name)
        errors = "surrogateescape" if encoding == UTF8 else "strict"
        text = io.TextIOWrapper(
            cast("io.BufferedReader", file), encoding, errors=errors, newline=newline
        )
        try:
            yield text
        except UnicodeDecodeError as error:
            raise DataError(
                f"This file begins as {encoding.upper()} and goes on as something else "
                f"({error.reason}).",
                where=name,
                fix="Save it as UTF-8.",
            ) from None
        finally:
            text.detach()


def refuse_other_encodings(text: str, name: str, first_line: int) -> None:
    """Refuse text that `opened_text` could not decode.

    Args:
        first_line: the line of the file at which the text begins.

    Raises:
        DataError: at the line of the first such byte.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = first_line + text.count("\n", 0, error.start)
        column = error.start - text.rfind("\n", 0, error.start)
        raise DataError(
            f"This file is not UTF-8 (byte 0x{ord(text[error.start]) - 0xDC00:02X} at character {column} "
            "of the line).",
            where=f"{name}:{line}",
            fix=f"Convert it: {HOW_TO_CONVERT}; spreadsheets save `CSV UTF-8`.",
        ) from None


def text_lines(file: TextIO, name: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, from 1. Raises DataError as `refuse_other_encodings`."""
    for number, line in enumerate(file, start=1):
        refuse_other_encodings(line, name, number)
        yield number, line
